"""SSH's network (Najibi et al., ICCV 2017): VGG-16 without its head, and three detection modules on it.

Its tensors are named as the layers of the authors' Caffe model, ``conv1_1.weight`` … ``m3@ssh_bbox_pred.bias``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
ANCHORS = 2  # of each cell
# module → channels of what it sees, and of what its 3 × 3 convolution makes; each context branch makes half of these
MODULES = {"m1": (128, 128), "m2": (512, 256), "m3": (512, 256)}

Head = tuple[Tensor, Tensor]  # (n, 2, h, w) in [0, 1], and (n, 2, 4, h, w)


class Ssh(nn.Module):
    """BGR (n, 3, h, w) less ``MEAN``, sides multiples of 32, to the heads of strides 8, 16 and 32."""

    bilinear: Tensor

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for number, widths in enumerate(VGG, 1):
            for index, outputs in enumerate(widths, 1):
                self._conv(f"conv{number}_{index}", inputs, outputs, 3)
                inputs = outputs
        self._conv("conv4_128", 512, 128, 1)
        self._conv("conv5_128", 512, 128, 1)
        self._conv("conv4_fuse_final", 128, 128, 3)
        for name, (seen, wide) in MODULES.items():
            self._conv(f"{name}@ssh_3x3", seen, wide, 3)
            self._conv(f"{name}@ssh_dimred", seen, wide // 2, 3)
            for branch in ("5x5", "7x7-1", "7x7"):
                self._conv(f"{name}@ssh_{branch}", wide // 2, wide // 2, 3)
            self._conv(f"{name}@ssh_cls_score", 2 * wide, 2 * ANCHORS, 1)
            self._conv(f"{name}@ssh_bbox_pred", 2 * wide, 4 * ANCHORS, 1)
        ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.register_buffer("bilinear", torch.outer(ramp, ramp).repeat(128, 1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> list[Head]:
        """Of each module: every anchor's probability of a face, and its (dx, dy, dw, dh). Figure 2 of the paper."""
        conv4, conv5 = self._trunk(pixels)
        fine, coarse = (F.relu(self._run(n, x)) for n, x in (("conv4_128", conv4), ("conv5_128", conv5)))
        up = F.conv_transpose2d(coarse, self.bilinear, stride=2, padding=1, groups=128)
        fused = F.relu(self._run("conv4_fuse_final", fine + up))
        return [self._module("m1", fused), self._module("m2", conv5), self._module("m3", F.max_pool2d(conv5, 2))]

    def _trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """conv4_3 and conv5_3, at strides 8 and 16."""
        ends = []
        for number, widths in enumerate(VGG, 1):
            x = F.max_pool2d(x, 2) if number > 1 else x
            for index in range(1, len(widths) + 1):
                x = F.relu(self._run(f"conv{number}_{index}", x))
            ends.append(x)
        return ends[3], ends[4]

    def _module(self, name: str, x: Tensor) -> Head:
        """Figures 3 and 4: a 3 × 3 convolution beside a context module, whose 5 × 5 and 7 × 7 are stacks of 3 × 3."""
        reduced = F.relu(self._run(f"{name}@ssh_dimred", x))
        seven = F.relu(self._run(f"{name}@ssh_7x7-1", reduced))
        parts = (
            self._run(f"{name}@ssh_3x3", x),
            self._run(f"{name}@ssh_5x5", reduced),
            self._run(f"{name}@ssh_7x7", seven),
        )
        y = F.relu(torch.cat(parts, dim=1))
        n, _, h, w = y.shape
        # its channels are background of every anchor, then face of every anchor
        score = self._run(f"{name}@ssh_cls_score", y).view(n, 2, ANCHORS, h, w).softmax(dim=1)[:, 1]
        return score, self._run(f"{name}@ssh_bbox_pred", y).view(n, ANCHORS, 4, h, w)

    def _conv(self, name: str, inputs: int, outputs: int, kernel: int) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))

    def _run(self, name: str, x: Tensor) -> Tensor:
        return torch.as_tensor(self.get_submodule(name)(x))
