"""Prepared crops: every training face or body aligned once, kept in memory-mapped shards that any recipe reads.

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
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, Floats, Transform, anchors, apply, face_transform, scale_of, warp
from dsanon.errors import RecipeError
from dsanon_training.exclusions import (
    celeba_partition,
    check_auditor_set,
    check_groups,
    check_training_set,
    lfw_evaluation_people,
)

MARGIN = 24
CANVAS = CROP + 2 * MARGIN
VERSION = 1  # raise it when the pixels or the selection change
_SHARD = 4096  # photos a shard: up to 380 MB of pixels
LARGEST_ZOOM = 3.0  # sources smaller than a third of the crop are left out


class Pixels:
    """(n, height, width, channels) uint8 over several memory-mapped files, in their order."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._shards = [np.load(file, mmap_mode="r") for file in files]
        self._ends = np.cumsum([len(shard) for shard in self._shards])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one."""
        height, width, channels = next(shard for shard in self._shards if len(shard)).shape[1:]
        return int(height), int(width), int(channels)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return np.asarray(self._shards[shard][index - int(self._ends[shard])])


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Aligned faces or bodies, of the cache in ``folder``.

    pixels: (n, 176, 176, 3) uint8 of faces, (n, 176, 112, 4) of bodies, whose last channel is the silhouette (255
    inside); memory-mapped · landmarks: (n, 68, 2) in canvas pixels, (n, 0, 2) of bodies
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

    @property
    def bodies(self) -> bool:
        """Whether a silhouette stands for the landmarks."""
        return self.pixels.shape[2] > 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what a network is shown of a crop."""
        height, width, _ = self.pixels.shape
        return height - 2 * MARGIN, width - 2 * MARGIN


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


Show = Callable[[int, int], None]  # called with (done, total)
Crop = tuple[npt.NDArray[np.uint8], Floats, Floats]  # pixels, landmarks, corners


def _face(photo: _Photo) -> Crop | None:
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
    if scale_of(transform) > LARGEST_ZOOM:
        return None
    transform[:, 2] += MARGIN
    return warp(pixels, transform, CANVAS), apply(transform, points).astype(np.float32), corners_of(pixels, transform)


def corners_of(pixels: npt.NDArray[np.uint8], transform: Transform) -> Floats:
    """(4, 2): the corners of (h, w, 3) pixels, taken through ``transform``."""
    h, w = pixels.shape[:2]
    return apply(transform, [[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]]).astype(np.float32)


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
    data: Path, cache: Path, workers: int, show: Show | None = None, auditor: bool = False, strangers: int = 0
) -> Path:
    """The folder in ``cache`` with the crops of ``data`` (which holds celeba/ and lfw/, either may be missing).

    Made once, the same for any number of workers. show: called with (done, total) while crops are made.
    auditor: of the people who train an auditor, not a generator · strangers: groups that they must be enough for
    Raises RecipeError for a folder without faces, for too few people, and if somebody is among those who train who must
    not be.
    """
    photos = sorted(_photos(data, auditor), key=lambda p: (p.label, p.path))
    if not photos:
        raise RecipeError(f"{data} has neither celeba/ nor lfw/ with photos to train on")
    check_groups(len({photo.label for photo in photos if not photo.held_out}), strangers)
    stamp = [VERSION, CANVAS, [(p.path[len(str(data)) :], p.label, p.held_out) for p in photos]]
    folder = cached(cache, "crops", stamp, photos, _face, workers, show)
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


class Item(Protocol):
    """What a crop is made of."""

    @property
    def label(self) -> str:
        """``dataset/subject``."""

    @property
    def held_out(self) -> bool:
        """Whether they may only be looked at."""


Thing = TypeVar("Thing", bound=Item)


def cached(
    cache: Path,
    kind: str,
    stamp: object,
    items: Sequence[Thing],
    crop: Callable[[Thing], Crop | None],
    workers: int,
    show: Show | None,
) -> Path:
    """The folder of the crops that ``crop`` makes of ``items``; made where the cache has none under this ``stamp``."""
    folder = cache / f"{kind}-{hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:12]}"
    if not (folder / "index.json").is_file():
        make(items, crop, folder, workers, show)
    return folder


def make(
    items: Sequence[Thing], crop: Callable[[Thing], Crop | None], folder: Path, workers: int, show: Show | None = None
) -> None:
    """A shard for every ``_SHARD`` items, without those of which no crop came; whole ones are kept after a kill."""
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    names = []
    with ProcessPoolExecutor(workers) as pool:
        for number, start in enumerate(range(0, len(items), _SHARD)):
            piece = items[start : start + _SHARD]
            if not (partial / f"points-{number:05d}.npz").is_file():
                crops = []
                for done, made in enumerate(pool.map(crop, piece, chunksize=16), start=start + 1):
                    crops.append(made)
                    if show:
                        show(done, len(items))
                _write_shard(partial, number, crops)
            names.append(f"pixels-{number:05d}.npy")
    points = [np.load(partial / f"points-{number:05d}.npz") for number in range(len(names))]
    found = [item for item, there in zip(items, np.concatenate([p["found"] for p in points]), strict=True) if there]
    if not found:
        raise RecipeError(f"no face or body was found in any of {len(items)} photos: there is nothing to train on")
    for name in ("landmarks", "corners"):
        np.save(partial / f"{name}.npy", np.concatenate([p[name] for p in points if p["found"].any()]))
    index = {"labels": [i.label for i in found], "held_out": [i.held_out for i in found], "photos": len(items)}
    (partial / "index.json").write_text(json.dumps(index | {"shards": names}))
    partial.rename(folder)


def _write_shard(folder: Path, number: int, crops: Sequence[Crop | None]) -> None:
    """Pixels, then the points, whose file marks the shard as whole. found: for every item, whether it has a crop."""
    good = [crop for crop in crops if crop is not None]
    pixels = np.stack([crop[0] for crop in good]) if good else np.zeros((0, 0, 0, 0), np.uint8)
    np.save(folder / f"pixels-{number:05d}.npy", pixels)
    aside = folder / "points.partial.npz"
    np.savez(
        aside,
        landmarks=np.stack([crop[1] for crop in good]) if good else np.zeros((0, 0, 2), np.float32),
        corners=np.stack([crop[2] for crop in good]) if good else np.zeros((0, 4, 2), np.float32),
        found=np.array([crop is not None for crop in crops]),
    )
    aside.rename(folder / f"points-{number:05d}.npz")
