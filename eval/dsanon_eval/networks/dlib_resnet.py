"""dlib's face recogniser (King 2017, ``dnn_face_recognition_ex.cpp``) in torch: the same vectors, many times as fast.

dlib's wheels are built without a BLAS, so that one face takes a core some 60 ms of plain loops. It was the dearest
instrument of an audit by far. The file is dlib's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.align import Floats
from dsanon.errors import WeightsError
from dsanon.sample import Pixels

LENGTH = 128
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0  # of RGB
# residual units from the picture to the vector: channels, and whether the unit halves the sides
UNITS = (
    *((32, False), (32, False), (32, False)),
    *((64, True), (64, False), (64, False), (64, False)),
    *((128, True), (128, False), (128, False)),
    *((256, True), (256, False), (256, False), (256, True)),
)
_LAYER = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")  # a string: one byte of length follows, and it
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Unit:
    """Two convolutions of 3 × 3, each with its affine layer folded in: (weight, bias)."""

    first: tuple[Any, Any]
    second: tuple[Any, Any]
    halves: bool


class DlibNetwork:
    """The network of a file of dlib's. Raises WeightsError for any other."""

    def __init__(self, path: Path) -> None:
        import torch

        try:
            layers = list(_layers(path.read_bytes()))
            self._begin = _folded(layers, 32, 3, 7)
            self._units = []
            channels = 32
            for wide, halves in UNITS:
                first = _folded(layers, wide, channels, 3)
                self._units.append(_Unit(first, _folded(layers, wide, wide, 3), halves))
                channels = wide
            self._end = torch.from_numpy(_next(layers, b"fc_2").reshape(channels, LENGTH))
            if layers:
                raise ValueError(f"{len(layers)} layers too many")
        except ValueError as error:
            raise WeightsError(f"{path} is not dlib_face_recognition_resnet_model_v1 ({error})") from error

    def __call__(self, chips: Sequence[Pixels]) -> Floats:
        """(n, 128) vectors of (150, 150, 3) crops, as dlib's ``compute_face_descriptor`` gives them."""
        if not chips:
            return np.zeros((0, LENGTH), np.float32)
        import torch
        from torch.nn import functional as f

        planes = ((np.stack(chips) - np.array(MEAN)) / SCALE).astype(np.float32).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            x = torch.from_numpy(planes).contiguous(memory_format=torch.channels_last)
            x = f.max_pool2d(f.conv2d(x, *self._begin, stride=2).relu_(), 3, 2)
            for unit in self._units:
                made = f.conv2d(x, *unit.first, stride=2 if unit.halves else 1, padding=0 if unit.halves else 1)
                made = f.conv2d(made.relu_(), *unit.second, padding=1)
                x = _sum(made, f.avg_pool2d(x, 2) if unit.halves else x).relu_()
            return np.asarray((x.mean(dim=(2, 3)) @ self._end).numpy(), dtype=np.float32)


def _sum(made: Any, before: Any) -> Any:
    """dlib's ``add_prev``: what is missing of the smaller one is zero."""
    from torch.nn import functional as f

    size = [max(a, b) for a, b in zip(made.shape[1:], before.shape[1:], strict=True)]
    padded = []
    for x in (made, before):
        rows = [(0, wanted - there) for wanted, there in zip(size, x.shape[1:], strict=True)]
        padded.append(f.pad(x, [edge for pair in reversed(rows) for edge in pair]) if any(map(any, rows)) else x)
    return padded[0] + padded[1]


def _folded(layers: list[tuple[bytes, Vector]], wide: int, channels: int, side: int) -> tuple[Any, Any]:
    """Weight and bias of a convolution with the affine layer behind it."""
    import torch

    filters, affine = _next(layers, b"con_4"), _next(layers, b"affine_")
    count = wide * channels * side * side
    if filters.size != count + wide or affine.size != 2 * wide:
        raise ValueError(f"a layer of {filters.size} and {affine.size} numbers: expected {count + wide}, {2 * wide}")
    gamma, beta = affine[:wide], affine[wide:]
    weight = filters[:count].reshape(wide, channels, side, side) * gamma[:, None, None, None]
    bias = filters[count:] * gamma + beta
    return torch.from_numpy(weight).contiguous(memory_format=torch.channels_last), torch.from_numpy(bias)


def _next(layers: list[tuple[bytes, Vector]], kind: bytes) -> Vector:
    if not layers or layers[0][0] != kind:
        raise ValueError(f"no {kind.decode()} where one was expected")
    return layers.pop(0)[1]


def _layers(data: bytes) -> Iterator[tuple[bytes, Vector]]:
    """Kind and numbers of all layers that have any, from the picture on, as dlib's ``serialize`` wrote them.

    A layer's name is followed by its tensor: version 2, four dimensions, little-endian floats. The last layer has its
    outputs and inputs before that.
    """
    at = 0
    while match := _LAYER.search(data, at):
        kind, at = match.group()[2:], match.end()
        head = []
        for _ in range(7 if kind == b"fc_2" else 5):
            number, at = _integer(data, at)
            head.append(number)
        version, *shape = head[-5:]
        size = int(np.prod(shape))
        if version != 2 or at + 4 * size > len(data):
            raise ValueError(f"no tensor of version 2 at byte {at}")
        yield kind, np.frombuffer(data, "<f4", size, at).astype(np.float32)
        at += 4 * size


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """One of dlib's, and where it ends: a byte that says how many follow, and these, the least first."""
    count = data[at] if at < len(data) else 0
    if not 1 <= count <= 8:
        raise ValueError(f"no integer at byte {at}")
    return int.from_bytes(data[at + 1 : at + 1 + count], "little"), at + 1 + count
