"""The pictures of a release beside those of its source, with the regions that were treated in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsanon.durable import read_json
from dsanon.errors import ReleaseError, UsageError
from dsanon.images import read_photo
from dsanon.landmarks import face_polygon
from dsanon.manifest import read_rows
from dsanon.private_map import lookup
from dsanon.sample import Box, Person, Photo, Region, Sample, Unreadable
from dsanon.sources import Source, open_source
from dsanon.sources.stills import printable
from dsanon_eval.seeing.case import person_of
from dsanon_eval.seeing.clips import frame_of

Frame = npt.NDArray[np.uint8]
BLOCK = 15  # frames
SEQUENCES = ("mots", "mot", "video")  # datasets whose samples are frames


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face that was painted anew. landmarks: (68, 2) as the release was made with · box: of the region, in pixels."""

    subject: str
    box: Box
    landmarks: npt.NDArray[np.float64]

    @property
    def outline(self) -> npt.NDArray[np.float64]:
        """(27, 2): what is hidden, but for a margin."""
        return np.asarray(face_polygon(self.landmarks), dtype=np.float64)

    @property
    def span(self) -> float:
        """Larger side of the landmarks' extent, in pixels."""
        return float(np.ptp(self.landmarks, axis=0).max())

    @property
    def square(self) -> Box:
        """The square in which dlib's predictor looks for the landmarks, in release and source alike."""
        middle, half = (self.landmarks.min(axis=0) + self.landmarks.max(axis=0)) / 2, self.span / 2
        x0, y0, x1, y1 = (float(v) for v in (*(middle - half), *(middle + half)))
        return x0, y0, x1, y1


