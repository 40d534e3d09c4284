"""Which regions of a release a person should look at first: review.parquet, on the private side.

It tells where the anonymization is weakest, so it is nothing to publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsanon.durable import PRIVATE, aside
from dsanon.errors import ReleaseError

REVIEW = pa.schema(
    [
        ("sample", pa.string()),
        ("file", pa.string()),
        ("region", pa.int32()),
        ("kind", pa.string()),
        ("box", pa.list_(pa.float32())),
        ("subject", pa.string()),
        ("status", pa.string()),
        ("risk", pa.float32()),
        ("similarity", pa.float32()),
        ("margin", pa.float32()),
        ("detectors", pa.list_(pa.string())),
        ("causes", pa.list_(pa.string())),
    ],
    metadata={"dsanon.schema": "1"},
)
FILE = "review.parquet"

_NEAR = 0.2  # cosine on either side of the threshold: the width over which a likeness becomes a risk
_FALLBACK, _ONE_DETECTOR, _UNTREATED = 0.4, 0.3, 0.6


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near a released face is to its own original, by the strongest recogniser that looked at it.

    similarity: cosine · threshold: the cosine from which on that recogniser takes two faces for one person
    """

    similarity: float
    threshold: float

    @property
    def margin(self) -> float:
        """How far it stays below the threshold; negative: recognised."""
        return self.threshold - self.similarity


def build(
    manifest: pa.Table,
    private_map: pa.Table | None = None,
    likenesses: Mapping[tuple[str, int], Likeness] | None = None,
) -> pa.Table:
    """The regions that were released, the riskiest first, of schema ``REVIEW``.

    risk: 1 - the product of (1 - part) over its causes, 0 to 1: an order for looking, not a probability
    likenesses: (sample, region) → likeness, for those that were measured · private_map: tells who found a region
    """
    found = {} if private_map is None else _found(private_map)
    ran = {name for names in found.values() for name in names} - {"annotation"}
    rows = []
    for row in manifest.to_pylist():
        if row["region"] is None or row["status"] in ("empty", "quarantined"):
            continue
        place = (row["sample"], row["region"])
        likeness = (likenesses or {}).get(place)
        detectors = found.get(place, [])
        parts = _parts(row, likeness, detectors, len(ran))
        safe = 1.0
        for part in parts.values():
            safe *= 1 - part
        rows.append(
            {name: row[name] for name in ("sample", "file", "region", "kind", "box", "subject", "status")}
            | {"risk": 1 - safe, "causes": list(parts), "detectors": detectors}
            | {"similarity": likeness.similarity if likeness else None, "margin": likeness.margin if likeness else None}
        )
    rows.sort(key=lambda row: (-row["risk"], row["file"], row["sample"], row["region"]))
    return pa.Table.from_pylist(rows, schema=REVIEW)


def _parts(row: Mapping[str, Any], likeness: Likeness | None, detectors: list[str], ran: int) -> dict[str, float]:
    """Each cause of risk, in words, and how much it counts."""
    parts = {}
    if likeness is not None and likeness.margin < _NEAR:
        cause = "a recogniser takes it for the original" if likeness.margin <= 0 else "near the original"
        parts[cause] = min(1.0, (_NEAR - likeness.margin) / (2 * _NEAR))
    if row["status"] == "fallback":
        parts[f"fallback: {row['reason']}"] = _FALLBACK
    if row["status"] == "kept":
        parts["left as it is, by consent"] = _UNTREATED
    if ran > 1 and detectors and "annotation" not in detectors and len(detectors) == 1:
        parts[f"only {detectors[0]} sees a person here"] = _ONE_DETECTOR
    return parts


def _found(private_map: pa.Table) -> dict[tuple[str, int], list[str]]:
    columns = (private_map[name].to_pylist() for name in ("sample", "region", "detector"))
    return {
        (sample, region): detector.split("+") if detector else []
        for sample, region, detector in zip(*columns, strict=True)
    }


def write_queue(private: Path, queue: pa.Table) -> Path:
    """Write the queue to the private side (0600), atomically; returns its path."""
    path = private / FILE
    with aside(path, PRIVATE) as file:
        pq.write_table(queue.combine_chunks(), file, compression="zstd")
    return path


def current_queue(private: Path, manifest: pa.Table) -> pa.Table:
    """The queue that the audit left, or, where it left none or its release is no longer this one, one made of the
    manifest alone."""
    queue = read_queue(private)
    fresh = build(manifest)
    return queue if queue is not None and _places(queue) == _places(fresh) else fresh


def _places(queue: pa.Table) -> set[tuple[Any, ...]]:
    rows = queue.select(["sample", "region", "status"]).to_pylist()
    return {(row["sample"], row["region"], row["status"]) for row in rows}


def read_queue(private: Path) -> pa.Table | None:
    """The queue, None where there is none. Raises ReleaseError for a file that is none."""
    path = private / FILE
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException) as error:
        raise ReleaseError(f"{path} cannot be read as a review queue ({error}): audit the release again") from error
    if not table.schema.equals(REVIEW) or (table.schema.metadata or {}).get(b"dsanon.schema") != b"1":
        raise ReleaseError(f"{path} is no review queue of schema 1: audit the release again")
    return table.cast(REVIEW)
