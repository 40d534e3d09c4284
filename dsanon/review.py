"""What a reviewer decided about regions of a release: a file on the private side, which the next run applies.

review.json: ``{"schema": 1, "manifest_sha256": …, "decisions": [{"sample": …, "region": 0, "verdict": "mask"}, …]}``.
``manifest_sha256`` is of the manifest.parquet that was looked at: decisions about one release mean nothing in another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from dsanon.durable import PRIVATE, read_json, write_json
from dsanon.errors import ReleaseError

Verdict = Literal["accept", "mask", "drop"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True, order=True)
class Decision:
    """About one region. sample, region: as in the manifest

    verdict: ``accept`` leaves it as it is · ``mask`` covers it with grey · ``drop`` withholds its whole sample
    """

    sample: str
    region: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Review:
    """Decisions about one release, at most one for each region."""

    manifest_sha256: str
    decisions: tuple[Decision, ...] = field(default=())

    def of(self, sample: str) -> dict[int, Verdict]:
        """What was decided about the regions of one sample."""
        return {d.region: d.verdict for d in self.decisions if d.sample == sample}

    def decided(self, decision: Decision) -> Review:
        """With one more decision, in place of an earlier one about the same region."""
        others = [d for d in self.decisions if (d.sample, d.region) != (decision.sample, decision.region)]
        return Review(self.manifest_sha256, tuple(sorted([*others, decision])))

    def undecided(self, sample: str, region: int) -> Review:
        """Without the decision about one region."""
        others = tuple(d for d in self.decisions if (d.sample, d.region) != (sample, region))
        return Review(self.manifest_sha256, others)


def manifest_digest(release: Path) -> str:
    """The sha256 of a release's manifest. Raises ReleaseError where there is none."""
    try:
        return hashlib.sha256((release / "manifest.parquet").read_bytes()).hexdigest()
    except OSError as error:
        raise ReleaseError(f"{release} has no manifest.parquet ({error.strerror}): name a finished release") from error


def write_review(path: Path, review: Review) -> None:
    """Write the decisions (0600); atomically."""
    rows = [{"sample": d.sample, "region": d.region, "verdict": d.verdict} for d in review.decisions]
    write_json(path, {"schema": 1, "manifest_sha256": review.manifest_sha256, "decisions": rows}, PRIVATE)


def read_review(path: Path) -> Review:
    """The decisions in ``path``. Raises ReleaseError for a missing file, or one with anything else in it."""
    stored = read_json(path)
    if stored is None:
        raise ReleaseError(f"{path} does not exist: name the file that `dsanon review` wrote")
    if not isinstance(stored, dict) or stored.get("schema") != 1 or not isinstance(stored.get("decisions"), list):
        raise ReleaseError(f"{path} is no review of schema 1: name the file that `dsanon review` wrote")
    decisions = tuple(sorted(_decision(path, number, row) for number, row in enumerate(stored["decisions"])))
    if len(_regions(decisions)) != len(decisions):
        raise ReleaseError(f"{path} decides twice about a region: keep one of the two")
    return Review(str(stored.get("manifest_sha256", "")), decisions)


def _regions(decisions: Iterable[Decision]) -> set[tuple[str, int]]:
    return {(d.sample, d.region) for d in decisions}


def _decision(path: Path, number: int, row: Any) -> Decision:
    if (
        not isinstance(row, dict)
        or not isinstance(row.get("sample"), str)
        or type(row.get("region")) is not int
        or row.get("verdict") not in VERDICTS
    ):
        raise ReleaseError(
            f"{path}, decision {number}: {row!r:.80}: expected sample, region (a number) and a verdict of "
            f"{', '.join(VERDICTS)}"
        )
    return Decision(row["sample"], row["region"], row["verdict"])
