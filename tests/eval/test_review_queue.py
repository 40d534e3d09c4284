from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dsanon_eval.review.queue import FILE, REVIEW, Likeness, build, current_queue, likenesses, read_queue, write_queue

from dsanon.errors import ReleaseError
from dsanon.manifest import ManifestRow, to_table
from dsanon.private_map import IDENTITY_MAP
from dsanon.sample import Status


def row(sample: str, status: Status = "anonymized", reason: str = "") -> ManifestRow:
    digest = "" if status == "quarantined" else "0" * 64
    if status in ("empty", "quarantined"):
        return ManifestRow(sample, f"{sample}.jpg", "s", status, reason=reason, output_sha256=digest)
    return ManifestRow(
        sample, f"{sample}.jpg", "s", status, 0, "face", (1, 2, 30, 40), "p1", "mask", "", reason, digest
    )


def found_by(**detectors: str) -> pa.Table:
    rows = [{"sample": sample, "region": 0, "detector": names} for sample, names in detectors.items()]
    return pa.Table.from_pylist(rows, schema=IDENTITY_MAP)


def test_the_riskiest_come_first_and_say_why() -> None:
    names = ("calm", "near", "recognised", "alone")
    rows = [*map(row, names), row("back", "fallback", "turned away"), row("wall", "empty"), row("bad", "quarantined")]
    sure = "hog+centerface"
    near = {(s, 0): Likeness(x, 0.5, 0.4) for s, x in (("near", 0.45), ("recognised", 0.7), ("calm", 0.0))}
    detectors = found_by(calm=sure, near=sure, recognised=sure, alone="hog", back="hog+annotation")
    queue = build(to_table(rows), detectors, near)
    assert queue.schema.equals(REVIEW)
    assert queue["sample"].to_pylist() == ["recognised", "near", "alone", "back", "calm"]
    assert queue["risk"].to_pylist() == pytest.approx([1.0, 0.375, 0.3, 0.2, 0.0])
    assert queue["causes"].to_pylist() == [
        ["a recogniser takes it for the original"],
        ["near the original"],
        ["only hog sees a person here"],
        ["fallback: turned away"],
        [],
    ]
    assert queue["margin"].to_pylist()[0] == pytest.approx(-0.2)
    assert queue["similarity"].to_pylist()[2] is None


def test_causes_add_up() -> None:
    queue = build(to_table([row("a", "fallback", "x")]), None, {("a", 0): Likeness(0.5, 0.5, 0.4)})
    assert queue["risk"].to_pylist() == pytest.approx([1 - 0.8 * 0.5])


def test_the_recogniser_that_comes_nearest_counts() -> None:
    people, places = ["ann", "ann", "bob"], [("a", 0), ("b", 0), ("c", 0)]
    one = [[1, 0], [0.8, 0.6], [0.6, 0.8]], [[0.8, 0.6], [0, 1], [np.nan, np.nan]]  # strangers: cosines 0.6 and 0.96
    other = [[1, 0], [1, 0], [0, 1]], [[0.5, 0.5], [0, 0], [0, 0]]  # strangers: cosine 0
    found = likenesses(places, people, [one, other])
    assert found.keys() == {("a", 0), ("b", 0)}
    assert (found["a", 0].similarity, found["a", 0].threshold) == pytest.approx((0.5**0.5, 0))
    b = found["b", 0]
    assert (b.similarity, b.threshold, b.spread) == pytest.approx((0.6, 0.95964, 0.17964))
    assert b.nearness == pytest.approx(-0.35964 / 0.17964)
    assert likenesses(places, ["ann"] * 3, [one]) == {}  # no strangers, no threshold


def test_it_is_private_and_follows_its_release(tmp_path: Path) -> None:
    manifest = to_table([row("a"), row("b")])
    queue = build(manifest, None, {("a", 0): Likeness(0.9, 0.5, 0.4)})
    path = write_queue(tmp_path, queue)
    assert path.stat().st_mode & 0o077 == 0
    assert current_queue(tmp_path, manifest).equals(queue)
    changed = to_table([row("a"), row("b", "fallback", "masked by a reviewer")])
    assert current_queue(tmp_path, changed)["sample"].to_pylist() == ["b", "a"]  # made anew, without the likenesses
    painted_anew = [replace(row("a"), method="blur", output_sha256="1" * 64), row("b")]  # by --overwrite, say
    assert current_queue(tmp_path, to_table(painted_anew))["similarity"].to_pylist() == [None, None]
    path.write_bytes(b"no table")
    with pytest.raises(ReleaseError, match="audit the release again"):
        read_queue(tmp_path)
    assert read_queue(tmp_path / "elsewhere") is None
    assert path.name == FILE
