"""Tracking figures, worked out by hand; and silhouettes that come through a release unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dsanon_eval.measurement import Measurement
from dsanon_eval.utility import tracking
from dsanon_eval.utility.pedestrians import People, Shot
from dsanon_eval.utility.tracking import figures, masks, measure, scored, track

from dsanon.boxes import as_boxes
from dsanon.sample import Person
from dsanon.sources.silhouettes import from_mask


def box(x: float, y: float = 0.0) -> tuple[float, float, float, float]:
    return x, y, x + 10, y + 20


def people(*found: tuple[float, float, float, float]) -> People:
    return People(as_boxes(found), np.ones(len(found)))


def named(rows: list[Measurement], control: str = "release") -> dict[str, float]:
    return {row.name.removeprefix("utility_"): row.value for row in rows if row.control == control}


def test_a_track_goes_on_where_boxes_overlap() -> None:
    frames = [[box(0), box(50)], [box(52), box(2)], [box(4)], [box(300)]]
    assert [ids.tolist() for ids in track([as_boxes(f) for f in frames])] == [[0, 1], [1, 0], [0], [2]]


def test_a_track_is_given_up_after_a_while() -> None:
    gone = [as_boxes([])] * (tracking.PATIENCE + 1)
    assert track([as_boxes([box(0)]), *gone[:-1], as_boxes([box(0)])])[-1].tolist() == [0]
    assert track([as_boxes([box(0)]), *gone, as_boxes([box(0)])])[-1].tolist() == [1]


def test_a_switch_of_identity_by_hand() -> None:
    """Four frames, one person, every box right, another track from the third frame on.

    DetA is 1. Each match has 2 of 4 + 2 - 2 frames in common: AssA ½, HOTA √½. One switch in four boxes: MOTA ¾.
    The better track covers two frames: IDTP 2, IDFN 2, IDFP 2.
    """
    person = Person("p", body=box(0))
    ids = [0, 0, 1, 1]
    frames = [scored([person], {"p": 0}, as_boxes([box(0)]), np.array([i])) for i in ids]
    found = named(figures({"s": frames}, "m", "release"))
    expected = {"hota": 0.5**0.5, "deta": 1, "assa": 0.5, "mota": 0.75, "idsw": 1, "idf1": 0.5}
    assert found == pytest.approx(expected)


def test_misses_and_false_alarms_by_hand() -> None:
    """Two people in two frames; one box is right, one is nobody's: MOTA (1 - 1) / 4, IDF1 2 · 1 / (4 + 2)."""
    two = [Person("p", body=box(0)), Person("q", body=box(100))]
    frames = [
        scored(two, {"p": 0, "q": 1}, as_boxes([box(0), box(500)]), np.array([0, 1])),
        scored(two, {"p": 0, "q": 1}, as_boxes([]), np.zeros(0, np.int64)),
    ]
    found = named(figures({"s": frames}, "m", "release"))
    assert (found["mota"], found["idf1"]) == (0, pytest.approx(1 / 3))


def test_who_is_not_scored_counts_neither_way() -> None:
    people = [
        Person("p", body=box(0)),
        Person("statue", body=box(100), aside=True),
        Person(body=(200.0, 0.0, 300.0, 100.0), many=True),
    ]
    found = as_boxes([box(0), box(100), box(210), box(400)])
    frame = scored(people, {"p": 0, "statue": 1}, found, np.arange(4))
    assert frame.truth.tolist() == [0]
    assert frame.tracks.tolist() == [0, 3]
    assert frame.similarity.tolist() == [[1, 0]]


def shots(release: list[list[tuple[float, float, float, float]]]) -> list[Shot]:
    person = [[Person("p", body=box(2.0 * i))] for i in range(len(release))]
    return [
        Shot("s", "s 0", tuple(who), people(who[0].body or box(0)), people(*found))
        for i, (who, found) in enumerate(zip(person, release, strict=True))
    ]


def test_original_and_release_are_measured_alike() -> None:
    rows = measure(shots([[box(0)], [], [box(4)], []]))
    assert named(rows, "original") == pytest.approx({"hota": 1, "deta": 1, "assa": 1, "mota": 1, "idsw": 0, "idf1": 1})
    assert named(rows)["mota"] == 0.5
    assert {row.n for row in rows} == {4}
    assert {row.ci95 for row in rows} == {None}  # one sequence


def test_three_sequences_have_an_interval() -> None:
    several = [replace(shot, sequence=name) for name in "abc" for shot in shots([[box(0)], [box(2)] * (name != "c")])]
    row = next(row for row in measure(several) if (row.name, row.control) == ("utility_mota", "release"))
    assert row.value == pytest.approx(5 / 6)
    assert row.ci95 is not None
    assert row.ci95[0] < row.value < row.ci95[1] == 1


def test_nothing_without_annotation() -> None:
    assert measure([]) == []
    assert measure([Shot("s", "s 0", (), people(box(0)), people(box(0)))]) == []


def silhouettes(shift: int) -> dict[str, dict[str, list[Person]]]:
    frames = {}
    for number in range(3):
        mask = np.zeros((40, 60), bool)
        mask[5:25, 5 + number + shift : 15 + number + shift] = True
        frames[f"{number:06d}.jpg"] = [Person("s/2001", silhouette=from_mask(mask))]
    return {"s": frames}


def test_silhouettes_are_scored_by_overlap() -> None:
    """Masks 10 wide, shifted by 2: IoU 8 / 12. MOTSA counts them as found, sMOTSA by their overlap."""
    values = {row.name: row.value for row in masks(silhouettes(0), silhouettes(2))}
    assert values == {"utility_motsa": 1.0, "utility_smotsa": pytest.approx(8 / 12)}
    assert {row.value for row in masks(silhouettes(0), silhouettes(0))} == {1.0}
    assert {row.value for row in masks(silhouettes(0), {})} == {0.0}
    lost = {"s": silhouettes(0)["s"] | {"000001.jpg": []}}
    assert [row.value for row in masks(silhouettes(0), lost)] == pytest.approx([2 / 3, 2 / 3])
    assert masks({}, {}) == []
