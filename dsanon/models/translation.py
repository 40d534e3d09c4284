"""The baselines' generators: pix2pix's U-Net and CycleGAN's residual network. Neither has a control vector.

Both are shown what CIAGAN is shown, the landmarks and the photo without the face; the source's hidden pixels never
reach them: they are zeroed on the way in, whoever calls.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.models.generator import GeneratorConfig


class Pix2Pix(nn.Module):
    """U-Net of Isola et al. 2017 for 128 pixels: seven times down and up, dropout in the innermost decoder layers.

    Their batches hold one image, where batch norm is instance norm: that is what is used.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        down, up = (6, 64, 128, 256, 512, 512, 512, 512), (512, 512, 512, 512, 256, 128, 64)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(down))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a * (1 + (level > 0)), b, 4, 2, 1) for level, (a, b) in enumerate(pairwise((*up, 3)))
        )

    def forward(self, landmarks: Tensor, pixels: Tensor, hidden: Tensor, padding: Tensor, control: Tensor) -> Tensor:
        """As :meth:`dsanon.models.generator.Generator.forward`; ``control`` is not looked at."""
        x, skips = torch.cat([landmarks, pixels * (1 - hidden) * (1 - padding)], dim=1), []
        for level, down in enumerate(self.downs):
            x = down(F.leaky_relu(x, 0.2) if level else x)
            if 0 < level < len(self.downs) - 1:
                x = F.instance_norm(x)
            skips.append(x)
        for level, up in enumerate(self.ups):
            x = up(F.relu(torch.cat([x, skips[-1 - level]], dim=1) if level else x))
            if level < len(self.ups) - 1:
                x = F.instance_norm(x)
            if 0 < level < 4:
                x = F.dropout(x, 0.5, self.training)
        return torch.tanh(x)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return x + F.instance_norm(self.second(F.relu(F.instance_norm(self.first(x)))))


class ResidualTranslator(nn.Module):
    """Zhu et al. 2017 for 128 pixels: three convolutions down, six residual blocks, and up. (n, 3, s, s) → the same."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, padding=3, padding_mode="reflect")
        self.downs = nn.ModuleList([nn.Conv2d(64, 128, 3, 2, 1), nn.Conv2d(128, 256, 3, 2, 1)])
        self.blocks = nn.Sequential(*(_Residual(256) for _ in range(6)))
        self.ups = nn.ModuleList([nn.ConvTranspose2d(256, 128, 3, 2, 1, 1), nn.ConvTranspose2d(128, 64, 3, 2, 1, 1)])
        self.out = nn.Conv2d(64, 3, 7, padding=3, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """Pixels in [-1, 1] to pixels in [-1, 1]."""
        for layer in (self.stem, *self.downs):
            x = F.relu(F.instance_norm(layer(x)))
        x = self.blocks(x)
        for layer in self.ups:
            x = F.relu(F.instance_norm(layer(x)))
        return torch.tanh(self.out(x))


def sketched(landmarks: Tensor, pixels: Tensor, hidden: Tensor, padding: Tensor) -> Tensor:
    """The photo with its landmarks drawn where the face was, (n, 3, s, s) in [-1, 1]: CycleGAN's first domain."""
    visible = (1 - hidden) * (1 - padding)
    return pixels * visible + (2 * landmarks - 1) * hidden * (1 - padding)


class CycleGan(nn.Module):
    """Sketched photos to photos; the way back is needed in training only and does not ship."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.translator = ResidualTranslator()

    def forward(self, landmarks: Tensor, pixels: Tensor, hidden: Tensor, padding: Tensor, control: Tensor) -> Tensor:
        """As :meth:`dsanon.models.generator.Generator.forward`; ``control`` is not looked at."""
        return torch.as_tensor(self.translator(sketched(landmarks, pixels, hidden, padding)))
