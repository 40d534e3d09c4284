"""Prepared crops: every training face aligned once, kept in memory-mapped shards that any recipe reads.

A crop is larger than the network's input by ``MARGIN`` on each side, so that augmentation has something to
shift into. Nothing is decoded or detected twice: the cache is keyed by what went into it, and made a shard at a
time, so that a kill costs one shard.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, Floats, anchors, apply, face_transform, scale_of, warp
from dsanon.errors import RecipeError
from dsanon_training.exclusions import (
    celeba_partition,
    check_auditor_set,
    check_training_set,
    lfw_evaluation_people,
)

MARGIN = 24
CANVAS = CROP + 2 * MARGIN
VERSION = 1  # raise it when the pixels or the selection change
_SHARD = 4096  # photos a shard: up to 380 MB of pixels
_LARGEST_ZOOM = 3.0  # sources smaller than a third of the crop are left out


class Pixels:
    """(n, 176, 176, 3) uint8 over several memory-mapped files, in their order."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._shards = [np.load(file, mmap_mode="r") for file in files]
        self._ends = np.cumsum([len(shard) for shard in self._shards])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return np.asarray(self._shards[shard][index - int(self._ends[shard])])


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Aligned faces, of the cache in ``folder``.

    pixels: (n, 176, 176, 3) uint8, memory-mapped · landmarks: (n, 68, 2) in canvas pixels
    corners: (n, 4, 2), the photo's corners in canvas pixels · labels: ``dataset/subject`` of each
    held_out: (n,) bool, people that may only be looked at
    """

    folder: Path
    pixels: Pixels
    landmarks: Floats
    corners: Floats
    labels: list[str]
    held_out: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class _Photo:
    path: str
    label: str
    held_out: bool
    points: tuple[tuple[float, float], ...]


def _photos(data: Path, auditor: bool) -> Iterator[_Photo]:
    """CelebA's and LFW's photos of those who train, and of those who may be looked at.

    A generator's: partition 0 and the people outside pairs.txt; partition 1 is shown. An auditor's: partition 1 and the
    people of pairs.txt with two photos or more; partition 2 is shown.
    """
    from dsanon.sources import open_source

    if (data / "celeba").is_dir():
        parts = celeba_partition(data / "celeba")
        train, shown = (1, 2) if auditor else (0, 1)
        for sample in open_source("celeba", data / "celeba").samples():
            person = sample.people[0] if sample.people else None
            part = parts.get(Path(sample.file).name)
            if person and person.subject and part in (train, shown):
                path = str(data / "celeba" / sample.file)
                yield _Photo(path, f"celeba/{person.subject}", part == shown, person.points)
    if (data / "lfw").is_dir():
        held = lfw_evaluation_people(data / "lfw")
        named = [(s.people[0].subject, s.file) for s in open_source("lfw", data / "lfw").samples()]
        photos = Counter(name for name, _ in named)
        for name, file in named:
            if name and (name in held and photos[name] > 1 if auditor else name not in held):
                yield _Photo(str(data / "lfw" / file), f"lfw/{name}", False, ())


_Face = tuple[npt.NDArray[np.uint8], Floats, Floats]  # pixels, landmarks, corners


def _face(photo: _Photo) -> _Face | None:
    """The aligned face of a photo's named person: the one nearest to the annotation, or to the centre."""
    from dsanon.detectors.hog import Hog
    from dsanon.images import decode
    from dsanon.landmarks import Landmarker
    from dsanon.models import store

    if not _TOOLS:
        _TOOLS.extend([Hog(upsample=1), Landmarker(store.path("landmarks68"))])
    detector, landmarker = _TOOLS
    pixels, _ = decode(Path(photo.path).read_bytes())
    h, w = pixels.shape[:2]
    where = np.mean(photo.points, axis=0) if photo.points else np.array([w / 2, h / 2])
    best: tuple[float, Floats] | None = None
    for face in detector(pixels):
        points = landmarker(pixels, face.box)
        away = float(np.linalg.norm(anchors(points).mean(0) - where))
        if best is None or away < best[0]:
            best = away, points
    if best is None or best[0] > 0.2 * min(h, w):
        return None
    points = best[1]
    if photo.points:
        # the annotation's eyes and mouth must agree with the landmarks, or these lie elsewhere
        seen = np.array([photo.points[0], photo.points[1], np.mean(photo.points[3:], axis=0)])
        if np.abs(anchors(points) - seen).max() > 0.35 * np.linalg.norm(seen[0] - seen[1]) + 3:
            return None
    transform = face_transform(points)
    if scale_of(transform) > _LARGEST_ZOOM:
        return None
    transform[:, 2] += MARGIN
    corners = apply(transform, [[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]])
    return warp(pixels, transform, CANVAS), apply(transform, points).astype(np.float32), corners.astype(np.float32)


