from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsanon.errors import ReleaseError
from dsanon.review import Decision, Review, read_review, write_review

DROP, MASK = Decision("p1", 0, "drop"), Decision("p1", 1, "mask")


def test_decisions_come_back_as_they_were(tmp_path: Path) -> None:
    review = Review("ab" * 32).decided(MASK).decided(DROP)
    write_review(tmp_path / "review.json", review)
    assert read_review(tmp_path / "review.json") == review == Review("ab" * 32, (DROP, MASK))
    assert (tmp_path / "review.json").stat().st_mode & 0o777 == 0o600


def test_a_region_has_one_decision() -> None:
    review = Review("", (DROP, MASK))
    assert review.decided(Decision("p1", 0, "accept")).of("p1") == {0: "accept", 1: "mask"}
    assert review.undecided("p1", 0).of("p1") == {1: "mask"}
    assert review.of("p2") == {}


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ([], "no review of schema 1"),
        ({"schema": 2, "decisions": []}, "no review of schema 1"),
        ({"schema": 1, "decisions": [{"sample": "a", "region": True, "verdict": "mask"}]}, "decision 0"),
        ({"schema": 1, "decisions": [{"sample": 1, "region": 0, "verdict": "mask"}]}, "decision 0"),
        ({"schema": 1, "decisions": [{"sample": "a", "region": 0, "verdict": "keep"}]}, "accept, mask, drop"),
        ({"schema": 1, "decisions": [{"sample": "a", "region": 0, "verdict": v} for v in ("mask", "drop")]}, "twice"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, stored: Any, said: str) -> None:
    file = tmp_path / "review.json"
    file.write_text(json.dumps(stored))
    with pytest.raises(ReleaseError, match=said):
        read_review(file)
