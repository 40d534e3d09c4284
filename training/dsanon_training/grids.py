"""Grids of unseen people: a look tells more than a loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dsanon.models.generator import Generator
from dsanon_training.batches import Batch


@torch.no_grad()
def composite(generator: Generator, batch: Batch, control: torch.Tensor) -> torch.Tensor:
    """The photo with the region painted over, (n, 3, s, s) in [-1, 1]."""
    painted = generator(batch.drawn, batch.real, batch.hidden, batch.padding, control)
    return torch.lerp(batch.real, painted.float(), batch.weight)


def save_grid(path: Path, generator: Generator, batch: Batch, targets: list[int]) -> None:
    """One row a person: the photo, what the generator sees, then a face for each of ``targets``."""
    columns = [batch.real, batch.real * (1 - batch.hidden)]
    for target in targets:
        control = torch.zeros(len(batch.real), generator.config.identities)
        control[:, target] = 1
        columns.append(composite(generator, batch, control))
    rows = torch.stack(columns, dim=1)  # n, columns, 3, s, s
    n, c, _, s, _ = rows.shape
    pixels = ((rows.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 3, 1, 4, 2).reshape(n * s, c * s, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels.numpy())).save(path)
