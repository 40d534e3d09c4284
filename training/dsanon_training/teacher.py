"""The identity teachers: recognisers that say whose face or body the generator painted."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.align import Floats, similarity
from dsanon.shapes import ARCFACE, five_of
from dsanon_training.backbones import OnnxNetwork, imagenet
from dsanon_training.batches import Batch

_SIDE = 112
_DETAIL = (32, 48, 64, 88, 112)  # pixels across a face of which it is shown one choice at random
_TONE, _CONTRAST = (0.2, -0.1, -0.25), 0.35  # of a face in even light, in [-1, 1]


def arcface_theta(landmarks: Floats, size: int, jitter: np.random.Generator | None = None) -> Floats:
    """Sampling matrices (n, 2, 3) for ``affine_grid``: ArcFace's alignment of crops with (n, 68, 2) landmarks.

    jitter: moves the alignment by up to 4 % in place, 6 % in scale and 5° — a teacher that always sees the
    very same pixels is cheated by painting for them.
    """
    out = np.empty((len(landmarks), 2, 3), np.float32)
    for i, points in enumerate(landmarks):
        back = similarity(ARCFACE, five_of(points))  # 112-pixel crop → our crop
        if jitter is not None:
            angle, zoom = np.deg2rad(jitter.uniform(-5, 5)), jitter.uniform(0.94, 1.06)
            r = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            centre = np.array([_SIDE / 2, _SIDE / 2])
            move = centre - r @ centre + jitter.uniform(-0.04, 0.04, 2) * _SIDE
            back = np.hstack([back[:, :2] @ r, (back[:, :2] @ move + back[:, 2])[:, None]])
        # to coordinates in [-1, 1] with align_corners=False: pixel = ((g + 1) * side - 1) / 2
        a = back[:, :2] * (_SIDE / size)
        b = (back[:, :2] @ np.full(2, (_SIDE - 1) / 2) + back[:, 2]) * (2 / size) + (1 / size - 1)
        out[i] = np.hstack([a, b[:, None]])
    return out


def _toned(face: Tensor) -> Tensor:
    """Every face (n, 3, 112, 112) with the same mean and contrast of each colour around eyes, nose and mouth.

    Else the teacher's cheapest way to another person is another skin, which does not go with neck and ears.
    """
    middle = face[:, :, 24:104, 20:92]
    mean, deviation = middle.mean((2, 3), keepdim=True), middle.std((2, 3), keepdim=True)
    tone = face.new_tensor(_TONE).view(1, 3, 1, 1)
    return (face - mean) / deviation.clamp_min(0.05) * _CONTRAST + tone


class Teacher(nn.Module):
    """A frozen recogniser."""

    @abstractmethod
    def look(self, pixels: Tensor, batch: Batch, jitter: np.random.Generator | None = None) -> Tensor:
        """Unit embeddings (n, length) of pixels (n, 3, h, w) in [-1, 1], aligned as ``batch`` says.

        jitter: shows it another view each time, because a teacher that always sees the very same pixels is cheated.
        """


class FaceTeacher(Teacher):
    """MobileFaceNet."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = OnnxNetwork(weights)

    def look(self, pixels: Tensor, batch: Batch, jitter: np.random.Generator | None = None) -> Tensor:
        """See :meth:`Teacher.look`."""
        theta = torch.from_numpy(arcface_theta(batch.points, pixels.shape[-1], jitter)).to(pixels.device)
        return self.embed(pixels, theta, _SIDE if jitter is None else int(jitter.choice(_DETAIL)))

    def embed(self, pixels: Tensor, theta: Tensor, detail: int = _SIDE) -> Tensor:
        """Unit embeddings (n, 128) of (n, 3, s, s) in [-1, 1] after the alignment ``theta`` (n, 2, 3).

        detail: pixels of the 112 that are told apart; with fewer the teacher is not to be cheated by fine patterns.
        """
        grid = F.affine_grid(theta, [len(theta), 3, _SIDE, _SIDE], align_corners=False)
        face = F.grid_sample(pixels.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
        face = _toned(face)
        if detail < _SIDE:
            face = F.interpolate(F.adaptive_avg_pool2d(face, detail), size=(_SIDE, _SIDE), mode="bilinear")
        return F.normalize(self.network(imagenet(face)).float(), dim=1)
