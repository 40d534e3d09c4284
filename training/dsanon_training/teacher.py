"""The identity teachers: recognisers that say whose face or body the generator painted."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.align import Floats
from dsanon.shapes import ARCFACE, five_of
from dsanon_training.backbones import OnnxNetwork, constant, imagenet
from dsanon_training.batches import Batch

_SIDE = 112
_DETAIL = (32, 48, 64, 88, 112)  # pixels across a face of which it is shown one choice at random
_TONE, _CONTRAST = (0.2, -0.1, -0.25), 0.35  # of a face in even light, in [-1, 1]


def arcface_theta(landmarks: Floats, size: int, jitter: np.random.Generator | None = None) -> Floats:
    """Sampling matrices (n, 2, 3) for ``affine_grid``: ArcFace's alignment of crops with (n, 68, 2) landmarks.

    jitter: moves the alignment by up to 4 % in place, 6 % in scale and 5° — a teacher that always sees the
    very same pixels is cheated by painting for them.
    """
    n = len(landmarks)
    # similarities 112-pixel crop → our crop, all at once, as complex numbers: z → turn · z + move (Umeyama 1991)
    template = ARCFACE @ (1, 1j)
    seen = np.array([five_of(points) for points in landmarks]).reshape(n, 5, 2) @ (1, 1j)
    middle = template.mean()
    turn = (seen - seen.mean(1, keepdims=True)) @ (template - middle).conj() / np.square(abs(template - middle)).sum()
    move = seen.mean(1) - turn * middle
    if jitter is not None:
        turned = jitter.uniform(0.94, 1.06, n) * np.exp(1j * np.deg2rad(jitter.uniform(-5, 5, n)))
        centre = (1 + 1j) * _SIDE / 2
        shift = centre - turned * centre + jitter.uniform(-0.04, 0.04, (n, 2)) @ (1, 1j) * _SIDE
        turn, move = turn * turned, turn * shift + move
    # to coordinates in [-1, 1] with align_corners=False: pixel = ((g + 1) * side - 1) / 2
    a = turn * (_SIDE / size)
    b = (turn * (1 + 1j) * (_SIDE - 1) / 2 + move) * (2 / size) + (1 + 1j) * (1 / size - 1)
    rows = np.stack([a.real, -a.imag, b.real, a.imag, a.real, b.imag], axis=1)
    return np.asarray(rows.reshape(n, 2, 3), dtype=np.float32)


def aligned(pixels: Tensor, theta: Tensor, size: tuple[int, int], padding: str) -> Tensor:
    """(n, 3, *size) of pixels (n, 3, h, w) after ``theta`` (n, 2, 3), in float32 under autocast as well.

    In bfloat16 a place in the photo would be off by a third of a pixel.
    """
    with torch.autocast(pixels.device.type, enabled=False):
        grid = F.affine_grid(theta.float(), [len(theta), 3, *size], align_corners=False)
        return F.grid_sample(pixels.float(), grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _toned(face: Tensor) -> Tensor:
    """Every face (n, 3, 112, 112) with the same mean and contrast of each colour around eyes, nose and mouth.

    Else the teacher's cheapest way to another person is another skin, which does not go with neck and ears.
    """
    middle = face[:, :, 24:104, 20:92]
    mean, deviation = middle.mean((2, 3), keepdim=True), middle.std((2, 3), keepdim=True)
    return (face - mean) / deviation.clamp_min(0.05) * _CONTRAST + constant(_TONE, face.device).view(1, 3, 1, 1)


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
        face = _toned(aligned(pixels, theta, (_SIDE, _SIDE), "border"))
        if detail < _SIDE:
            face = F.interpolate(F.adaptive_avg_pool2d(face, detail), size=(_SIDE, _SIDE), mode="bilinear")
        return F.normalize(self.network(imagenet(face)).float(), dim=1)
