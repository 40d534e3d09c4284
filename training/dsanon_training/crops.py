"""Prepared crops: every training face aligned once, kept in memory-mapped shards that any recipe reads.

A crop is larger than the network's input by ``MARGIN`` on each side, so that augmentation has something to
shift into. Nothing is decoded or detected twice: the cache is keyed by what went into it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, Floats, anchors, apply, face_transform, scale_of, warp
from dsanon.errors import RecipeError
from dsanon_training.exclusions import celeba_partition, check_training_set, lfw_evaluation_people

MARGIN = 24
CANVAS = CROP + 2 * MARGIN
VERSION = 1  # raise it when the pixels or the selection change
_LARGEST_ZOOM = 3.0  # sources smaller than a third of the crop are left out


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Aligned faces.

    pixels: (n, 176, 176, 3) uint8, memory-mapped · landmarks: (n, 68, 2) in canvas pixels
    corners: (n, 4, 2), the photo's corners in canvas pixels · labels: ``dataset/subject`` of each
    held_out: (n,) bool, people that may only be looked at
    """

    pixels: npt.NDArray[np.uint8]
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


def _photos(data: Path) -> Iterator[_Photo]:
    """CelebA's and LFW's photos: those of partition 0 and of people outside pairs.txt train, partition 1 is shown."""
    from dsanon.sources import open_source

    if (data / "celeba").is_dir():
        parts = celeba_partition(data / "celeba")
        for sample in open_source("celeba", data / "celeba").samples():
            person = sample.people[0] if sample.people else None
            part = parts.get(Path(sample.file).name)
            if person and person.subject and part in (0, 1):
                path = str(data / "celeba" / sample.file)
                yield _Photo(path, f"celeba/{person.subject}", part == 1, person.points)
    if (data / "lfw").is_dir():
        held = lfw_evaluation_people(data / "lfw")
        for sample in open_source("lfw", data / "lfw").samples():
            name = sample.people[0].subject
            if name and name not in held:
                yield _Photo(str(data / "lfw" / sample.file), f"lfw/{name}", False, ())


def _face(photo: _Photo) -> tuple[npt.NDArray[np.uint8], Floats, Floats] | None:
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


def prepare(data: Path, cache: Path, workers: int, show: Any = None) -> Crops:
    """Crops of ``data`` (a folder with celeba/ and lfw/, either may be missing), made once, then mapped.

    show: called with (done, total) while crops are made. Raises RecipeError for a folder without faces,
    and if a held-out person is among those who train.
    """
    photos = sorted(_photos(data), key=lambda p: (p.label, p.path))
    if not photos:
        raise RecipeError(f"{data} has neither celeba/ nor lfw/ with photos to train on")
    stamp = [VERSION, CANVAS, [(p.path[len(str(data)) :], p.label, p.held_out) for p in photos]]
    folder = cache / f"crops-{hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:12]}"
    if not (folder / "index.json").is_file():
        _make(photos, folder, workers, show)
    index = json.loads((folder / "index.json").read_text())
    crops = Crops(
        np.load(folder / "pixels.npy", mmap_mode="r"),
        np.load(folder / "landmarks.npy"),
        np.load(folder / "corners.npy"),
        index["labels"],
        np.array(index["held_out"]),
    )
    training = [label for label, held in zip(crops.labels, crops.held_out, strict=True) if not held]
    lfw = lfw_evaluation_people(data / "lfw") if (data / "lfw").is_dir() else frozenset()
    celeba = frozenset(p.label[7:] for p in photos if p.held_out and p.label.startswith("celeba/"))
    check_training_set(training, lfw, celeba)
    return crops


def _make(photos: list[_Photo], folder: Path, workers: int, show: Any) -> None:
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    found: list[tuple[_Photo, Floats, Floats]] = []
    pixels = np.lib.format.open_memmap(aside / "all.npy", "w+", np.uint8, (len(photos), CANVAS, CANVAS, 3))
    with ProcessPoolExecutor(workers) as pool:
        for done, (photo, face) in enumerate(zip(photos, pool.map(_face, photos, chunksize=16), strict=True)):
            if face is not None:
                pixels[len(found)] = face[0]
                found.append((photo, face[1], face[2]))
            if show:
                show(done + 1, len(photos))
    np.save(aside / "pixels.npy", pixels[: len(found)])
    (aside / "all.npy").unlink()
    np.save(aside / "landmarks.npy", np.stack([f[1] for f in found]))
    np.save(aside / "corners.npy", np.stack([f[2] for f in found]))
    index = {"labels": [f[0].label for f in found], "held_out": [f[0].held_out for f in found], "photos": len(photos)}
    (aside / "index.json").write_text(json.dumps(index))
    aside.rename(folder)
