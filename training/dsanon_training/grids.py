"""Grids of unseen people: a look tells more than a loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dsanon.models.architectures import AnyGenerator
from dsanon_training.batches import Batch


@torch.no_grad()
def composite(generator: AnyGenerator, batch: Batch, control: torch.Tensor) -> torch.Tensor:
    """The photo with the region painted over, (n, 3, h, w) in [-1, 1]."""
    painted = generator(batch.drawn, batch.real, batch.hidden, batch.padding, control)
    return torch.lerp(batch.real, painted.float(), batch.weight)


def grid(generator: AnyGenerator, batch: Batch, targets: list[int]) -> np.ndarray:
    """(h, w, 3) uint8, one row a person: the photo, what the generator is shown of it, then a face or body per target.

    A generator without control vector has one face. ``faces``, the ablation, sees the photo as well.
    """
    columns = [batch.real, batch.real * (1 - batch.hidden)]
    identities = generator.config.identities
    for target in targets if identities else [0]:
        control = batch.real.new_zeros(len(batch.real), identities)
        control[:, target : target + 1] = 1
        columns.append(composite(generator, batch, control))
    rows = torch.stack(columns, dim=1)  # n, columns, 3, h, w
    n, c, _, h, w = rows.shape
    pixels = ((rows.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 3, 1, 4, 2).reshape(n * h, c * w, 3)
    return np.ascontiguousarray(pixels.cpu().numpy())


def save_grid(path: Path, pixels: np.ndarray) -> None:
    """Write it as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
