"""Faces of people whose name is known, found in LFW and CelebA themselves: what the generator is measured on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsanon.images import read_photo
from dsanon.models import store
from dsanon.progress import Progress
from dsanon.regions import RegionFinder
from dsanon.sample import Photo, Pixels, Region, Sample
from dsanon.sources import open_source
from dsanon.sources.lfw import Pair
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.code import FINDING, digest


@dataclass(frozen=True, slots=True)
class KnownFace:
    """One person's face in one photo, aligned. person: ``dataset/label`` · number: of LFW's image, else 0."""

    root: Path
    sample: Sample
    sha256: str
    region: Region
    person: str
    number: int = 0

    def pixels(self) -> Pixels:
        """The photo. It was read before, so it can be again (OSError if it is gone)."""
        photo = read_photo(self.root, self.sample)
        if not isinstance(photo, Photo):
            raise OSError(f"{self.root / self.sample.file}: {photo.reason}")
        return photo.pixels


class Finder:
    """Finds the named person's face as ``dsanon anonymize`` would; remembers it in the cache."""

    def __init__(self, cache: Cache) -> None:
        from dsanon.detectors import open_detectors
        from dsanon.landmarks import Landmarker

        self._cache = cache
        self._find = RegionFinder(open_detectors(), Landmarker(store.path("landmarks68")), "face")

    def __call__(self, dataset: str, root: Path, sample: Sample) -> KnownFace | None:
        """The face of the sample's person, None where it cannot be aligned."""
        photo = read_photo(root, sample)
        label = sample.people[0].subject if sample.people else None
        if not isinstance(photo, Photo) or label is None:
            return None
        key = f"face {digest(*FINDING)} {dataset} {photo.sha256} {sample.people!r}"
        stored = self._cache.get(key)
        if stored is None:
            found = [r for r in self._find(sample, photo.pixels) if r.label == label and r.landmarks]
            stored = json.dumps([{name: getattr(region, name) for name in _KEPT} for region in found]).encode()
            self._cache.put(key, stored)
        regions = [_region(row) for row in json.loads(stored)]
        number = int(Path(sample.file).stem.rsplit("_", 1)[-1]) if dataset == "lfw" else 0
        return KnownFace(root, sample, photo.sha256, regions[0], f"{dataset}/{label}", number) if regions else None


def find(dataset: str, root: Path, samples: Sequence[Sample], cache: Cache) -> Iterator[KnownFace]:
    """The known faces of ``samples``, in their order."""
    finder = Finder(cache)
    with Progress(f"faces in {dataset}", len(samples)) as progress:
        for sample in samples:
            face = finder(dataset, root, sample)
            progress.add({"samples": 1, "faces": face is not None})
            if face is not None:
                yield face
    cache.commit()


def celeba_test_samples(root: Path, people: int) -> list[Sample]:
    """The photos of ``people`` of CelebA's partition 2, who never train, the first by identity number."""
    from dsanon_training.exclusions import celeba_partition

    parts = celeba_partition(root)
    samples = [s for s in open_source("celeba", root).samples() if parts.get(Path(s.file).name) == 2]
    named = sorted({int(s.people[0].subject) for s in samples if s.people[0].subject})[:people]
    chosen = {str(number) for number in named}
    return [s for s in samples if s.people[0].subject in chosen]


def lfw_samples(root: Path, folds: Sequence[Sequence[Pair]]) -> list[Sample]:
    """The photos that the pairs of ``folds`` name."""
    wanted = {f"{p.first}_{p.i:04d}" for fold in folds for p in fold}
    wanted |= {f"{p.second}_{p.j:04d}" for fold in folds for p in fold}
    return [s for s in open_source("lfw", root).samples() if Path(s.file).stem in wanted]


_KEPT = ("kind", "box", "label", "landmarks", "transform", "detector", "score")


def _region(row: dict[str, Any]) -> Region:
    return Region(
        row["kind"],
        tuple(row["box"]),
        row["label"],
        tuple(row["landmarks"]),
        tuple(row["transform"]),
        row["detector"],
        row["score"],
    )
