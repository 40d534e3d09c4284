"""The public table: a row for every region and one for every sample without any, and the counts that must add up."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsanon.durable import aside
from dsanon.errors import DsanonError, ReleaseError
from dsanon.external_sort import rechunked, sorted_pieces
from dsanon.sample import Box, Kind, Status

MANIFEST = pa.schema(
    [
        ("sample", pa.string()),
        ("file", pa.string()),
        ("scope", pa.string()),
        ("region", pa.int32()),
        ("kind", pa.string()),
        ("box", pa.list_(pa.float32())),
        ("subject", pa.string()),
        ("method", pa.string()),
        ("model", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("output_sha256", pa.string()),
    ],
    metadata={"dsanon.schema": "1"},
)
STATUSES: tuple[Status, ...] = get_args(Status)
# A sample is what the gravest of its rows is.
GRAVITY: tuple[Status, ...] = ("empty", "kept", "anonymized", "fallback", "quarantined")
ROW_GROUP = 1 << 16
PENDING = "0" * 64  # stands for the hash of a file that is still being written


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One region of one sample, or a sample without any (region, kind, box and subject are then None).

    sample, file, scope, subject: pseudonymous · file: relative to data/ · box: x0 y0 x1 y1 in output pixels, half-open
    model: first 16 digits of the weights' sha256, '' for a method without · output_sha256: '' where nothing came out
    """

    sample: str
    file: str
    scope: str
    status: Status
    region: int | None = None
    kind: Kind | None = None
    box: Box | None = None
    subject: str | None = None
    method: str = ""
    model: str = ""
    reason: str = ""
    output_sha256: str = ""

    def __post_init__(self) -> None:
        """Raises DsanonError for a row that no manifest may hold."""
        problem = self._problem()
        if problem:
            raise DsanonError(f"manifest row of sample {self.sample!r}, region {self.region}: {problem}")

    def _problem(self) -> str:
        if self.status not in STATUSES:
            return f"status {self.status!r} is none of {', '.join(STATUSES)}"
        if self.region is None:
            if self.status not in ("empty", "quarantined"):
                return f"a sample without a region is empty or quarantined, not {self.status}"
            if (self.kind, self.box, self.subject) != (None, None, None):
                return "kind, box and subject are of a region, and there is none"
        else:
            if self.status == "empty":
                return "an empty sample has no region"
            if self.region < 0 or self.kind not in get_args(Kind) or not self.subject:
                return f"a region needs a number from 0, a kind (not {self.kind}) and a subject (not {self.subject!r})"
            if self.box is None or not (
                all(map(math.isfinite, self.box)) and 0 <= self.box[0] < self.box[2] and 0 <= self.box[1] < self.box[3]
            ):
                return f"box {self.box} is not x0 < x1, y0 < y1 within the picture"
        if self.output_sha256 == "" and self.status == "quarantined":
            return ""
        if not re.fullmatch("[0-9a-f]{64}", self.output_sha256):
            return f"output_sha256 {self.output_sha256!r} is not 64 hexadecimal digits"
        return ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many samples ended how, and how many regions: ``regions[kind][status]``."""

    anonymized: int = 0
    fallback: int = 0
    kept: int = 0
    empty: int = 0
    quarantined: int = 0
    regions: dict[str, dict[str, int]] | None = None

    @property
    def samples(self) -> int:
        """All of them."""
        return sum(self.by_status().values())

    def by_status(self) -> dict[str, int]:
        """Samples by status, in the contract's order."""
        return {status: getattr(self, status) for status in STATUSES}

    def plus(self, other: Counts) -> Counts:
        """The counts of two tables that share no sample, of regions in the contract's order."""
        mine, theirs = self.regions or {}, other.regions or {}
        regions: dict[str, dict[str, int]] = {
            kind: {
                status: mine.get(kind, {}).get(status, 0) + theirs.get(kind, {}).get(status, 0)
                for status in STATUSES
                if status in mine.get(kind, {}) or status in theirs.get(kind, {})
            }
            for kind in get_args(Kind)
            if kind in mine or kind in theirs
        }
        samples = {status: getattr(self, status) + getattr(other, status) for status in STATUSES}
        return Counts(**samples, regions=regions)

    def account_for(self, samples: int) -> None:
        """Raises DsanonError unless every one of the source's ``samples`` is in the table, once."""
        if samples != self.samples:
            parts = " + ".join(f"{count} {status}" for status, count in self.by_status().items())
            raise DsanonError(
                f"accounting: {samples} samples came in, {self.samples} are in the manifest ({parts}): not released"
            )


