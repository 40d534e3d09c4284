"""The identity guide of the paper: a siamese network that is trained here, with its proxies or classes."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Basic(nn.Module):
    """Two 3 × 3 convolutions around a sum (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.across = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.norm3 = nn.Identity() if stride == 1 else nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return F.relu(y + self.norm3(self.across(x)))


class SiameseNet(nn.Module):
    """ResNet-18 with a 3 × 3 stem and 1,024 outputs, as CIAGAN's authors have it.

    ``identities`` is a linear layer on top: its rows are the proxies of Proxy-NCA, or the classes of the ablation.
    """

    def __init__(self, identities: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(64)
        blocks: list[nn.Module] = []
        for level, (a, b) in enumerate(pairwise((64, 64, 128, 256, 512))):
            blocks += [_Basic(a, b, 2 if level else 1), _Basic(b, b, 1)]
        self.blocks = nn.Sequential(*blocks)
        self.embedding = nn.Linear(512, 1024)
        self.identities = nn.Linear(1024, identities)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) in [-1, 1] → embeddings (n, 1024) of any length."""
        x = F.max_pool2d(F.relu(self.norm(self.stem(pixels))), 3, 2, 1)
        return torch.as_tensor(self.embedding(self.blocks(x).mean((2, 3))))
