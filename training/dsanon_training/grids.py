"""Grids of unseen people: a look tells more than a loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dsanon.models.architectures import AnyGenerator
from dsanon_training.batches import Batch
from dsanon_training.embedder import Embedder

LOOKED = {"generator": 12, "recogniser": 96}  # photos of unseen people, by what is trained
_ROWS, _NEAREST = 12, 6


def look(network: AnyGenerator | Embedder, batch: Batch, targets: Sequence[tuple[int, ...]]) -> np.ndarray:
    """What there is to see of a network, (h, w, 3) uint8."""
    return neighbours(network, batch) if isinstance(network, Embedder) else grid(network, batch, targets)


@torch.no_grad()
def neighbours(embedder: Embedder, batch: Batch) -> np.ndarray:
    """(h, w, 3) uint8, one row for each of some photos: the photo, then the others that the embedder finds nearest."""
    vectors = embedder(batch.real)
    probes = torch.arange(0, len(vectors), max(1, len(vectors) // _ROWS), device=vectors.device)[:_ROWS]
    alike = vectors[probes] @ vectors.T
    alike[torch.arange(len(probes)), probes] = -1
    nearest = alike.topk(min(_NEAREST, len(vectors) - 1), dim=1).indices
    return _tiled(batch.real[torch.cat([probes[:, None], nearest], dim=1)])


@torch.no_grad()
def composite(generator: AnyGenerator, batch: Batch, control: torch.Tensor) -> torch.Tensor:
    """The photo with the region painted over, (n, 3, h, w) in [-1, 1]."""
    painted = generator(batch.drawn, batch.real, batch.hidden, batch.padding, control)
    return torch.lerp(batch.real, painted.float(), batch.weight)


def grid(generator: AnyGenerator, batch: Batch, targets: Sequence[tuple[int, ...]]) -> np.ndarray:
    """(h, w, 3) uint8, one row a person: the photo, what the generator is shown of it, then a face or body per target.

    targets: identities, several in equal parts, as in a release of more people than there are identities. A generator
    without control vector has one face. ``faces``, the ablation, sees the photo as well.
    """
    columns = [batch.real, batch.real * (1 - batch.hidden)]
    identities = generator.config.identities
    for target in targets if identities else [()]:
        control = batch.real.new_zeros(len(batch.real), identities)
        for identity in target:
            control[:, identity] += 1 / len(target)
        columns.append(composite(generator, batch, control))
    return _tiled(torch.stack(columns, dim=1))


def _tiled(rows: torch.Tensor) -> np.ndarray:
    """(h, w, 3) uint8 of (rows, columns, 3, h, w) in [-1, 1]."""
    n, c, _, h, w = rows.shape
    pixels = ((rows.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 3, 1, 4, 2).reshape(n * h, c * w, 3)
    return np.ascontiguousarray(pixels.cpu().numpy())


def save_grid(path: Path, pixels: np.ndarray) -> None:
    """Write it as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
