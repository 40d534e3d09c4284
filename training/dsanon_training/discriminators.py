"""The critics. Ours are two: one looks at pixels and landmarks, one at frozen ImageNet features of the whole face."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dsanon.models.encoder_decoder import ResidualDown
from dsanon_training.backbones import MobileNetV2Features


class PixelDiscriminator(nn.Module):
    """Image and landmark image → a map of patch scores and one score of the whole; keeps textures clean."""

    def __init__(self, size: tuple[int, int] = (128, 128), widths: tuple[int, ...] = (48, 96, 192, 256)) -> None:
        super().__init__()
        inputs, layers = 6, []
        for width in widths:
            layers.append(spectral_norm(nn.Conv2d(inputs, width, 4, 2, 1)))
            inputs = width
        self.layers = nn.ModuleList(layers)
        self.patch = spectral_norm(nn.Conv2d(inputs, 1, 3, padding=1))
        area = (size[0] >> len(widths)) * (size[1] >> len(widths))
        self.whole = spectral_norm(nn.Linear(inputs * area, 1))

    def forward(self, pixels: Tensor, landmarks: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """pixels (n, 3, h, w) in [-1, 1], landmarks (n, 3, h, w) in [0, 1] → scores, and every layer's features."""
        x, features = torch.cat([pixels, landmarks], dim=1), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return [self.patch(x).flatten(1), self.whole(x.flatten(1))], features


class ProjectedDiscriminator(nn.Module):
    """Heads on fixed random mixtures of frozen features (Projected GANs, Sauer et al. 2021).

    It sees shape and symmetry from the first hundred steps on.
    """

    SIDE = 176  # pixels of height that the frozen network is shown

    def __init__(self, backbone: MobileNetV2Features, mixed: int = 64) -> None:
        super().__init__()
        self.backbone = backbone
        across = [nn.Conv2d(c, mixed, 1) for c in backbone.channels]
        down = [nn.Conv2d(mixed, mixed, 3, padding=1) for _ in backbone.channels]
        for conv in (*across, *down):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
            conv.requires_grad_(False)
        self.across, self.down = nn.ModuleList(across), nn.ModuleList(down)
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(mixed, 128, 3, 1 + (scale < 2), 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(128, 128, 3, 1, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(128, 1, 1)),
            )
            for scale in range(len(backbone.channels))
        )

    def shown(self, pixels: Tensor) -> Tensor:
        """What the frozen network is shown of ``pixels`` (n, 3, h, w)."""
        height, width = pixels.shape[-2:]
        size = (self.SIDE, self.SIDE * width // height)
        return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)

    def look(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The fixed part: pixels (n, 3, h, w) in [-1, 1] → mixed features for ``judge``, and the frozen ones."""
        features = self.backbone(self.shown(pixels))
        mixed: list[Tensor] = []
        for level in reversed(range(len(features))):
            x = self.across[level](features[level])
            if mixed:
                x = x + F.interpolate(mixed[0], size=x.shape[-2:], mode="nearest")
            mixed.insert(0, self.down[level](x))
        return mixed, features

    def judge(self, mixed: list[Tensor]) -> list[Tensor]:
        """The learnt part: a map of scores for each stride."""
        return [head(x).flatten(1) for head, x in zip(self.heads, mixed, strict=True)]


class _DetailDiscriminator(ProjectedDiscriminator):
    """The same of a part of the face alone, enlarged: in a whole face it is a few pixels of the frozen features."""

    SIDE = 80
    WINDOW: tuple[slice, slice]  # rows and columns of an aligned crop, where eyes and mouth have a fixed place

    def shown(self, pixels: Tensor) -> Tensor:
        """See :meth:`ProjectedDiscriminator.shown`."""
        return super().shown(pixels[..., *self.WINDOW])


class EyesDiscriminator(_DetailDiscriminator):
    """Of brows and eyes."""

    WINDOW = (slice(34, 74), slice(20, 108))


class MouthDiscriminator(_DetailDiscriminator):
    """Of lips and teeth, and of the chin below an open mouth."""

    WINDOW = (slice(75, 113), slice(32, 96))


class ResidualCritic(nn.Module):
    """The critic of CIAGAN's authors: image and landmark image through residual blocks to one score."""

    def __init__(self) -> None:
        super().__init__()
        self.downs = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise((6, 64, 128, 256, 512, 512)))
        self.whole = nn.Sequential(nn.Linear(512 * 4 * 4, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1))

    def forward(self, pixels: Tensor, landmarks: Tensor) -> list[Tensor]:
        """pixels (n, 3, 128, 128) in [-1, 1], landmarks (n, 3, 128, 128) in [0, 1] → [(n, 1)]."""
        x = torch.cat([(pixels + 1) / 2, landmarks], dim=1)  # the blocks begin with a ReLU
        for down in self.downs:
            x = down(x)
        return [self.whole(F.relu(x).flatten(1))]


class PatchCritic(nn.Module):
    """A score for every patch of 70 × 70 pixels (Isola et al. 2017), for pix2pix and CycleGAN."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        table = ((inputs, 64, 2), (64, 128, 2), (128, 256, 2), (256, 512, 1), (512, 1, 1))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, stride, 1) for a, b, stride in table)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, 128, 128) → (n, 1, 14, 14)."""
        for level, layer in enumerate(self.layers):
            x = layer(x)
            if 0 < level < len(self.layers) - 1:
                x = F.instance_norm(x)
            if level < len(self.layers) - 1:
                x = F.leaky_relu(x, 0.2)
        return x
