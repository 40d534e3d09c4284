"""A network that undoes an anonymization, as an attacker trains it: from pairs of after and before, a U-Net."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsanon.durable import PRIVATE, aside
from dsanon.sample import Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTHS = (24, 48, 96, 128)  # channels at 64, 32, 16 and 8 pixels
STEPS, BATCH, RATE = 400, 8, 2e-3


def build() -> nn.Module:
    """Crops (n, 3, 128, 128) in [-1, 1] → crops: what is to be added to the input is learnt.

    Works on squares of four pixels as one with twelve channels (Shi et al. 2016): a quarter of the arithmetic.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        first = nn.Conv2d(inputs, outputs, 3, stride, 1)
        return nn.Sequential(
            first, nn.GroupNorm(8, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, 1, 1), nn.SiLU()
        )

    class Undo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList()
            self.up = nn.ModuleList()
            for number, width in enumerate(WIDTHS):
                self.down.append(block(WIDTHS[number - 1] if number else 12, width, 2 if number else 1))
            for width, below in pairwise(WIDTHS):
                self.up.append(block(width + below, width, 1))
            self.out = nn.Conv2d(WIDTHS[0], 12, 3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            seen = [self.down[0](F.pixel_unshuffle(x, 2))]
            for layer in list(self.down)[1:]:
                seen.append(layer(seen[-1]))
            y = seen.pop()
            for layer in reversed(self.up):
                y = layer(torch.cat([F.interpolate(y, scale_factor=2.0), seen.pop()], dim=1))
            return torch.as_tensor(x + F.pixel_shuffle(self.out(y), 2))

    return Undo()


def train_undo(after: Pixels, before: Pixels, steps: int = STEPS, seed: int = 0) -> nn.Module:
    """Trained on pairs of aligned crops, both (n, 128, 128, 3) uint8, by the mean absolute difference; mirrored too."""
    import torch

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = build().train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(2, steps))
    for _ in range(steps):
        rows = random.integers(0, len(after), BATCH)
        x, y = _planes(after[rows]), _planes(before[rows])
        if random.integers(2):
            x, y = x.flip(3), y.flip(3)
        loss = (network(x) - y).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def save_undo(network: nn.Module, path: Path) -> None:
    """Written aside, 0600: it has seen the people of the source."""
    from safetensors.torch import save

    with aside(path, PRIVATE) as file:
        file.write(save(network.state_dict()))


def load_undo(path: Path) -> Callable[[Pixels], Pixels]:
    """The network of ``path``, as a function of one crop (128, 128, 3) uint8."""
    from safetensors.torch import load

    network = build()
    network.load_state_dict(load(path.read_bytes()))
    return undoing(network.eval())


def undoing(network: nn.Module) -> Callable[[Pixels], Pixels]:
    """A trained network as a function of one crop (128, 128, 3) uint8."""
    import torch

    def undo(crop: Pixels) -> Pixels:
        with torch.inference_mode():
            out = network(_planes(crop[None]))[0]
        pixels: Any = ((out.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        return np.ascontiguousarray(pixels)

    return undo


def _planes(crops: Pixels) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).float() / 127.5 - 1
