"""What the first pass found, staged on the private side: one Parquet file a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsanon.durable import PRIVATE, aside
from dsanon.sample import Found, Region, Rle

_ROWS = 64
_REGION = pa.struct(
    [
        ("kind", pa.string()),
        ("box", pa.list_(pa.float64())),
        ("label", pa.string()),
        ("landmarks", pa.list_(pa.float32())),
        ("transform", pa.list_(pa.float64())),
        ("detector", pa.string()),
        ("score", pa.float64()),
        ("reason", pa.string()),
        ("silhouette", pa.struct([("height", pa.int32()), ("width", pa.int32()), ("counts", pa.binary())])),
        ("look", pa.binary()),
        ("track", pa.string()),
        ("note", pa.string()),
        ("oval", pa.bool_()),
    ]
)
FOUND = pa.schema(
    [
        ("sample", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("regions", pa.list_(_REGION)),
        ("problem", pa.string()),
        ("sha256", pa.string()),
        ("thumbnail", pa.binary()),
    ],
    metadata={"dsanon.schema": "1"},
)


def write_found(path: Path, rows: Iterable[Found]) -> None:
    """Stage one shard's findings (0600), atomically; memory holds ``_ROWS`` of them."""
    rows = iter(rows)
    with aside(path, PRIVATE) as file, pq.ParquetWriter(file, FOUND) as writer:
        while piece := [_as_row(row) for row in islice(rows, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(piece, schema=FOUND))


def read_found(*paths: Path) -> Iterator[Found]:
    """One shard's findings, in the order of its samples; memory holds ``_ROWS`` of them. paths: of its pieces"""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                yield from map(_from_row, batch.to_pylist())


def read_thumbnails(*paths: Path) -> Iterator[bytes]:
    """Nothing but the thumbnails of the frames, b'' where there is none."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["thumbnail"]):
                yield from batch["thumbnail"].to_pylist()


def _as_row(found: Found) -> dict[str, Any]:
    regions = [
        {name: getattr(region, name) for name in Region.__slots__ if name != "silhouette"}
        | {"silhouette": region.silhouette and {name: getattr(region.silhouette, name) for name in Rle.__slots__}}
        for region in found.regions
    ]
    return {name: getattr(found, name) for name in Found.__slots__} | {"regions": regions}


def _from_row(row: dict[str, Any]) -> Found:
    regions = tuple(
        Region(
            **{
                **region,
                "box": tuple(region["box"]),
                "landmarks": tuple(region["landmarks"]),
                "transform": tuple(region["transform"]),
                "silhouette": Rle(**region["silhouette"]) if region["silhouette"] else None,
            }
        )
        for region in row["regions"]
    )
    return Found(**{**row, "regions": regions})
