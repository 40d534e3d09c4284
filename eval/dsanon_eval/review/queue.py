"""Which regions of a release a person should look at first: review.parquet, on the private side.

It tells where the anonymization is weakest, so it is nothing to publish.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
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
_ABOUT = b"dsanon.manifest"  # metadata: of what release

_COVERED, _FALLBACK, _ONE_DETECTOR, _UNTREATED = 0.2, 0.4, 0.3, 0.6  # covered: a fallback to flat grey
_FAR = 0.001  # the false accept rate at which a recogniser's threshold is taken
_AT_MOST = 2000  # faces whose pairs set the threshold: two million pairs


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near a released face is to its own original, by the recogniser that comes nearest to accepting it.

    similarity: cosine · threshold: the cosine from which on that recogniser takes two faces for one person
    spread: how far typical strangers stay below the threshold; recognisers differ much in it
    """

    similarity: float
    threshold: float
    spread: float

    @property
    def margin(self) -> float:
        """How far it stays below the threshold; negative: recognised."""
        return self.threshold - self.similarity

    @property
    def nearness(self) -> float:
        """0 at the threshold, -1 where typical strangers are."""
        return -self.margin / self.spread


def likenesses(
    places: Sequence[tuple[str, int]],
    people: Sequence[str],
    embeddings: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
) -> dict[tuple[str, int], Likeness]:
    """How near each released face is to its own original, by the recogniser that comes nearest to accepting it.

    places: (sample, region) of each of n faces · people: who they are
    embeddings: of each recogniser those of the originals and of the release, (n, length); a row of NaN: none
    The threshold is that of the originals' pairs of different people at a false accept rate of 0.001.
    """
    out: dict[tuple[str, int], Likeness] = {}
    for before, after in embeddings:
        original, released = _unit(before), _unit(after)
        strangers = _strangers(original, people)
        if not strangers.size:
            continue
        threshold = float(np.quantile(strangers, 1 - _FAR))
        spread = max(threshold - float(np.median(strangers)), 1e-3)
        for place, similarity in zip(places, (original * released).sum(axis=1), strict=True):
            likeness = Likeness(float(similarity), threshold, spread)
            if np.isfinite(similarity) and (place not in out or likeness.nearness > out[place].nearness):
                out[place] = likeness
    return out


def _unit(vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Each row of length 1; one without a direction becomes NaN."""
    rows = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, np.nan))


def _strangers(original: npt.NDArray[np.float64], people: Sequence[str]) -> npt.NDArray[np.float64]:
    """The cosines of pairs of different people."""
    rows = np.flatnonzero(np.isfinite(original).all(axis=1))
    rows = rows[:: -(-len(rows) // _AT_MOST) or 1]
    who = np.unique(np.asarray(people), return_inverse=True)[1][rows]
    return np.asarray((original[rows] @ original[rows].T)[np.triu(who[:, None] != who[None], 1)])


def build(
    manifest: pa.Table,
    private_map: pa.Table | None = None,
    near: Mapping[tuple[str, int], Likeness] | None = None,
) -> pa.Table:
    """The regions that were released, the riskiest first, of schema ``REVIEW``.

    risk: 1 - the product of (1 - part) over its causes, 0 to 1: an order for looking, not a probability
    near: (sample, region) → likeness, for those that were measured · private_map: tells who found a region
    """
    found = {} if private_map is None else _found(private_map)
    ran = {name for names in found.values() for name in names} - {"annotation"}
    rows = []
    for row in manifest.to_pylist():
        if row["region"] is None or row["status"] in ("empty", "quarantined"):
            continue
        place = (row["sample"], row["region"])
        likeness = (near or {}).get(place)
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
    return pa.Table.from_pylist(
        rows, schema=REVIEW.with_metadata({**(REVIEW.metadata or {}), _ABOUT: _digest(manifest)})
    )


def _parts(row: Mapping[str, Any], likeness: Likeness | None, detectors: list[str], ran: int) -> dict[str, float]:
    """Each cause of risk, in words, and how much it counts."""
    parts = {}
    if likeness is not None and likeness.nearness > -0.5:
        cause = "a recogniser takes it for the original" if likeness.margin <= 0 else "near the original"
        parts[cause] = min(1.0, 0.5 + likeness.nearness)
    if row["status"] == "fallback":
        parts[f"fallback: {row['reason']}"] = _COVERED if row["method"] == "mask" else _FALLBACK
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
    """The queue that the audit left; if it left none, or the release has changed since, one of the manifest alone."""
    queue = read_queue(private)
    if queue is not None and (queue.schema.metadata or {}).get(_ABOUT) == _digest(manifest):
        return queue
    return build(manifest)


def _digest(manifest: pa.Table) -> bytes:
    """Of every row of a manifest, the released files' hashes among them: a release made anew is another one."""
    found = hashlib.sha256()
    for batch in manifest.to_batches():
        for row in batch.to_pylist():
            found.update(repr(row).encode("utf-8", "surrogateescape") + b"\n")
    return found.hexdigest().encode()


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
    return table.cast(REVIEW.with_metadata(table.schema.metadata))  # Parquet renames the items of lists
