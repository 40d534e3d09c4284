"""What an audit looks at: release, source and private map as one table of faces, read piece by piece.

Without the private map nobody knows which original a released face was, and most attacks cannot be tried.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsanon.durable import read_json
from dsanon.errors import ReleaseError, UsageError
from dsanon.key import tombstone
from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows
from dsanon.private_map import IDENTITY_MAP, key_path, open_map
from dsanon.sample import Kind, Region, Status
from dsanon_eval.seeing.clips import frame_of

_SCENES_AT_ONCE = 1024  # rows that are turned into Python objects together


@dataclass(frozen=True, slots=True)
class Face:
    """One face of the release. person: the source's label, or a name of its own · subject: its pseudonym

    labelled: whether the source says who it is · region: box, landmarks and transform of the original
    number: of the region in its sample
    """

    person: str
    labelled: bool
    subject: str
    scope: str
    status: Status
    region: Region
    number: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """One sample and its faces. release_file: below data/ · source_file: below SOURCE, '' where no map tells it."""

    sample: str
    source_file: str
    source_sha256: str
    release_file: str
    output_sha256: str
    faces: tuple[Face, ...]

    @property
    def frame(self) -> int | None:
        """Of the video that both files are; None for stills."""
        return frame_of(self.sample)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A release that is audited. about: its release.json · rows: a row a face, sorted by sample, without those kept.

    mapped: whether the private map is here; without it nothing is known of the originals · bodies: as rows, of bodies
    known: people whom the generator was trained on, who would flatter it
    """

    paths: ReleasePaths
    source: Path
    about: dict[str, Any]
    rows: pa.Table
    mapped: bool
    bodies: pa.Table = field(default_factory=lambda: pa.table({}))
    known: frozenset[str] = frozenset()

    @property
    def dataset(self) -> str:
        """The kind of dataset."""
        return str(self.about.get("configuration", {}).get("dataset", ""))

    @property
    def root(self) -> Path:
        """The folder that the source's files lie below: SOURCE may be a single video."""
        return self.source if self.source.is_dir() else self.source.parent

    def people(self, kind: Kind = "face") -> tuple[list[str], list[str], list[bool]]:
        """Of every face, or body: its sample, its person, and whether the source says who that is."""
        rows = self.rows if kind == "face" else self.bodies
        if not rows.num_rows:
            return [], [], []
        samples, labels = rows["sample"].to_pylist(), rows["source_subject"].to_pylist()
        scopes, subjects = rows["scope"].to_pylist(), rows["subject"].to_pylist()
        people = [person_of(*row) for row in zip(scopes, subjects, labels, strict=True)]
        return samples, people, [label is not None for label in labels]

    def files(self, chosen: Collection[str]) -> set[str]:
        """The files, below data/, of those samples with treated regions that are ``chosen``."""
        tables = [table for table in (self.rows, self.bodies) if table.num_rows]
        rows = [row for t in tables for row in zip(t["sample"].to_pylist(), t["file"].to_pylist(), strict=True)]
        return {file for sample, file in rows if sample in chosen}

    def scenes(self, chosen: Collection[str] | None = None) -> Iterator[Scene]:
        """The samples with faces, or those of them that are ``chosen``, in the manifest's order of samples."""
        wanted = None if chosen is None else pa.array(sorted(chosen), pa.string())
        waiting: list[dict[str, Any]] = []
        for start in range(0, self.rows.num_rows, _SCENES_AT_ONCE):
            piece = self.rows.slice(start, _SCENES_AT_ONCE)
            if wanted is not None:
                piece = piece.filter(pc.is_in(piece["sample"], value_set=wanted))
            for row in piece.to_pylist():
                if waiting and waiting[0]["sample"] != row["sample"]:
                    yield _scene(waiting)
                    waiting = []
                waiting.append(row)
        if waiting:
            yield _scene(waiting)


