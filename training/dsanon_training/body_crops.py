"""Crops of bodies: every annotated person with a silhouette, upright and whole, each an identity of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsanon.align import scale_of, warp
from dsanon.bodies import SIZE, body_transform
from dsanon.errors import RecipeError
from dsanon.sample import Rle, Sample
from dsanon_training.crops import LARGEST_ZOOM, MARGIN, Crop, Show, cached, corners_of

VERSION = 1  # raise it when the pixels or the selection change
CANVAS = (SIZE[0] + 2 * MARGIN, SIZE[1] + 2 * MARGIN)
STRIDE = 5  # of a sequence's frames every so many-th trains: its neighbours look alike
_HELD = 12  # one photo or sequence in so many is only looked at
_COVERS = 0.15  # share of its box that a whole person's silhouette covers at least


@dataclass(frozen=True, slots=True)
class Instance:
    """One person in one photo."""

    path: str
    label: str
    held_out: bool
    silhouette: Rle


def instances(data: Path) -> Iterator[Instance]:
    """Everybody with a silhouette, of every COCO folder in ``data`` and of mots/; held out go whole photos, sequences.

    COCO's validation and test images are held out, and one in twelve of all others, by their names.
    """
    from dsanon.sources import open_source

    folders = sorted(path.parent.parent for path in data.glob("*/annotations/instances_*.json"))
    for folder in dict.fromkeys(folders):
        for sample in open_source("coco", folder).samples():
            named = sample.file.split("/")[0].startswith(("val", "test"))
            yield from _instances(folder, folder.name, sample, named or _drawn(sample.file))
    if (data / "mots").is_dir():
        frames: dict[str, int] = {}
        for sample in open_source("mots", data / "mots").samples():
            sequence = sample.sequence or sample.file
            frames[sequence] = number = frames.get(sequence, -1) + 1
            if number % STRIDE == 0:
                yield from _instances(data / "mots", "mots", sample, _drawn(sequence))


def _drawn(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % _HELD == 0


def _instances(folder: Path, dataset: str, sample: Sample, held_out: bool) -> Iterator[Instance]:
    for number, person in enumerate(sample.people):
        if person.silhouette is not None and not person.many:
            subject = person.subject if sample.sequence else f"{sample.file}#{number}"
            yield Instance(str(folder / sample.file), f"{dataset}/{subject}", held_out, person.silhouette)


def body(instance: Instance) -> Crop | None:
    """The crop of one person; None where the photo shows them smaller than a third of it, or a piece of them only."""
    from dsanon.images import decode
    from dsanon.sources.silhouettes import to_mask

    mask = to_mask(instance.silhouette)
    transform = body_transform(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if scale_of(transform) > LARGEST_ZOOM or box.mean() < _COVERS:
        return None
    pixels, _ = decode(Path(instance.path).read_bytes())
    if pixels.shape[:2] != mask.shape:
        return None
    transform[:, 2] += MARGIN
    silhouette = warp(np.where(mask, np.uint8(255), np.uint8(0)), transform, CANVAS, pad=0)
    canvas = np.dstack([warp(pixels, transform, CANVAS), np.where(silhouette > 127, np.uint8(255), np.uint8(0))])
    return canvas, np.zeros((0, 2), np.float32), corners_of(pixels, transform)


def prepare_bodies(data: Path, cache: Path, workers: int, show: Show | None = None) -> Path:
    """The folder in ``cache`` with the bodies of ``data``, as :func:`dsanon_training.crops.prepare` does for faces.

    Raises RecipeError for a folder in which nobody has a silhouette.
    """
    people = sorted(instances(data), key=lambda i: (i.label, i.path))
    if not people:
        raise RecipeError(f"{data} has neither a COCO folder nor mots/ with silhouettes of people to train on")
    shapes = [hashlib.sha256(i.silhouette.counts).hexdigest() for i in people]
    listed = [(i.path[len(str(data)) :], i.label, i.held_out) for i in people]
    return cached(cache, "bodies", [VERSION, CANVAS, listed, shapes], people, body, workers, show)
