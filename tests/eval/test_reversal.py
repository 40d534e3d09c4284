"""Reversal: nobody is on both sides, the network undoes what can be undone, and the faces are the measured people's."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dsanon_eval import trained
from dsanon_eval.attacks import reversal
from dsanon_eval.crew import Crew
from dsanon_eval.networks.undo import load_undo, save_undo, train_undo, undoing
from dsanon_eval.seeing.case import Case
from dsanon_eval.seeing.observation import Suite
from dsanon_eval.seeing.pictures import Means
from gathered_faces import gathered, picture

from dsanon.errors import DsanonError
from dsanon.layout import ReleasePaths


def case(tmp_path: Path, rows: list[tuple[str, str | None]]) -> Case:
    """A sample and a label for each face."""
    table = pa.table(
        {
            "sample": [sample for sample, _ in rows],
            "source_subject": pa.array([label for _, label in rows], pa.string()),
            "scope": ["dataset"] * len(rows),
            "subject": [f"p{i}" for i in range(len(rows))],
        }
    )
    return Case(ReleasePaths.of(None, tmp_path / "release"), tmp_path, {}, table, mapped=True)


def test_nobody_is_learnt_from_and_measured(tmp_path: Path) -> None:
    rows = [(f"s{i}", f"p{i // 4}") for i in range(200)]
    rows += [("together", "p1"), ("together", "p2"), ("crowd", "p3"), ("crowd", None)]
    made = case(tmp_path, rows)
    learnt, asked = reversal.sides(made, {sample for sample, _ in rows}, 1000, 1000)
    people = [{p for s, p in rows if s in side} for side in (learnt, asked)]
    assert not people[0] & people[1]
    assert min(map(len, people)) > 10
    assert len(learnt | asked) >= 200
    few = reversal.sides(made, {sample for sample, _ in rows}, 12, 20)
    assert 20 <= len(few[0]) <= 22
    assert 12 <= len(few[1]) <= 14
    assert reversal.sides(made, set(), 10, 10) == (set(), set())


def test_a_person_on_both_sides_stops_the_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter(range(1000))
    monkeypatch.setattr(reversal, "_digest", lambda person: bytes([next(turns) // 3 % 2]))  # a side that changes
    rows = [(f"s{i}", "p") for i in range(20)]
    with pytest.raises(DsanonError, match="both learnt from and measured"):
        reversal.sides(case(tmp_path, rows), {s for s, _ in rows}, 1000, 1000)


def test_what_is_restored_is_shown_to_recognisers_and_to_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[tuple[str, Suite]] = []

    def observe(scenes: Iterable[tuple[object, tuple[tuple[str, Suite], ...]]], *_: object) -> None:
        looks.extend(look for _, some in scenes for look in some)
        raise InterruptedError

    rows = [(f"s{i}", f"p{i // 4}") for i in range(40)]
    monkeypatch.setattr(Case, "scenes", lambda _, chosen: iter(sorted(chosen)))
    monkeypatch.setattr(reversal, "learn", lambda *_: ({"release": "undone"}, 20))
    monkeypatch.setattr(trained, "observe", observe)
    suite = Suite(("hog",), ("dlib_resnet",))
    with pytest.raises(InterruptedError):
        trained.measure(case(tmp_path, rows), {s for s, _ in rows}, 10, 10, 1, suite, Means(), Crew())
    restored = {suite for kind, suite in looks if kind == "restored release undone"}
    assert [(suite.detectors, suite.recognisers) for suite in restored] == [((), ("dlib_resnet",))]


def test_without_anybody_to_measure_no_network_is_trained(tmp_path: Path) -> None:
    name = next(name for name in map(str, range(9)) if reversal._digest(name)[0] % 2 == 0)  # who is learnt from
    rows: list[tuple[str, str | None]] = [(f"s{i}", name) for i in range(200)]
    figures, (note,) = trained.measure(
        case(tmp_path, rows), {s for s, _ in rows}, 100, 200, 1, Suite((), ("dlib_resnet",)), Means(), Crew()
    )
    assert figures == []
    assert note == "no network was trained: nobody would be left to measure it on"


def test_a_network_undoes_what_can_be_undone_and_is_closed_to_others(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    before = np.repeat(np.repeat(random.integers(60, 196, (8, 4, 4, 3), dtype=np.uint8), 8, axis=1), 8, axis=2)
    after = 255 - before  # the negative: a secret that a network learns
    network = train_undo(after, before, steps=40)
    undo = undoing(network)
    wrong = np.abs(undo(after[0]).astype(float) - before[0]).mean()
    assert wrong < 0.5 * np.abs(after[0].astype(float) - before[0]).mean()
    file = tmp_path / "n.safetensors"
    save_undo(network, file)
    assert (load_undo(file)(after[0]) == undo(after[0])).all()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_restored_faces_are_asked_beside_untouched_ones() -> None:
    people = [f"p{i // 2}" for i in range(20)]
    known = np.repeat(10 * np.eye(10), 2, axis=0) + 0.01 * np.arange(20)[:, None]
    pictures = {"original": picture(known), "release": picture(-known), "blur9": picture(-known)}
    derived = {
        reversal.kind_of("release", "aa"): picture(-known),
        reversal.kind_of("blur9", "bb"): picture(known),
    }
    figures = reversal.reversal(gathered(people, pictures, derived), {"release": "aa", "blur9": "bb"})
    got = {(m.name, m.control): m.value for m in figures}
    assert got[reversal.NAME, "blur9"] == got[reversal.NAME, "original"] == 1.0
    assert got[reversal.UNTOUCHED, "blur9"] == got[reversal.UNTOUCHED, "release"] < 0.2
    assert got[reversal.NAME, "release"] < 0.2
    assert got[reversal.NAME, "chance"] == pytest.approx(1 / 19)
