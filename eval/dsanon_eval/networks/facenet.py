"""FaceNet (Schroff et al. 2015), the paper's recogniser, from a user's file: trained on VGGFace2 or CASIA-WebFace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.align import Floats
from dsanon.models import networks
from dsanon.sample import Pixels
from dsanon_eval.seeing.faces import mtcnn_chip


class FaceNet:
    """512-d unit vectors: took no part in training. name: of its weights in the model store."""

    length = 512

    def __init__(self, name: str) -> None:
        self.name = name
        self._network: Any = networks.load(name)

    def chip(self, pixels: Pixels, points: npt.ArrayLike) -> Pixels:
        """160 × 160."""
        return mtcnn_chip(pixels, points)

    def embed(self, chips: Sequence[Pixels]) -> Floats:
        """Unit vectors, of pixels as facenet-pytorch standardises them: (x - 127.5) / 128."""
        import torch

        if not chips:
            return np.zeros((0, self.length), np.float32)
        planes = (np.stack(chips).astype(np.float32).transpose(0, 3, 1, 2) - 127.5) / 128
        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(np.ascontiguousarray(planes))).numpy(), dtype=np.float32)
