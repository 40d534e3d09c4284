"""Every clause of the contract's *Assignment*, for generators down to one identity."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsanon.errors import UsageError
from dsanon.naming import Names
from dsanon.plan import (
    Control,
    _control,
    _part,
    _size,
    assign,
    assign_all,
    read_cameras,
    read_kept,
    scope_label,
    scope_of,
)
from dsanon.sample import Sample

NAMES = Names(b"k" * 32)
subjects = st.sets(st.text(max_size=4), max_size=30)
# Scopes that share subjects, and who among the subjects is in the generator.
worlds = st.dictionaries(st.sampled_from("abcd"), st.sets(st.sampled_from("stuvwxyz")), max_size=4)
owners = st.dictionaries(st.sampled_from("stuvwxyz"), st.integers(0, 6))


def people(number: int) -> list[str]:
    return [f"person {index}" for index in range(number)]


@given(worlds, st.integers(3, 7), owners)
def test_clauses_of_the_assignment(world: dict[str, set[str]], identities: int, own: dict[str, int]) -> None:
    plan = assign_all(NAMES, world, identities, own)
    assert set(plan) == {(scope, subject) for scope, members in world.items() for subject in members}
    for scope, members in world.items():
        assert len({plan[scope, subject] for subject in members}) == len(members), (
            "two subjects of a scope share a vector"
        )
    for subject in "stuvwxyz":
        mine = [control for (_, who), control in plan.items() if who == subject]
        assert len(set(mine)) == len(mine), "a subject has the same vector in two scopes"
        assert all(own.get(subject) not in control.ids for control in mine), "a subject became partly themselves"
    for control in plan.values():
        assert len(control.ids) == len(control.weights) == len(set(control.ids)) <= 2
        assert all(0 <= identity < identities for identity in control.ids)
        assert sum(control.weights) == 1.0
        assert min(control.weights) > 0
        assert all(float(np.float32(weight)) == weight for weight in control.weights)


@given(subjects, st.randoms())
def test_order_of_subjects_and_scopes_does_not_matter(labels: set[str], random: object) -> None:
    backwards = sorted(labels, reverse=True)
    assert assign(NAMES, "s", sorted(labels), 5) == assign(NAMES, "s", [*backwards, *backwards], 5)
    one = assign_all(NAMES, {"a": labels, "b": labels}, 5)
    assert one == assign_all(NAMES, {"b": backwards, "a": backwards}, 5)


def test_same_key_same_plan_other_key_other_plan() -> None:
    first = assign(NAMES, "dataset", people(50), 60)
    assert first == assign(Names(b"k" * 32), "dataset", people(50), 60)
    other = assign(Names(b"l" * 32), "dataset", people(50), 60)
    assert sum(first[subject] == other[subject] for subject in first) < 10


def test_a_known_assignment_never_changes() -> None:
    """A resumed run, maybe of a later version, must go on with the identities the interrupted one gave."""
    plan = assign(NAMES, "dataset", ["Ann", "Bob", "Cid"], 2)
    assert plan == {
        "Ann": Control((1,), (1.0,)),
        "Bob": Control((0, 1), (0.5, 0.5)),
        "Cid": Control((0,), (1.0,)),
    }


def test_one_hots_come_first_then_halves_then_unequal_parts() -> None:
    vectors = list(assign(NAMES, "s", people(4 + 6 + 12 + 1), 4).values())
    kinds = [max(control.weights) for control in vectors]
    assert (kinds.count(1.0), kinds.count(0.5), kinds.count(0.75), kinds.count(0.625)) == (4, 6, 12, 1)
    assert all(control.weights == (1.0,) for control in assign(NAMES, "s", people(248), 248).values())


def test_every_vector_of_a_tier_is_another() -> None:
    for identities in (1, 2, 3, 7):
        vectors = [_control((tier, n), identities) for tier in range(6) for n in range(_size(tier, identities))]
        assert len(set(vectors)) == len(vectors)
    assert [_part(tier) for tier in range(2, 9)] == [1 / 4, 3 / 8, 1 / 8, 7 / 16, 5 / 16, 3 / 16, 1 / 16]


def test_a_mix_only_for_whom_no_one_hot_is_left() -> None:
    """Everybody is identity 0, so it stays free, and the others get the other two one-hots and a half of both."""
    plan = assign(NAMES, "s", people(3), 3, dict.fromkeys(people(3), 0))
    assert set(plan.values()) == {Control((1,), (1.0,)), Control((2,), (1.0,)), Control((1, 2), (0.5, 0.5))}


def test_several_own_identities() -> None:
    plan = assign(NAMES, "s", ["a"], 4, {"a": frozenset({0, 1, 3})})
    assert plan == {"a": Control((2,), (1.0,))}


def test_who_has_one_choice_chooses_first() -> None:
    """Under any key: a may only be 1, b anything; both must get something."""
    for key in range(20):
        plan = assign(Names(bytes([key]) * 32), "s", ["a", "b"], 2, {"a": 0})
        assert plan["a"] == Control((1,), (1.0,))


def test_one_identity_serves_one_subject_in_one_scope() -> None:
    assert assign(NAMES, "s", ["a"], 1) == {"a": Control((0,), (1.0,))}
    with pytest.raises(UsageError, match="the generator has 1 identities, 0 of them the subject's own"):
        assign(NAMES, "s", ["a", "b"], 1)
    with pytest.raises(UsageError, match="no fake identity is left"):
        assign_all(NAMES, {"s": ["a"], "t": ["a"]}, 1)
    with pytest.raises(UsageError, match="1 of them the subject's own"):
        assign(NAMES, "s", ["a"], 1, {"a": 0})
    with pytest.raises(UsageError, match="the generator has 0 identities"):
        assign(NAMES, "s", ["a"], 0)
    assert assign(NAMES, "s", [], 0) == {}


def test_two_identities_serve_any_number() -> None:
    plan = assign(NAMES, "s", people(100), 2)
    assert len(set(plan.values())) == 100
    with pytest.raises(UsageError, match="no fake identity is left"):
        assign(NAMES, "s", ["a", "b"], 2, {"a": 0, "b": 0})


def test_one_subject_in_more_scopes_than_identities() -> None:
    plan = assign_all(NAMES, {str(scope): ["a"] for scope in range(200)}, 10)
    assert len(set(plan.values())) == 200
    kinds = [max(control.weights) for control in plan.values()]
    assert (kinds.count(1.0), kinds.count(0.5), kinds.count(0.75)) == (10, 45, 90)


@pytest.mark.parametrize("number", [100, 247, 300, 2000])
def test_one_subject_more_moves_few(number: int) -> None:
    before = assign(NAMES, "dataset", people(number), 248)
    moved = 0
    for newcomer in ("x", "y", "z"):
        after = assign(NAMES, "dataset", [*people(number), newcomer], 248)
        moved += sum(before[subject] != after[subject] for subject in before)
    assert moved <= 3 * 12


def test_a_hundred_thousand_subjects_in_seconds() -> None:
    start = time.perf_counter()
    plan = assign(NAMES, "dataset", people(100_000), 248, {f"person {index}": index for index in range(248)})
    assert time.perf_counter() - start < 30  # 3 s on an idle core
    assert len(set(plan.values())) == 100_000
    assert all(index not in plan[f"person {index}"].ids for index in range(248))
    assert sum(control.weights == (1.0,) for control in plan.values()) == 248


def test_scope_of() -> None:
    frame = Sample(id="cam/000001.jpg", file="cam/000001.jpg", sequence="0002")
    still = Sample(id="a.jpg", file="a.jpg")
    cameras = {"0002": "north"}
    assert [scope_of(mode, frame, cameras) for mode in ("dataset", "camera", "sequence", "image")] == [
        "dataset",
        "north",
        "0002",
        "cam/000001.jpg",
    ]
    assert scope_of("camera", frame, {}) == "0002"
    assert [scope_of(mode, still, cameras) for mode in ("dataset", "camera", "sequence", "image")] == [
        "dataset",
        "a.jpg",
        "a.jpg",
        "a.jpg",
    ]
    with pytest.raises(UsageError, match="--scope 'frame' is unknown: choose one of dataset, camera"):
        scope_of("frame", frame, {})


def test_scope_label_hides_source_names() -> None:
    assert scope_label(NAMES, "dataset") == "dataset"
    label = scope_label(NAMES, "Aaron_Eckhart")
    assert "Aaron" not in label
    assert label == scope_label(NAMES, "Aaron_Eckhart") != scope_label(NAMES, "Bob")


@pytest.mark.parametrize(
    "text",
    [
        "a b,north\nc,south\n",
        "﻿sequence,camera\r\na b,north\r\n\r\n# the rest\r\nc,south\r\nc,south",
        "a b\tnorth\nc\tsouth\n",
    ],
)
def test_read_cameras(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cameras.csv"
    file.write_text(text, encoding="utf-8", newline="")
    assert read_cameras(file) == {"a b": "north", "c": "south"}


def test_read_cameras_separated_by_blanks(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("0002   north\n0004 south\n")
    assert read_cameras(tmp_path / "c.txt") == {"0002": "north", "0004": "south"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n\nc\n", "line 3: 'c' has 1 columns: expected sequence and camera"),
        ("a,b,c\n", "line 1: .* has 3 columns"),
        ("a,\n", "line 1"),
        ("a,b\na,c\n", "line 2: sequence 'a' is of camera 'c' here and of 'b' above"),
    ],
)
def test_read_cameras_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_cameras(tmp_path / "c.csv")


def test_read_kept(tmp_path: Path) -> None:
    file = tmp_path / "keep.txt"
    file.write_text("# consented\nAaron_Eckhart\n\n  Zoë #2 \n", encoding="utf-8")
    assert read_kept(file) == {"Aaron_Eckhart", "Zoë #2"}
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read_kept(file)
    with pytest.raises(UsageError, match=r"--keep .* cannot be read \(No such file"):
        read_kept(tmp_path / "none")
