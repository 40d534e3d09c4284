"""The rules of assignment on rows of a map."""

from __future__ import annotations

from typing import Any

from dsanon_eval.leaks.assignment import _Rules


def row(
    subject: str, label: str | None = None, scope: str = "s", vector: int = 1, kind: str = "face"
) -> dict[str, Any]:
    return {
        "kind": kind,
        "scope": scope,
        "subject": subject,
        "source_subject": label,
        "control_ids": [vector],
        "control_weights": [1.0],
    }


def messages(tracked: bool, *rows: tuple[str, int, dict[str, Any]]) -> list[str]:
    rules = _Rules(tracked)
    return [found.message for sample, region, known in rows for found in rules.add("f", sample, region, known)]


def test_an_unlabelled_track_keeps_its_pseudonym_in_a_sequence_only() -> None:
    frames = [("a#0", 0, row("p")), ("a#1", 2, row("p"))]
    assert messages(True, *frames) == []
    assert "region 2: two subjects share a pseudonym in a scope" in messages(False, *frames)


def test_nobody_unlabelled_is_twice_in_one_frame() -> None:
    (found,) = messages(True, ("a#0", 0, row("p")), ("a#0", 1, row("p")))
    assert "twice in one picture" in found


def test_a_track_shares_neither_pseudonym_nor_vector_with_somebody_labelled() -> None:
    found = messages(True, ("a#0", 0, row("p")), ("a#0", 1, row("p", "walker")))
    assert found == [
        "region 1: two subjects share a pseudonym in a scope",
        "region 1: two subjects of a scope share a control vector",
    ]
    assert messages(True, ("a#0", 0, row("p")), ("a#0", 1, row("q"))) == [
        "region 1: two subjects of a scope share a control vector"
    ]


def test_faces_and_bodies_have_vectors_of_their_own() -> None:
    both = ("a", 0, row("p", "x", vector=1)), ("a", 1, row("p", "x", vector=2, kind="body"))
    assert messages(False, *both, ("a", 2, row("q", "y", vector=1, kind="body"))) == []
    assert messages(False, *both, ("a", 2, row("q", "y", vector=2, kind="body"))) == [
        "region 2: two subjects of a scope share a control vector"
    ]