def count(table: pa.Table) -> Counts:
    """The counts of a manifest. Raises DsanonError for an unknown status."""
    rank = pc.index_in(table["status"], value_set=pa.array(GRAVITY))
    if rank.null_count:
        raise DsanonError(f"the manifest has {rank.null_count} rows whose status is none of {', '.join(STATUSES)}")
    gravest = pa.table({"sample": table["sample"], "rank": rank}).group_by("sample").aggregate([("rank", "max")])
    samples = {GRAVITY[entry["values"]]: entry["counts"] for entry in gravest["rank_max"].value_counts().to_pylist()}
    people = table.filter(pc.is_valid(table["region"])).group_by(["kind", "status"]).aggregate([([], "count_all")])
    found = {(row["kind"], row["status"]): row["count_all"] for row in people.to_pylist()}
    regions: dict[str, dict[str, int]] = {
        kind: {status: found[kind, status] for status in STATUSES if (kind, status) in found}
        for kind in get_args(Kind)
        if any(kind == seen for seen, _ in found)
    }
    return Counts(**samples, regions=regions)


def to_table(rows: Sequence[ManifestRow]) -> pa.Table:
    """Rows as a table of schema ``MANIFEST``."""
    columns = {name: [getattr(row, name) for row in rows] for name in (item.name for item in fields(ManifestRow))}
    return pa.Table.from_pydict({name: columns[name] for name in MANIFEST.names}, schema=MANIFEST)


def hashed(table: pa.Table, hashes: Mapping[str, str]) -> pa.Table:
    """``table`` with ``hashes`` of the released files in place of ``PENDING``. Raises DsanonError where one lacks."""
    pending = pc.equal(table["output_sha256"], PENDING)
    files = table["file"].dictionary_encode().combine_chunks() if table.num_rows else None
    known = [] if files is None else [hashes.get(file) for file in files.dictionary.to_pylist()]
    found = pa.array([], pa.string()) if files is None else pa.array(known, pa.string()).take(files.indices)
    column = pc.if_else(pending, found, table["output_sha256"])
    if column.null_count:
        raise DsanonError(f"{column.null_count} rows of the manifest name a file that was not written: not released")
    return table.set_column(table.schema.get_field_index("output_sha256"), MANIFEST.field("output_sha256"), column)


def write_rows(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Write one shard's rows; atomically, and the same bytes for the same rows. Raises ReleaseError."""
    write_table(path, to_table(rows))


def read_rows(path: Path) -> pa.Table:
    """A manifest, or one shard of it. Raises ReleaseError for a file that is none."""
    try:
        # Through a file object: a path would be read as a partitioned data set, with columns from folder names.
        with path.open("rb") as file:
            table = pq.read_table(file)
        table.validate(full=True)  # a damaged file may hold text that is no UTF-8
    except (OSError, MemoryError, ValueError, pa.ArrowException) as error:
        raise ReleaseError(f"{path} cannot be read as a manifest ({error}): run the job again") from error
    if not table.schema.equals(MANIFEST) or (table.schema.metadata or {}).get(b"dsanon.schema") != b"1":
        raise ReleaseError(f"{path} is not a manifest of schema 1: found the columns {', '.join(table.schema.names)}")
    return table.cast(MANIFEST)  # Parquet renames the items of lists


def merge(paths: Iterable[Path], out: Path, scratch: Path) -> Counts:
    """Join the shards' rows into one manifest, sorted by file, sample and region; its bytes do not tell the shards.

    scratch: a private folder for what does not fit into memory
    Raises DsanonError where a region is there twice, ReleaseError where a shard cannot be read.
    """
    counts = Counts()

    def checked() -> Iterator[pa.Table]:
        nonlocal counts
        for piece in sorted_pieces(map(read_rows, paths), MANIFEST, ("file", "sample", "region"), scratch):
            distinct = piece.group_by(["sample", "region"]).aggregate([]).num_rows
            if distinct != piece.num_rows:
                raise DsanonError(
                    f"accounting: {piece.num_rows - distinct} regions are in the manifest twice: nothing is released"
                )
            counts = counts.plus(count(piece))
            yield piece

    _write_pieces(out, checked())
    return counts


def write_table(path: Path, table: pa.Table) -> None:
    """Write a manifest under its final name; no clock and no chunking enters its bytes."""
    _write_pieces(path, [table])


def _write_pieces(path: Path, pieces: Iterable[pa.Table]) -> None:
    options = {"compression": "zstd", "compression_level": 3}
    with aside(path) as file, pq.ParquetWriter(file, MANIFEST, **options) as writer:
        for piece in rechunked(pieces, ROW_GROUP):
            writer.write_table(piece, row_group_size=ROW_GROUP)