_TOOLS: list[Any] = []  # detectors and landmarks, opened once in each process


def open_crops(folder: Path) -> Crops:
    """The crops of a cache that :func:`prepare` made."""
    index = json.loads((folder / "index.json").read_text())
    return Crops(
        folder,
        Pixels([folder / name for name in index.get("shards", ["pixels.npy"])]),
        np.load(folder / "landmarks.npy"),
        np.load(folder / "corners.npy"),
        index["labels"],
        np.array(index["held_out"]),
    )


def prepare(
    data: Path, cache: Path, workers: int, show: Callable[[int, int], None] | None = None, auditor: bool = False
) -> Path:
    """The folder in ``cache`` with the crops of ``data`` (which holds celeba/ and lfw/, either may be missing).

    Made once, the same for any number of workers. show: called with (done, total) while crops are made.
    auditor: of the people who train an auditor, not a generator.
    Raises RecipeError for a folder without faces, and if somebody is among those who train who must not be.
    """
    photos = sorted(_photos(data, auditor), key=lambda p: (p.label, p.path))
    if not photos:
        raise RecipeError(f"{data} has neither celeba/ nor lfw/ with photos to train on")
    stamp = [VERSION, CANVAS, [(p.path[len(str(data)) :], p.label, p.held_out) for p in photos]]
    folder = cache / f"crops-{hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:12]}"
    if not (folder / "index.json").is_file():
        _make(photos, folder, workers, show)
    crops = open_crops(folder)
    training = [label for label, held in zip(crops.labels, crops.held_out, strict=True) if not held]
    shown = frozenset(p.label for p in photos if p.held_out)
    if auditor:
        check_auditor_set(training, shown.union(p.label for p in _photos(data, False) if not p.held_out))
    else:
        lfw = lfw_evaluation_people(data / "lfw") if (data / "lfw").is_dir() else frozenset()
        celeba = frozenset(label.removeprefix("celeba/") for label in shown)
        check_training_set(training, lfw, celeba)
    return folder


def _make(photos: list[_Photo], folder: Path, workers: int, show: Callable[[int, int], None] | None) -> None:
    """A shard for every ``_SHARD`` photos, without those whose face was not found; whole ones are kept after a kill."""
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    names = []
    with ProcessPoolExecutor(workers) as pool:
        for number, start in enumerate(range(0, len(photos), _SHARD)):
            piece = photos[start : start + _SHARD]
            if not (partial / f"points-{number:05d}.npz").is_file():
                faces = []
                for done, face in enumerate(pool.map(_face, piece, chunksize=16), start=start + 1):
                    faces.append(face)
                    if show:
                        show(done, len(photos))
                _write_shard(partial, number, faces)
            names.append(f"pixels-{number:05d}.npy")
    points = [np.load(partial / f"points-{number:05d}.npz") for number in range(len(names))]
    found = [photo for photo, there in zip(photos, np.concatenate([p["found"] for p in points]), strict=True) if there]
    if not found:
        raise RecipeError(f"no face was found in any of {len(photos)} photos: there is nothing to train on")
    np.save(partial / "landmarks.npy", np.concatenate([p["landmarks"] for p in points]))
    np.save(partial / "corners.npy", np.concatenate([p["corners"] for p in points]))
    index = {"labels": [p.label for p in found], "held_out": [p.held_out for p in found], "photos": len(photos)}
    (partial / "index.json").write_text(json.dumps(index | {"shards": names}))
    partial.rename(folder)


def _write_shard(folder: Path, number: int, faces: Sequence[_Face | None]) -> None:
    """Pixels, then the points, whose file marks the shard as whole. found: for every photo, whether it has a face."""
    good = [face for face in faces if face is not None]
    pixels = np.stack([f[0] for f in good]) if good else np.zeros((0, CANVAS, CANVAS, 3), np.uint8)
    np.save(folder / f"pixels-{number:05d}.npy", pixels)
    aside = folder / "points.partial.npz"
    np.savez(
        aside,
        landmarks=np.stack([f[1] for f in good]) if good else np.zeros((0, 68, 2), np.float32),
        corners=np.stack([f[2] for f in good]) if good else np.zeros((0, 4, 2), np.float32),
        found=np.array([face is not None for face in faces]),
    )
    aside.rename(folder / f"points-{number:05d}.npz")
