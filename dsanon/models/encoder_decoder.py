"""The encoder–decoder generators: the paper's text, its ablation, and the authors' code layer for layer.

Residual blocks with spectral norm between 128 and 4 pixels (Maximov et al., CVPR 2020, section 3.2 and the code that
its authors published); :mod:`dsanon.models.generator` is the one that ships.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dsanon.models.generator import GeneratorConfig

_WIDTHS = (32, 64, 128, 256, 256)  # channels at 64, 32, 16, 8 and 4 pixels


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Module:
    conv: nn.Module = spectral_norm(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
    return conv


class ResidualDown(nn.Module):
    """Half the resolution: two 3 × 3 convolutions beside a 1 × 1 one, each way pooled by averages."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.across = _conv(inputs, outputs, 1)
        self.first, self.second = _conv(inputs, outputs), _conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, s, s) → (n, outputs, s / 2, s / 2)."""
        y = self.second(F.relu(self.first(F.relu(x))))
        return F.avg_pool2d(self.across(x), 2) + F.avg_pool2d(y, 2)


class _Residual(nn.Module):
    """Two 3 × 3 convolutions with instance norm around a sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.first(x)))
        return x + F.instance_norm(self.second(y))


class _ResidualUp(nn.Module):
    """Twice the resolution (nearest): two 3 × 3 convolutions beside a 1 × 1 one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.across = _conv(inputs, outputs, 1)
        self.first, self.second = _conv(inputs, outputs), _conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.interpolate(F.relu(F.instance_norm(x)), scale_factor=2.0)
        y = self.second(F.relu(F.instance_norm(self.first(y))))
        return torch.as_tensor(y + self.across(F.interpolate(x, scale_factor=2.0)))


class _CodeByConvolutions(nn.Module):
    """The authors' way: seven linear layers, a 4 × 4 map, three convolutions."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise((identities, 256, 256, 256, 256, 512, 512, 512)):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
        self.linear = nn.Sequential(*layers)
        convolutions: list[nn.Module] = []
        for a, b in pairwise((32, 64, 128, 256)):
            convolutions += [nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.2)]
        self.convolutions = nn.Sequential(*convolutions)

    def forward(self, control: Tensor) -> Tensor:
        return torch.as_tensor(self.convolutions(self.linear(control).view(-1, 32, 4, 4)))


class _CodeByTransposedConvolutions(nn.Module):
    """The paper's way: a fully connected layer, then transposed convolutions from 1 × 1 to 4 × 4."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        self.linear = nn.Linear(identities, 1024)
        self.grow = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(1024, 512, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(512, 256, 4, 2, 1),
            nn.LeakyReLU(0.2),
        )

    def forward(self, control: Tensor) -> Tensor:
        return torch.as_tensor(self.grow(self.linear(control).view(-1, 1024, 1, 1)))


class EncoderDecoder(nn.Module):
    """Landmark image, masked pixels and control vector → pixels: six channels down to 4 × 4 and up again."""

    transposed: ClassVar[bool]  # how the identity becomes a map
    skips: ClassVar[bool]
    sees_source: ClassVar[bool] = False  # whether the face itself is shown to it

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.downs = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise((6, *_WIDTHS)))
        code = _CodeByTransposedConvolutions if self.transposed else _CodeByConvolutions
        self.code = code(config.identities)
        self.bottleneck = _conv(_WIDTHS[-1] + 256, 256)
        self.middle = nn.ModuleList(_Residual(256) for _ in range(4))
        self.ups = nn.ModuleList(_ResidualUp(a, b) for a, b in pairwise((256, *_WIDTHS[-2::-1], 16)))
        self.out = _conv(16, 3)

    def forward(self, landmarks: Tensor, pixels: Tensor, hidden: Tensor, padding: Tensor, control: Tensor) -> Tensor:
        """As :meth:`dsanon.models.generator.Generator.forward`; without skips the output is not bounded.

        Inside, pixels lie in [0, 1]: the blocks begin with a ReLU.
        """
        visible, pixels = (1 - hidden) * (1 - padding), (pixels + 1) / 2
        x, skips = torch.cat([pixels if self.sees_source else landmarks, pixels * visible], dim=1), []
        for down in self.downs:
            x = F.instance_norm(down(x))
            skips.append(x)
        x = self.bottleneck(torch.cat([x, self.code(control)], dim=1))
        for block in self.middle:
            x = block(x)
        for level, up in enumerate(self.ups):
            x = up(x + skips[-1 - level] if self.skips and level else x)
        x = self.out(F.relu(F.instance_norm(x)))
        return torch.tanh(x) if self.skips else torch.as_tensor(2 * x - 1)


class Reference(EncoderDecoder):
    """The authors' code: no skip connections, no output activation."""

    transposed, skips = False, False


class Paper(EncoderDecoder):
    """The paper's text: a U-Net, the identity through a fully connected layer and transposed convolutions."""

    transposed, skips = True, True


class Faces(Paper):
    """The paper's ablation: the whole face in place of its landmarks. **It sees the source and anonymizes nobody.**"""

    sees_source = True
