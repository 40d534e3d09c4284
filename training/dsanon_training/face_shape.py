"""Fit the shape model of faces: what a person's photos share is theirs, what differs is pose or expression.

    python -m dsanon_training.face_shape DATA CACHE OUT.safetensors

The two-covariance model of PLDA (Ioffe 2006), read the other way round: kept is what varies within a person, and it is
estimated so that differences between people disturb it least. All the rest of a source's shape is dropped.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, apply, upright
from dsanon.shape_model import KIND
from dsanon_training.batches import MIRROR, People
from dsanon_training.checkpoints import write_hashed
from dsanon_training.crops import Crops, open_crops, prepare

MOTIONS = 4  # as the eye reads them: yaw, and symmetric ones of nod, smile and open mouth
MIN_PHOTOS = 4
_MOUTH = 3.0  # its points count so much more than others when motions are chosen: expression is there
_JITTER = 1e-3  # variance of a landmark's error that no photo shows, as a share of the mean within people
TERMS = {
    "licence": "research only",
    "origin": "fitted by dsanon_training.face_shape, see dsanon/weights/face-shape.md",
    "terms": "fitted to CelebA and LFW, which are for research and not for commercial use; so are these shapes",
}

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """As in :class:`dsanon.shape_model.ShapeModel`; labels: of ``identities``, sorted."""

    mean: Doubles
    motions: Doubles
    reader: Doubles
    identities: Doubles
    labels: list[str]


def fit(landmarks: npt.ArrayLike, labels: list[str], motions: int = MOTIONS, min_photos: int = MIN_PHOTOS) -> Fit:
    """The model of (n, 68, 2) landmarks, of the person ``labels`` names for each.

    People with two photos or more show what varies within a person, those with ``min_photos`` or more what varies
    between people, and these get a shape. A mirrored face counts as the same person's: what is left and right is pose.
    """
    upright_faces = np.stack([apply(upright(p), p) for p in np.asarray(landmarks, dtype=np.float64)])
    faces = np.concatenate([upright_faces, mirrored(upright_faces)]).reshape(-1, 136)
    people, who, photos = np.unique(np.array(labels * 2), return_inverse=True, return_counts=True)
    photos = photos // 2
    mean = faces.mean(axis=0)
    faces = faces - mean
    averages = _averages(faces, who)

    several = photos >= 2
    inside = (faces - averages[who])[several[who]]
    within = inside.T @ inside / (2 * (photos[several] - 1).sum())
    many = photos >= min_photos
    between = _positive(np.cov(averages[many].T) - within * (1 / photos[many]).mean())

    weight = np.repeat(np.where(np.arange(68) < 48, 1.0, _MOUTH), 2)
    variances, axes = np.linalg.eigh(weight[:, None] * within * weight)
    moves = within @ (weight[:, None] * axes[:, ::-1][:, :motions]) / np.sqrt(variances[::-1][:motions])
    rest = between + within - moves @ moves.T + _JITTER * np.trace(within) / 136 * np.eye(136)
    # generalised least squares: the moves that explain a face best when everything else about it is noise
    precise = np.linalg.solve(rest, moves).T
    reader = np.linalg.solve(precise @ moves, precise)

    own = _averages(faces - faces @ (moves @ reader).T, who)
    left = inside - inside @ (moves @ reader).T
    noise = (left**2).sum() / (2 * (photos[several] - 1).sum()) / photos[many]
    signal = max(own[many].var(axis=0).sum() - noise.mean(), 0.0)
    shrunk = own[many] * (signal / (signal + noise))[:, None]  # the posterior mean of a person's own shape
    return Fit(mean, moves, reader, shrunk, [str(label) for label in people[many]])


def mirrored(faces: Doubles) -> Doubles:
    """Upright faces (…, 68, 2) in a mirror."""
    out = faces[..., MIRROR, :].copy()
    out[..., 0] = CROP - out[..., 0]
    return out


def _averages(faces: Doubles, who: npt.NDArray[np.intp]) -> Doubles:
    sums = np.zeros((who.max() + 1, faces.shape[1]))
    np.add.at(sums, who, faces)
    return np.asarray(sums / np.bincount(who)[:, None])


def _positive(matrix: Doubles) -> Doubles:
    """The nearest covariance: sampling noise makes small variances negative."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T)


def export(path: Path, fitted: Fit, photos: int) -> str:
    """Write the file that ships, and its sha256 beside it; returns the digest."""
    from safetensors.numpy import save

    tensors = {name: getattr(fitted, name).astype(np.float32) for name in ("mean", "motions", "reader", "identities")}
    hashed = [hashlib.sha256(label.encode()).hexdigest()[:16] for label in fitted.labels]
    about = {"kind": KIND, "identities": json.dumps(hashed), "photos": str(photos), **TERMS}
    return write_hashed(path, save(tensors, about))


def fit_crops(crops: Crops) -> Fit:
    """The model of the people who may train."""
    training = People(crops, MIN_PHOTOS).training
    return fit(crops.landmarks[training], [crops.labels[i] for i in training])


def main() -> None:
    """Fit and export: the data's folder, the folder of prepared crops, the file to write."""
    if len(sys.argv) != 4:
        raise SystemExit("usage: python -m dsanon_training.face_shape DATA CACHE OUT.safetensors")
    data, cache, out = map(Path, sys.argv[1:])
    crops = open_crops(prepare(data, cache, workers=1))
    fitted = fit_crops(crops)
    print(f"{export(out, fitted, int((~crops.held_out).sum()))}  {len(fitted.labels)} shapes")


if __name__ == "__main__":
    main()
