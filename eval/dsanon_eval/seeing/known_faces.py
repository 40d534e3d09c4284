"""Faces of people whose name is known, found in LFW and CelebA themselves: what a generator is measured on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any

from dsanon.detectors import DEFAULT_DETECTORS, open_detectors, parse_detectors
from dsanon.errors import SourceError
from dsanon.images import read_photo
from dsanon.landmarks import Landmarker
from dsanon.models import store
from dsanon.regions import NOBODY, RegionFinder
from dsanon.sample import Photo, Pixels, Region, Sample
from dsanon.sources import open_source
from dsanon.sources.lfw import Pair
from dsanon_eval.crew import Crew
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.code import FINDING, digest
from dsanon_eval.seeing.remembered import remembered


@dataclass(frozen=True, slots=True)
class KnownFace:
    """One person's face in one photo; its region has no landmarks where it could not be aligned.

    person: ``dataset/label`` · number: of LFW's image, else 0
    """

    root: Path
    sample: Sample
    sha256: str
    region: Region
    person: str
    number: int = 0

    def pixels(self) -> Pixels:
        """The photo. It was read before, so it can be again (SourceError if it is gone)."""
        return _read(self.root, self.sample).pixels


def find(
    dataset: str, root: Path, samples: Sequence[Sample], cache: Cache, crew: Crew | None = None
) -> list[KnownFace]:
    """The named person's face in each sample that names one, found as ``dsanon anonymize`` would.

    Nobody is left out: a face that cannot be aligned is where the annotation has it.
    Raises SourceError for a photo that cannot be read.
    """
    named = [(sample, label) for sample in samples if sample.people and (label := sample.people[0].subject)]
    hashes = [_read(root, sample).sha256 for sample, _ in named]
    how = _how()
    tasks = [
        (f"person {how} {dataset} {sha256} {sample.people!r}", sample.file, (root, sample, label))
        for (sample, label), sha256 in zip(named, hashes, strict=True)
    ]
    regions = remembered(f"find {dataset}", tasks, _find, crew or Crew(), cache)
    return [
        KnownFace(root, sample, sha256, _region(json.loads(region)), f"{dataset}/{label}", _number(dataset, sample))
        for (sample, label), sha256, region in zip(named, hashes, regions, strict=True)
    ]


def celeba_samples(root: Path, partition: int, people: int | None = None) -> list[Sample]:
    """The photos of CelebA's partition (0 trains, 2 never does): of its first ``people`` by identity number, or all."""
    from dsanon_training.exclusions import celeba_partition

    parts = celeba_partition(root)
    samples = [s for s in open_source("celeba", root).samples() if parts.get(Path(s.file).name) == partition]
    named = sorted({int(s.people[0].subject) for s in samples if s.people[0].subject})[:people]
    chosen = {str(number) for number in named}
    return [s for s in samples if s.people[0].subject in chosen]


def lfw_samples(root: Path, folds: Sequence[Sequence[Pair]]) -> list[Sample]:
    """The photos that the pairs of ``folds`` name. Raises SourceError if one is not there."""
    wanted = {f"{p.first}_{p.i:04d}" for fold in folds for p in fold}
    wanted |= {f"{p.second}_{p.j:04d}" for fold in folds for p in fold}
    found = {Path(s.file).stem: s for s in open_source("lfw", root).samples()}
    if missing := sorted(wanted - found.keys()):
        raise SourceError(
            f"{len(missing)} of {len(wanted)} images that pairs.txt names are not in {root}, {missing[0]} first: "
            "a pair that is left out would flatter the figures, so get all of LFW"
        )
    return [sample for stem, sample in sorted(found.items()) if stem in wanted]


def lfw_training_samples(root: Path) -> list[Sample]:
    """The photos of LFW's people whom pairs.txt does not name: they may train."""
    from dsanon_training.exclusions import lfw_evaluation_people

    held = lfw_evaluation_people(root)
    return [s for s in open_source("lfw", root).samples() if s.people[0].subject not in held]


def _find(task: tuple[Path, Sample, str]) -> bytes:
    """The region of the sample's person: aligned if any of theirs is, else where they must be."""
    root, sample, label = task
    pixels = _read(root, sample).pixels
    found = [region for region in _finder(_how())(sample, pixels) if region.label == label]
    height, width = pixels.shape[:2]
    nobody = Region("face", (0.0, 0.0, float(width), float(height)), label, reason=NOBODY)
    best = next((region for region in found if region.landmarks), found[0] if found else nobody)
    return json.dumps({name: getattr(best, name) for name in _KEPT}).encode()


def _how() -> str:
    """By which code and weights: a user may register files of their own."""
    names = [name for name, _ in parse_detectors(DEFAULT_DETECTORS) if name != "hog"]
    return " ".join([digest(*FINDING), *(store.sha256(store.path(name)) for name in (*names, "landmarks68"))])


@once
def _finder(_: str) -> RegionFinder:
    return RegionFinder(open_detectors(), Landmarker(store.path("landmarks68")), "face")


def _read(root: Path, sample: Sample) -> Photo:
    photo = read_photo(root, sample)
    if not isinstance(photo, Photo):
        raise SourceError(
            f"{root / sample.file}: {photo.reason}: restore it, for nobody may be left out of the figures"
        )
    return photo


def _number(dataset: str, sample: Sample) -> int:
    return int(Path(sample.file).stem.rsplit("_", 1)[-1]) if dataset == "lfw" else 0


_KEPT = ("kind", "box", "label", "landmarks", "transform", "detector", "score", "reason")


def _region(row: dict[str, Any]) -> Region:
    for name in ("box", "landmarks", "transform"):
        row[name] = tuple(row[name])
    return Region(**row)
