"""What the leak scanner has before it: every file of a release, its manifest, and, where given, map and source.

A release under suspicion is hostile: links are never followed, tables are read in batches up to a limit, and what
cannot be read becomes a finding.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsanon import boxes
from dsanon.errors import DsanonError, KeyFileError, ReleaseError, UsageError
from dsanon.heads import extent, head_box
from dsanon.images import safe_path
from dsanon.layout import ReleasePaths
from dsanon.manifest import MANIFEST
from dsanon.private_map import open_map
from dsanon.sample import Person, Rle
from dsanon.sources import open_source
from dsanon.sources.stills import IMAGE_SUFFIXES, printable
from dsanon.sources.video import SUFFIXES as CLIP_SUFFIXES
from dsanon_eval.leaks.finding import Finding
from dsanon_eval.seeing.clips import frame_of

MOST_ROWS, MOST_BYTES = 20_000_000, 4 * 2**30  # of a table; the largest datasets have a tenth of it
SILHOUETTES = frozenset({"coco", "mots"})  # datasets that have some
SAME_HEAD = 0.9  # IoU of a region and of where the head is guessed to be
# JPEG, PNG, GIF, RIFF (WebP, AVI), TIFF, Matroska and WebM, JPEG XL; ISO media have theirs behind a length
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"\x1a\x45\xdf\xa3", b"\xff\x0a")
PSEUDONYMOUS = frozenset({"lfw", "folder", "video"})  # the others' paths are numbers, and kept


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file. name: relative, with forward slashes · modified: in nanoseconds"""

    name: str
    path: Path
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A region, as manifest and map have it. frame: of a video · landmarks, transform: () where unknown

    silhouette: of a head that was guessed: what of the box the person takes up, so all that was covered (and a bit)
    """

    frame: int | None
    number: int
    kind: str
    box: tuple[float, float, float, float]
    status: str
    method: str
    landmarks: tuple[float, ...] = ()
    transform: tuple[float, ...] = ()
    silhouette: Rle | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A released picture or clip. file: relative to RELEASE · original: its source, None where it is not known

    regions: everybody the manifest tells of · withheld: frames that are grey
    """

    file: str
    path: Path
    original: Path | None
    regions: tuple[Seen, ...]
    withheld: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """manifest: the contract's columns, None where they cannot be read · map: None without a readable private side

    people: whom the source annotates with silhouettes, by its files
    """

    root: Path
    entries: tuple[Entry, ...]
    release: Mapping[str, Any]
    manifest: pa.Table | None
    map: pa.Table | None
    source: Path | None
    findings: tuple[Finding, ...]
    by_region: Mapping[tuple[str, int], int] = field(default_factory=dict)  # (sample, region) → row of the map
    people: Mapping[str, tuple[Person, ...]] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """The layout that release.json states, '' where it states none."""
        configuration = self.release.get("configuration")
        return str(configuration.get("dataset", "")) if isinstance(configuration, dict) else ""

    def original(self, file: str, mapped: str | None) -> Path | None:
        """The source's file of a released one: as the map says, or of the same path where paths are kept."""
        if self.source is None:
            return None
        base = self.source if self.source.is_dir() else self.source.parent
        name = mapped or (file if self.dataset and self.dataset not in PSEUDONYMOUS else None)
        if name is None or not safe_path(name):
            return None
        path = base / name
        return path if path.is_file() and not path.is_symlink() else None

    def cases(self) -> Iterator[Case]:
        """Every released picture and clip that the manifest tells of, with its regions."""
        if self.manifest is None:
            return
        there = {entry.name: entry.path for entry in self.entries}
        rows: list[dict[str, Any]] = []
        table = self.manifest.sort_by([(column, "ascending") for column in ("file", "sample", "region")])
        for batch in table.to_batches(max_chunksize=1 << 14):
            for row in batch.to_pylist():
                if rows and row["file"] != rows[0]["file"]:
                    yield from self._case(rows, there)
                    rows = []
                rows.append(row)
        if rows:
            yield from self._case(rows, there)

    def _case(self, rows: Sequence[dict[str, Any]], there: Mapping[str, Path]) -> Iterator[Case]:
        file = f"data/{rows[0]['file']}"
        if file not in there:
            return
        regions, mapped = [], None
        for row in rows:
            box = row["box"]
            if row["region"] is None or not isinstance(box, list) or len(box) != 4 or not all(map(isfinite, box)):
                continue  # the manifest's own checks tell it
            index = self.by_region.get((row["sample"], row["region"]))
            known: dict[str, Any] = {}
            if index is not None and self.map is not None:
                known = self.map.slice(index, 1).to_pylist()[0]
                mapped = known["source_file"]
            regions.append(
                Seen(
                    frame_of(row["sample"]),
                    row["region"],
                    str(row["kind"]),
                    (box[0], box[1], box[2], box[3]),
                    str(row["status"]),
                    str(row["method"]),
                    tuple(known.get("landmarks") or ()),
                    tuple(known.get("transform") or ()),
                    self._silhouette(row, known),
                )
            )
        grey = frozenset(frame_of(row["sample"]) or 0 for row in rows if row["status"] == "quarantined")
        yield Case(file, there[file], self.original(rows[0]["file"], mapped), tuple(regions), grey)

    def _silhouette(self, row: Mapping[str, Any], known: Mapping[str, Any]) -> Rle | None:
        """Of the person whose head was guessed to be in a region's box; None where the whole box was covered."""
        guessed = row["kind"] == "face" and known and known["detector"] == "annotation" and not known["landmarks"]
        for person in self.people.get(known["source_file"], ()) if guessed else ():
            rle, place = person.silhouette, extent(person) if person.many else head_box(person)
            if rle is None or place is None or person.head is not None or person.subject != known["source_subject"]:
                continue
            if boxes.iou(boxes.clip([place], rle.width, rle.height), [row["box"]])[0, 0] > SAME_HEAD:
                return rle
        return None