@dataclass(frozen=True, slots=True)
class Body:
    """A body that was treated. person: the source's label, or a name of its own · subject: its pseudonym"""

    person: str
    scope: str
    subject: str
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One frame of both. number: of the frame in its sequence, ascending by 1 where none is missing.

    people: whom the source annotates · regions: what was treated, without silhouettes · bodies: those among them
    withheld: the release shows nothing of the source here
    """

    sequence: str
    number: int
    release: Frame
    original: Frame
    faces: tuple[Face, ...]
    people: tuple[Person, ...] = ()
    regions: tuple[Region, ...] = ()
    bodies: tuple[Body, ...] = ()
    withheld: bool = False

    @property
    def block(self) -> str:
        """A name for the half second that it lies in: neighbouring frames are not independent trials."""
        return f"{self.sequence} {self.number // BLOCK}"

    @property
    def frames(self) -> tuple[Frame, Frame]:
        """Release and original."""
        return self.release, self.original


def face_pairs(
    release: Path, source: Path, private: Path, frames: int, only: str | None = None, key: Path | None = None
) -> Iterator[Iterator[Pair]]:
    """The sequences of a release, or the ``only`` one, each as its pairs of frames in order: at most ``frames``.

    key: of the private map, by default the one the release was made with

    Nothing for a dataset of stills. Raises KeyFileError and ReleaseError where the private map cannot be read;
    UsageError where a picture with somebody in it is not in SOURCE as it was, ReleaseError where it is not in RELEASE.
    """
    configuration = (read_json(release / "release.json") or {}).get("configuration", {})
    dataset = str(configuration.get("dataset", ""))
    if dataset not in SEQUENCES:
        return
    known = _known(release, private, key)
    made, original = open_source(dataset, release / "data"), open_source(dataset, source)
    theirs: dict[tuple[str, int | None], Sample] = {(printable(s.file), s.frame): s for s in original.samples()}
    for name, group in groupby(made.samples(), key=lambda sample: str(sample.sequence)):
        if only not in (None, name):
            continue
        samples = [sample for sample in group if not sample.problem]
        matched = [theirs.get((known.files.get(sample.file, sample.file), sample.frame)) for sample in samples]
        for sample, other in zip(samples, matched, strict=True):
            if other is None:
                known.refuse(sample, None, None)
        both = enumerate(zip(samples, matched, strict=True))
        there = [(number, mine, other) for number, (mine, other) in both if other is not None][:frames]
        if there:
            yield _pairs(name, there, made, original, known)


def still_pairs(
    release: Path, source: Path, private: Path, dataset: str, files: Collection[str], key: Path | None = None
) -> Iterator[Pair]:
    """The stills of a release among ``files`` (below data/), each a sequence of its own; the same errors."""
    known = _known(release, private, key)
    original = open_source(dataset, source)
    theirs = {printable(sample.file): sample for sample in original.samples()}
    for file in sorted(set(files) & known.files.keys()):
        other, mine = theirs.get(known.files[file]), Sample(file, file)
        after = read_photo(release / "data", mine)
        before = None if other is None else read_photo(source, other)
        known.refuse(mine, after, before)
        if other and isinstance(after, Photo) and isinstance(before, Photo) and _alike(after, before):
            yield _pair(file, 0, mine, other, after, before, known)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """By released file and frame: painted faces, treated regions, what is withheld · files: released → source file

    hashes: released file → sha256 of its source and of itself
    """

    faces: dict[tuple[str, int | None], list[Face]]
    regions: dict[tuple[str, int | None], list[Region]]
    bodies: dict[tuple[str, int | None], list[Body]]
    withheld: set[tuple[str, int | None]]
    files: dict[str, str]
    hashes: dict[str, tuple[str, str]]

    def refuse(self, mine: Sample, after: Photo | Unreadable | None, before: Photo | Unreadable | None) -> None:
        """Raise UsageError or ReleaseError where somebody was treated in ``mine`` and one of both is not the very file:
        another picture is nobody's, and one that is passed over leaves every figure without a word.
        """
        place = mine.file, mine.frame
        if place not in self.regions or place in self.withheld:
            return
        source, release = self.hashes[mine.file]
        if before is None or before.sha256 != source:
            raise UsageError(
                f"{self.files[mine.file]} is not in SOURCE, or not as it was: name the SOURCE the release was made from"
            )
        if after is not None and after.sha256 != release:
            raise ReleaseError(f"data/{mine.file} is missing or was altered: make the release anew")


def _alike(after: Photo, before: Photo) -> bool:
    return after.pixels.shape == before.pixels.shape


def _pairs(
    name: str, there: list[tuple[int, Sample, Sample]], made: Source, original: Source, known: _Known
) -> Iterator[Pair]:
    ours, theirs = made.read([mine for _, mine, _ in there]), original.read([other for *_, other in there])
    for (number, mine, other), after, before in zip(there, ours, theirs, strict=True):
        known.refuse(mine, after, before)
        if isinstance(after, Photo) and isinstance(before, Photo) and _alike(after, before):
            yield _pair(name, number, mine, other, after, before, known)


def _pair(name: str, number: int, mine: Sample, other: Sample, after: Photo, before: Photo, known: _Known) -> Pair:
    place = mine.file, mine.frame
    return Pair(
        name,
        number,
        after.pixels,
        before.pixels,
        tuple(known.faces.get(place, ())),
        other.people,
        tuple(known.regions.get(place, ())),
        tuple(known.bodies.get(place, ())),
        place in known.withheld,
    )


def _known(release: Path, private: Path, key: Path | None) -> _Known:
    """What manifest and map tell."""
    manifest = read_rows(release / "manifest.parquet").to_pylist()
    public = {(row["sample"], row["region"]): row for row in manifest if row["region"] is not None}
    known = _Known(
        {}, {}, {}, {(r["file"], frame_of(r["sample"])) for r in manifest if r["status"] == "quarantined"}, {}, {}
    )
    for row in lookup(release, private, key):
        shown = public.get((row["sample"], row["region"]))
        if shown is None:
            continue
        known.files[shown["file"]] = row["source_file"]
        known.hashes[shown["file"]] = row["source_sha256"], shown["output_sha256"]
        place = shown["file"], frame_of(row["sample"])
        x0, y0, x1, y1 = shown["box"]
        box, landmarks = (x0, y0, x1, y1), tuple(row["landmarks"] or ())
        if shown["status"] in ("anonymized", "fallback"):
            region = Region(shown["kind"], box, row["subject"], landmarks, tuple(row["transform"] or ()))
            known.regions.setdefault(place, []).append(region)
            if shown["kind"] == "body":
                person = person_of(row["scope"], row["subject"], row["source_subject"])
                known.bodies.setdefault(place, []).append(Body(person, row["scope"], row["subject"], box))
        if shown["kind"] == "face" and shown["status"] == "anonymized" and landmarks:
            points = np.array(landmarks, dtype=np.float64).reshape(68, 2)
            known.faces.setdefault(place, []).append(Face(row["subject"], box, points))
    return known
