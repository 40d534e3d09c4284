"""The reviewer's desk: the queue of regions, their pictures, and the decisions, saved one by one."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from dsanon.errors import ReleaseError
from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows
from dsanon.review import VERDICTS, Decision, Review, Verdict, manifest_digest, read_review, write_review
from dsanon_eval.report.cutouts import crop, open_picture, outlined
from dsanon_eval.review.queue import current_queue
from dsanon_eval.seeing.clips import frame_of

DECISIONS = "review.json"
PAGE = 24  # regions a page


class Desk:
    """One release under review. It shows pixels of the release only."""

    def __init__(self, paths: ReleasePaths) -> None:
        """Raises ReleaseError: no release, no private side, or decisions that are about another release."""
        digest = manifest_digest(paths.release)
        if not paths.private.is_dir():
            raise ReleaseError(
                f"{paths.private} does not exist: decisions are kept on the private side, name it with --private"
            )
        self.name = paths.release.name
        self.decisions = paths.private / DECISIONS
        self.rows: list[dict[str, Any]] = current_queue(
            paths.private, read_rows(paths.release / "manifest.parquet")
        ).to_pylist()
        self._review = read_review(self.decisions) if self.decisions.exists() else Review(digest)
        if self._review.manifest_sha256 != digest:
            raise ReleaseError(
                f"{self.decisions} is about another state of this release (applied already?): move it away"
            )
        self._data = paths.release / "data"
        self._lock = threading.Lock()
        self._picture = lru_cache(maxsize=2)(open_picture)

    @property
    def pages(self) -> int:
        """At least one, be it empty."""
        return max(1, -(-len(self.rows) // PAGE))

    def counts(self) -> dict[str, int]:
        """How many regions were decided, by verdict."""
        verdicts = [decision.verdict for decision in self._review.decisions]
        return {verdict: verdicts.count(verdict) for verdict in VERDICTS}

    def verdict(self, number: int) -> Verdict | None:
        """What was decided about a row of the queue."""
        row = self.rows[number]
        return self._review.of(row["sample"]).get(row["region"])

    def decide(self, number: int, verdict: Verdict | None) -> None:
        """Decide about a row of the queue, or take it back with None; on disk when it returns. Raises ReleaseError."""
        row = self.rows[number]
        with self._lock:
            if verdict is None:
                review = self._review.undecided(row["sample"], row["region"])
            else:
                review = self._review.decided(Decision(row["sample"], row["region"], verdict))
            write_review(self.decisions, review)
            self._review = review

    def picture(self, number: int, whole: bool) -> bytes:
        """JPEG of a region, or of the whole picture with the region marked. Raises BadImage."""
        row = self.rows[number]
        with self._lock:
            pixels = self._picture(self._data, row["file"], frame_of(row["sample"]))
        return outlined(pixels, row["box"]) if whole else crop(pixels, row["box"], 320)


def open_desk(release: Path, private: Path | None = None) -> Desk:
    """The desk of a release. Raises ReleaseError, UsageError."""
    return Desk(ReleasePaths.of(None, release, private))