def open_case(release: Path, source: Path, private: Path | None = None, key: Path | None = None) -> Case:
    """Join manifest and map; without a map (the key destroyed, no private side here) the manifest alone.

    Raises UsageError, ReleaseError and KeyFileError, each with what to do.
    """
    paths = ReleasePaths.of(None, release, private, key)
    about = read_json(paths.release / "release.json")
    if not isinstance(about, dict):
        raise ReleaseError(f"{release} has no release.json: name a release that `dsanon anonymize` finished")
    if not source.exists():
        raise UsageError(f"--source {source} does not exist: name the SOURCE that the release was made from")
    manifest = read_rows(paths.release / "manifest.parquet")
    released = pc.and_(pc.is_valid(manifest["region"]), pc.not_equal(manifest["status"], "quarantined"))
    order = [("sample", "ascending"), ("region", "ascending")]
    manifest = manifest.filter(released).sort_by(order)
    gone = tombstone(key_path(paths, key)).exists() or not (paths.private.is_dir() or private or key)
    known = _unknown(manifest) if gone else open_map(paths, key).sort_by(order)
    for column in ("sample", "region", "subject"):
        if manifest[column].to_pylist() != known[column].to_pylist():
            raise ReleaseError(
                f"the manifest of {release} and its private map differ in the column {column}: "
                "one of both was altered or is of another release"
            )
    for column in ("file", "kind", "box", "status", "output_sha256"):
        known = known.append_column(column, manifest[column])
    known = known.filter(pc.not_equal(known["status"], "kept"))
    faces, bodies = (known.filter(pc.equal(known["kind"], kind)).combine_chunks() for kind in ("face", "body"))
    return Case(paths, source.absolute(), about, faces, mapped=not gone, bodies=bodies)


def _unknown(manifest: pa.Table) -> pa.Table:
    """A map of nobody, for the rows of a manifest."""
    nothing = {field.name: pa.nulls(manifest.num_rows, field.type) for field in IDENTITY_MAP}
    for name in ("sample", "region", "subject", "scope"):
        nothing[name] = manifest[name]
    return pa.table(nothing, schema=IDENTITY_MAP)


def pick(case: Case, budget: int, each: int, kind: Kind = "face") -> set[str]:
    """Samples with about ``budget`` faces, or bodies, for a sample of *people*, ``each`` photos of everybody chosen.

    Three quarters of the budget go to people with several photos, who can be recognised again; the rest to people
    with one, who make it harder. Where there are too few people, they give further photos in turn. Who and what is
    chosen follows from names alone. Samples that show somebody ``known`` are left out, unless all of them do.
    """
    samples, people, labelled = case.people(kind)
    barred = {sample for sample, person in zip(samples, people, strict=True) if person in case.known}
    if barred != set(samples):
        rows = [row for row in zip(samples, people, labelled, strict=True) if row[0] not in barred]
        samples, people, labelled = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    photos: dict[str, set[str]] = {}
    faces: Counter[str] = Counter(samples)
    for sample, person, known in zip(samples, people, labelled, strict=True):
        photos.setdefault(person if known else sample, set()).add(sample)
    turns = {person: sorted(photos[person], key=_digest) for person in sorted(photos, key=_digest)}
    several = [mine for mine in turns.values() if len(mine) > 1]
    groups = [(0.75, [mine[:each] for mine in several]), (1.0, [mine for mine in turns.values() if len(mine) == 1])]
    groups.append((1.0, [mine[:each] for mine in several]))
    further = zip_longest(*(mine[each:] for mine in several))
    groups.append((1.0, [[sample] for row in further for sample in row if sample]))
    chosen: set[str] = set()
    count = 0
    for share, group in groups:
        for some in group:
            if count >= share * budget:
                break
            count += sum(faces[sample] for sample in set(some) - chosen)
            chosen.update(some)
    return chosen


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def person_of(scope: str, subject: str, label: str | None) -> str:
    """Who the source says it is; else whoever has the pseudonym: a region of a still, or a track of a sequence."""
    return f"unlabelled {scope} {subject}" if label is None else label


def _scene(rows: list[dict[str, Any]]) -> Scene:
    first = rows[0]
    return Scene(
        first["sample"],
        first["source_file"] or "",
        first["source_sha256"] or "",
        first["file"],
        first["output_sha256"],
        tuple(_face(row) for row in rows),
    )


def _face(row: dict[str, Any]) -> Face:
    label = row["source_subject"]
    x0, y0, x1, y1 = row["box"]
    region = Region(
        "face",
        (x0, y0, x1, y1),
        label,
        tuple(row["landmarks"] or ()),
        tuple(row["transform"] or ()),
        row["detector"] or "",
        row["score"] or 0.0,
    )
    person = person_of(row["scope"], row["subject"], label)
    return Face(person, label is not None, row["subject"], row["scope"], row["status"], region, row["region"])
