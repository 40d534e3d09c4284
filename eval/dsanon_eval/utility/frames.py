"""The frames of a release's sequences beside those of its source, with the faces that were treated in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.durable import read_json
from dsanon.landmarks import face_polygon
from dsanon.manifest import read_rows
from dsanon.private_map import lookup
from dsanon.sample import Box, Photo, Sample
from dsanon.sources import open_source
from dsanon.sources.stills import printable

Frame = npt.NDArray[np.uint8]
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


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One frame of both. number: of the frame in its sequence, ascending by 1 where none is missing."""

    sequence: str
    number: int
    release: Frame
    original: Frame
    faces: tuple[Face, ...]

    @property
    def frames(self) -> tuple[Frame, Frame]:
        """Release and original."""
        return self.release, self.original


def face_pairs(release: Path, source: Path, private: Path, frames: int) -> Iterator[Iterator[Pair]]:
    """The sequences of a release, each as its pairs of frames in order, at most ``frames`` of them.

    Nothing for a dataset of stills. Raises KeyFileError and ReleaseError where the private map cannot be read.
    """
    configuration = (read_json(release / "release.json") or {}).get("configuration", {})
    dataset = str(configuration.get("dataset", ""))
    if dataset not in SEQUENCES:
        return
    faces, files = _faces(release, private)
    made, original = open_source(dataset, release / "data"), open_source(dataset, source)
    theirs: dict[tuple[str, int | None], Sample] = {(printable(s.file), s.frame): s for s in original.samples()}
    for name, group in groupby(made.samples(), key=lambda sample: str(sample.sequence)):
        samples = [sample for sample in group if not sample.problem]
        matched = [theirs.get((files.get(sample.file, sample.file), sample.frame)) for sample in samples]
        both = enumerate(zip(samples, matched, strict=True))
        known = [(number, mine, other) for number, (mine, other) in both if other is not None][:frames]
        if known:
            yield _pairs(name, known, made, original, faces)


def _pairs(name: str, known: list[tuple[int, Sample, Sample]], made: Any, original: Any, faces: Any) -> Iterator[Pair]:
    ours, theirs = made.read([mine for _, mine, _ in known]), original.read([other for *_, other in known])
    for (number, mine, _), after, before in zip(known, ours, theirs, strict=True):
        readable = isinstance(after, Photo) and isinstance(before, Photo)
        if readable and after.pixels.shape == before.pixels.shape:
            yield Pair(name, number, after.pixels, before.pixels, tuple(faces.get((mine.file, mine.frame), ())))


def _faces(release: Path, private: Path) -> tuple[dict[tuple[str, int | None], list[Face]], dict[str, str]]:
    """(painted faces by released file and frame, released file → source file)."""
    manifest = read_rows(release / "manifest.parquet").to_pylist()
    public = {(row["sample"], row["region"]): row for row in manifest if row["region"] is not None}
    faces: dict[tuple[str, int | None], list[Face]] = {}
    files: dict[str, str] = {}
    for row in lookup(release, private):
        shown = public.get((row["sample"], row["region"]))
        if shown is None:
            continue
        files[shown["file"]] = row["source_file"]
        if shown["kind"] == "face" and shown["status"] == "anonymized" and row["landmarks"]:
            frame = int(row["sample"].rpartition("#")[2]) if "#" in row["sample"] else None
            points = np.array(row["landmarks"], dtype=np.float64).reshape(68, 2)
            x0, y0, x1, y1 = shown["box"]
            faces.setdefault((shown["file"], frame), []).append(Face(row["subject"], (x0, y0, x1, y1), points))
    return faces, files
