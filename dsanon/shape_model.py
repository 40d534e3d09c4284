"""Landmarks whose person-specific shape is replaced: pose and expression stay, the rest is the fake identity's.

A face's 68 landmarks, both eyes and the mouth taken to fixed places, are a mean, plus what moves a head and its
expression, plus what is a person's own. The generator is shown the first two of the source and the third of the control
vector. Fitted by :mod:`dsanon_training.face_shape`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, Transform, apply, invert, upright
from dsanon.errors import WeightsError
from dsanon.plan import Control

NAME = "face-shape"
KIND = "shape"
_FURTHEST = 5.0  # standard deviations that no pose and no expression exceeds
_SHARPNESS = 8  # how late the approach to that bound begins
_BORDER = 2.0  # crop pixels that a painted face keeps to the crop's border

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ShapeModel:
    """mean: (136,) of x0 y0 x1 y1 … in pixels of the upright template · motions: (136, m), what one standard deviation
    of each pose or expression moves · reader: (m, 136), which reads them from a face minus the mean
    identities: (n, 136), what is each identity's own, in the order of the generator's control vector
    """

    mean: Doubles
    motions: Doubles
    reader: Doubles
    identities: Doubles

    def replaced(self, landmarks: npt.ArrayLike, transform: Transform, control: Control) -> Transform:
        """(68, 2) landmarks of the fake identity in the source's pose and with its expression, in source pixels.

        landmarks: (68, 2) of the source · transform: (2, 3), source to crop. Linear in the landmarks but for two soft
        bounds, so neighbouring frames stay neighbours: no pose is implausible, and no point leaves the crop.
        Raises ValueError for landmarks that are no numbers, or all in one place.
        """
        there = upright(landmarks)
        moved = self.reader @ (apply(there, landmarks).ravel() - self.mean)
        moved /= (1 + (np.abs(moved) / _FURTHEST) ** _SHARPNESS) ** (1 / _SHARPNESS)
        own = np.asarray(control.weights) @ self.identities[list(control.ids)]
        shape = (self.mean + self.motions @ moved + own).reshape(68, 2)
        crop = apply(transform, apply(invert(there), shape))
        if not np.isfinite(crop).all():
            raise ValueError("these landmarks have no shape")
        return apply(invert(transform), np.clip(crop, _BORDER, CROP - 1 - _BORDER))


def load_shape_model(path: Path, identities: Sequence[str]) -> ShapeModel:
    """The shapes for a generator's ``identities`` (hashes, in its order).

    One that the file does not know gets a shape drawn by its hash. Raises WeightsError for anything but such a file.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata["kind"] != KIND:
                raise KeyError("kind")
            names = ("mean", "motions", "reader", "identities")
            mean, motions, reader, known = (file.get_tensor(name).astype(np.float64) for name in names)
        rows = {hashed: number for number, hashed in enumerate(json.loads(metadata["identities"]))}
        if mean.shape != (136,) or motions.shape != reader.T.shape or known.shape != (len(rows), 136):
            raise ValueError(f"{mean.shape}, {motions.shape}, {reader.shape}, {known.shape}")
        own = [known[rows[hashed]] if hashed in rows else _drawn(hashed, known) for hashed in identities]
        return ShapeModel(mean, motions, reader, np.stack(own))
    except Exception as error:  # whatever a foreign file makes the parser raise
        raise WeightsError(
            f"{path.name} is no face shape model ({type(error).__name__}): "
            "expected safetensors written by dsanon_training.face_shape"
        ) from error


def _drawn(hashed: str, known: Doubles) -> Doubles:
    """A mix of all known shapes with signs from the hash: as far from the mean as they are, and in the same ways."""
    bits = np.frombuffer(hashlib.shake_256(hashed.encode()).digest(-(-len(known) // 8)), np.uint8)
    signs = np.unpackbits(bits)[: len(known)] * 2.0 - 1
    return np.asarray(signs @ known / np.sqrt(len(known)))