def is_picture(name: str) -> bool:
    """Whether a path is named like a still image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def is_clip(name: str) -> bool:
    """Whether a path is named like a video."""
    return PurePosixPath(name).suffix.lower() in CLIP_SUFFIXES


def shows_pictures(path: Path) -> bool:
    """Whether a file begins as images and videos do, whatever it is called. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(_MAGIC) or head[4:8] == b"ftyp" or (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0")


def is_instance_mask(name: str, dataset: str) -> bool:
    """MOTS' annotations are PNGs: of silhouettes, not of people."""
    return dataset == "mots" and "instances" in name.split("/") and name.endswith(".png")


def open_release(release: Path, source: Path | None, private: Path | None, key: Path | None) -> Opened:
    """Read what there is. private: None is RELEASE.private, which may be absent (or its key destroyed): no map then.

    Raises UsageError where RELEASE is no release or SOURCE is missing, ReleaseError where a named private side is not
    there, KeyFileError for a wrong key.
    """
    root = release.resolve()
    if not (root / "release.json").is_file() or not (root / "data").is_dir():
        raise UsageError(f"{release} is no release: expected a folder with data/ and release.json in it")
    if source is not None and not source.exists():
        raise UsageError(f"SOURCE {source} does not exist: name what the release was made from")
    entries, findings = walk(root)
    release_json, problem = _read_json(root / "release.json")
    findings += problem
    manifest, problem = _read_manifest(root / "manifest.parquet")
    findings += problem
    table = _read_map(root, private, key)
    rows: dict[tuple[str, int], int] = {}
    if table is not None:
        keys = zip(table["sample"].to_pylist(), table["region"].to_pylist(), strict=True)
        rows = {(sample, region): index for index, (sample, region) in enumerate(keys)}
    where = source.resolve() if source else None
    opened = Opened(root, tuple(entries), release_json, manifest, table, where, tuple(findings), rows)
    return replace(opened, people=_people(opened.dataset, where)) if where and table is not None else opened


def walk(root: Path) -> tuple[list[Entry], list[Finding]]:
    """Every regular file below ``root``, sorted, and findings for links, pipes and devices, which are not opened."""
    entries, findings, folders = [], [], [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as listed:
                for item in listed:
                    name = printable(folder + item.name)
                    if item.is_dir(follow_symlinks=False):
                        folders.append(folder + item.name + "/")
                        continue
                    state = item.stat(follow_symlinks=False)
                    if stat.S_ISREG(state.st_mode):
                        entries.append(Entry(name, Path(item.path), state.st_size, state.st_mtime_ns))
                    else:
                        what = "a symbolic link" if item.is_symlink() else "no regular file"
                        findings.append(Finding("file", name, f"{what}: a release has files and folders only"))
        except OSError as error:
            findings.append(Finding("file", printable(folder) or ".", f"cannot be listed ({error.strerror})"))
    return sorted(entries, key=lambda entry: entry.name), findings


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A Parquet file, a few rows at a time. Raises ReleaseError for what is none, or too large."""
    try:
        with path.open("rb") as file:
            table = pq.ParquetFile(file)
            shape = table.metadata
            size = sum(shape.row_group(i).total_byte_size for i in range(shape.num_row_groups))
            if shape.num_rows > MOST_ROWS or size > MOST_BYTES:
                raise ReleaseError(f"{shape.num_rows} rows and {size} bytes: at most {MOST_ROWS} and {MOST_BYTES}")
            yield from table.iter_batches(batch_size=1 << 14, columns=columns)
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise ReleaseError(f"no Parquet file that can be read ({type(error).__name__})") from None


def _people(dataset: str, source: Path) -> Mapping[str, tuple[Person, ...]]:
    """Everybody with a silhouette; nobody where the source is no such dataset (any more): whole boxes are compared."""
    if dataset not in SILHOUETTES:
        return {}
    try:
        samples = open_source(dataset, source).samples()
    except DsanonError:
        return {}
    return {sample.file: sample.people for sample in samples if any(person.silhouette for person in sample.people)}


def _read_json(path: Path) -> tuple[Mapping[str, Any], list[Finding]]:
    try:
        content = json.loads(path.read_bytes()) if path.stat().st_size < 2**24 and not path.is_symlink() else None
    except (OSError, ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        return content, []
    return {}, [Finding("manifest", path.name, "cannot be read as a JSON object: make the release again")]


def _read_manifest(path: Path) -> tuple[pa.Table | None, list[Finding]]:
    """The contract's columns in their types, whatever else is there. Columns beyond them are a finding."""
    name = path.name
    if path.is_symlink() or not path.is_file():
        return None, [Finding("manifest", name, "is missing: nothing accounts for the files")]
    findings = []
    try:
        with path.open("rb") as file:
            columns = pq.read_schema(file).names
        if extra := [column for column in columns if column not in MANIFEST.names]:
            findings.append(Finding("manifest", name, f"{len(extra)} columns beyond the contract's: drop them"))
        if missing := [column for column in MANIFEST.names if column not in columns]:
            return None, [*findings, Finding("manifest", name, f"lacks the columns {', '.join(missing)}")]
        pieces = list(batches(path, MANIFEST.names))
        table = pa.Table.from_batches(pieces) if pieces else MANIFEST.empty_table()
        table = pa.table({field.name: table[field.name].cast(field.type) for field in MANIFEST})
    except (ReleaseError, OSError, pa.ArrowException, KeyError) as error:  # KeyError: a column is there twice
        what = (
            str(error) if isinstance(error, ReleaseError) else f"not of the contract's types ({type(error).__name__})"
        )
        return None, [*findings, Finding("manifest", name, f"{what}: make the release again")]
    return table, findings


def _read_map(root: Path, private: Path | None, key: Path | None) -> pa.Table | None:
    if private is None and key is None and not root.with_name(root.name + ".private").is_dir():
        return None
    try:
        return open_map(ReleasePaths.of(None, root, private, key), key).combine_chunks()
    except KeyFileError as error:
        if "destroyed" in str(error):
            return None
        raise
