"""The Inception-v3 of FID: TensorFlow's graph of 2015-12-05, with the tensors that pytorch-fid names.

Its file has torchvision's names (``Conv2d_1a_3x3.conv.weight`` … ``Mixed_7c.branch_pool.bn.bias``, ``fc``). It differs
from torchvision's network in its pools: averages leave out the padding, and the last block takes the maximum. ``fc``,
the classifier, takes no part in the features and is not built.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.models.inception_resnet import Unit

SIDE = 299


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


class _A(nn.Module):
    """Figure 5 of Szegedy et al. 2016 (Rethinking the Inception Architecture): 1×1, 5×5, twice 3×3, pool."""

    def __init__(self, inputs: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Unit(inputs, 48, 1), Unit(48, 64, 5)
        self.branch3x3dbl_1 = Unit(inputs, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Unit(64, 96, 3), Unit(96, 96, 3)
        self.branch_pool = Unit(inputs, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        parts = [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), twice, self.branch_pool(_average(x))]
        return torch.cat(parts, dim=1)


class _B(nn.Module):
    """To half the side: 3×3, twice 3×3, maximum."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(inputs, 384, 3, 2, same=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(inputs, 64, 1), Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3, 2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), twice, F.max_pool2d(x, 3, 2)], dim=1)


class _C(nn.Module):
    """Figure 6: 7×7 as 1×7 and 7×1, once and twice."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        flat, tall = (1, 7), (7, 1)
        self.branch1x1 = Unit(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Unit(768, inner, 1), Unit(inner, inner, flat)
        self.branch7x7_3 = Unit(inner, 192, tall)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Unit(768, inner, 1), Unit(inner, inner, tall)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Unit(inner, inner, flat), Unit(inner, inner, tall)
        self.branch7x7dbl_5 = Unit(inner, 192, flat)
        self.branch_pool = Unit(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(_average(x))], dim=1)


class _D(nn.Module):
    """To half the side: 3×3, 7×7 and 3×3, maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Unit(768, 192, 1), Unit(192, 320, 3, 2, same=False)
        self.branch7x7x3_1, self.branch7x7x3_2 = Unit(768, 192, 1), Unit(192, 192, (1, 7))
        self.branch7x7x3_3, self.branch7x7x3_4 = Unit(192, 192, (7, 1)), Unit(192, 192, 3, 2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], dim=1)


class _E(nn.Module):
    """Figure 7: 1×3 and 3×1 beside each other. largest: its pool takes the maximum, as that graph's last block does."""

    def __init__(self, inputs: int, largest: bool) -> None:
        super().__init__()
        flat, tall = (1, 3), (3, 1)
        self.branch1x1 = Unit(inputs, 320, 1)
        self.branch3x3_1 = Unit(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = Unit(384, 384, flat), Unit(384, 384, tall)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(inputs, 448, 1), Unit(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = Unit(384, 384, flat), Unit(384, 384, tall)
        self.branch_pool = Unit(inputs, 192, 1)
        self.pool = _maximum if largest else _average

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(once), self.branch3x3_2b(once)]
        parts += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice), self.branch_pool(self.pool(x))]
        return torch.cat(parts, dim=1)


class InceptionV3Fid(nn.Module):
    """RGB (n, 3, h, w) in [0, 1] to the last average pool's features (n, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2, same=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, same=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _C(128), _C(160), _C(160), _C(192)
        self.Mixed_7a = _D()
        self.Mixed_7b, self.Mixed_7c = _E(1280, largest=False), _E(2048, largest=True)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 2048). Every picture is first scaled to 299 × 299, bilinearly and without antialiasing, as FID does."""
        x = F.interpolate(pixels, size=(SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return torch.as_tensor(x.mean(dim=(2, 3)))
