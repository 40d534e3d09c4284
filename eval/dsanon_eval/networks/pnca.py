"""The auditor that ``dsanon train pnca`` makes: by Proxy-NCA, as the paper's re-identification was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.align import Floats, face_transform, warp
from dsanon.models import store
from dsanon.sample import Pixels

NAME = "pnca"


class Pnca:
    """Unit vectors. Whom it learned from, it knows better than anybody: it must not be asked for them."""

    name = NAME

    def __init__(self) -> None:
        from dsanon_training.embedder import load_embedder

        self._network: Any = load_embedder(store.path(NAME))
        self.length: int = self._network.config.length

    def chip(self, pixels: Pixels, points: npt.ArrayLike) -> Pixels:
        """128 × 128, aligned as training's crops are."""
        return warp(pixels, face_transform(points))

    def embed(self, chips: Sequence[Pixels]) -> Floats:
        """Unit vectors."""
        import torch

        if not chips:
            return np.zeros((0, self.length), np.float32)
        planes = np.stack(chips).astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(np.ascontiguousarray(planes))).numpy(), dtype=np.float32)


def learned() -> frozenset[str]:
    """Hashes of ``dataset/label`` of all whom the registered auditor learned from. Raises WeightsError."""
    from dsanon_training.embedder import read_card

    return read_card(store.path(NAME)).identities
