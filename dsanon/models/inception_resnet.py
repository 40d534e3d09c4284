"""FaceNet's network, Inception-ResNet-v1 (Szegedy et al. 2016), with the tensors that facenet-pytorch names.

``conv2d_1a.conv.weight`` … ``logits.bias``: figures 10 to 15 of the paper (arXiv 1602.07261), with FaceNet's widths.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING = 512


class Unit(nn.Module):
    """A convolution without bias, its batch norm with TensorFlow's epsilon, and a ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        h, w = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (h // 2, w // 2) if same else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (h, w), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, …)."""
        return F.relu(self.bn(self.conv(x)))


class _Branches(nn.Module):
    """``branch0``, ``branch1`` … beside each other: what each makes of the same input, channel after channel."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.count = len(branches)
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def beside(self, x: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(f"branch{number}")(x) for number in range(self.count)], dim=1)


class Residual(_Branches):
    """x + scale · conv2d(branches), and a ReLU unless it is the last block."""

    def __init__(self, width: int, scale: float, *branches: nn.Module, last: bool = False) -> None:
        super().__init__(*branches)
        inner = sum(_outputs(branch) for branch in branches)
        self.conv2d = nn.Conv2d(inner, width, 1)
        self.scale, self.last = scale, last

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same."""
        y = self.conv2d(self.beside(x)) * self.scale + x
        return y if self.last else F.relu(y)


class Reduction(_Branches):
    """Half the side, more channels; a maximum of the input itself is the last branch."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__(*branches, nn.MaxPool2d(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to what the branches have together, at (h - 1) / 2 × (w - 1) / 2."""
        return self.beside(x)


class InceptionResnetV1(nn.Module):
    """RGB (n, 3, 160, 160), (x - 127.5) / 128, to unit vectors (n, 512). For inference only: there is no dropout.

    classes: of the classifier ``logits``, which takes no part in an embedding; 0: without it
    """

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.conv2d_1a = Unit(3, 32, 3, 2, same=False)
        self.conv2d_2a = Unit(32, 32, 3, same=False)
        self.conv2d_2b = Unit(32, 64, 3)
        self.conv2d_3b = Unit(64, 80, 1)
        self.conv2d_4a = Unit(80, 192, 3, same=False)
        self.conv2d_4b = Unit(192, 256, 3, 2, same=False)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = Reduction(
            Unit(256, 384, 3, 2, same=False),
            nn.Sequential(Unit(256, 192, 1), Unit(192, 192, 3), Unit(192, 256, 3, 2, same=False)),
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = Reduction(
            nn.Sequential(Unit(896, 256, 1), Unit(256, 384, 3, 2, same=False)),
            nn.Sequential(Unit(896, 256, 1), Unit(256, 256, 3, 2, same=False)),
            nn.Sequential(Unit(896, 256, 1), Unit(256, 256, 3), Unit(256, 256, 3, 2, same=False)),
        )
        self.repeat_3 = nn.Sequential(*(_block8(0.2) for _ in range(5)))
        self.block8 = _block8(1.0, last=True)
        self.last_linear = nn.Linear(1792, EMBEDDING, bias=False)
        self.last_bn = nn.BatchNorm1d(EMBEDDING, eps=1e-3)
        if classes:
            self.logits = nn.Linear(EMBEDDING, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Unit vectors (n, 512)."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(pixels)))
        x = self.conv2d_3b(F.max_pool2d(x, 3, 2))
        x = self.repeat_1(self.conv2d_4b(self.conv2d_4a(x)))
        x = self.repeat_2(self.mixed_6a(x))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        return F.normalize(self.last_bn(self.last_linear(x.mean(dim=(2, 3)))), dim=1)


def _block35() -> Residual:
    return Residual(
        256,
        0.17,
        Unit(256, 32, 1),
        nn.Sequential(Unit(256, 32, 1), Unit(32, 32, 3)),
        nn.Sequential(Unit(256, 32, 1), Unit(32, 32, 3), Unit(32, 32, 3)),
    )


def _block17() -> Residual:
    crossed = nn.Sequential(Unit(896, 128, 1), Unit(128, 128, (1, 7)), Unit(128, 128, (7, 1)))
    return Residual(896, 0.1, Unit(896, 128, 1), crossed)


def _block8(scale: float, last: bool = False) -> Residual:
    crossed = nn.Sequential(Unit(1792, 192, 1), Unit(192, 192, (1, 3)), Unit(192, 192, (3, 1)))
    return Residual(1792, scale, Unit(1792, 192, 1), crossed, last=last)


def _outputs(branch: nn.Module) -> int:
    last = branch[-1] if isinstance(branch, nn.Sequential) else branch
    assert isinstance(last, Unit)
    return last.conv.out_channels
