"""Subgroups: by hand, and nobody gets a verdict by a handful of faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dsanon_eval.attacks import subgroups
from dsanon_eval.attacks.reidentification import Ranks
from dsanon_eval.utility import detection
from faces import drawn_landmarks
from gathered_faces import gathered, picture

from dsanon.errors import UsageError

PEOPLE = [f"p{i}" for i in range(90)]


def ranks(hit: np.ndarray) -> Ranks:
    return Ranks(np.where(hit, 0, 3), np.full(len(hit), 0.01), tuple(PEOPLE), tuple(range(len(hit))))


def test_a_group_that_is_recognised_is_the_worst_one_and_a_small_one_is_none() -> None:
    hit = np.zeros(90, bool)
    hit[60:72] = True
    groups: subgroups.Traits = {"hat": ["no"] * 60 + ["yes"] * 30, "beard": ["no"] * 78 + ["yes"] * 12}
    hit[78:] = True
    got = {(m.name, m.control): m for m in subgroups.recall(ranks(hit), groups, "x", "release")}
    assert got["subgroup_recall_at_1_hat", "release, yes"].value == 0.8
    assert got["subgroup_recall_at_1_hat", "release, no"].value == 0.0
    assert got["subgroup_recall_at_1_beard", "release, yes"].n == 12  # told, but never the worst
    assert got["subgroup_worst_recall_at_1", "release"].value == 0.8
    assert got["subgroup_worst_recall_at_1", "release"].n == 30
    assert got["subgroup_worst_recall_at_1", "chance"].value == pytest.approx(0.01)


def test_a_group_that_fails_is_not_hidden_by_one_that_may_be_recognised_more_often() -> None:
    """A guess is right in a tenth of one group and in a hundredth of the other: half, and a tenth are allowed."""
    hit = np.zeros(90, bool)
    hit[:15] = hit[45:56] = True
    found = Ranks(np.where(hit, 0, 3), np.repeat([0.1, 0.01], 45), tuple(PEOPLE), tuple(range(90)))
    groups: subgroups.Traits = {"hat": ["often"] * 45 + ["seldom"] * 45}
    got = {(m.name, m.control): m for m in subgroups.recall(found, groups, "x", "release")}
    assert got["subgroup_worst_recall_at_1", "release"].value == pytest.approx(11 / 45)
    assert got["subgroup_worst_recall_at_1", "chance"].value == pytest.approx(0.01)


def test_nothing_is_the_worst_of_small_groups() -> None:
    groups: subgroups.Traits = {"hat": ["a"] * 29 + ["b"] * 29 + [None] * 32}
    names = {m.name for m in subgroups.recall(ranks(np.ones(90, bool)), groups, "x", "release")}
    assert names == {"subgroup_recall_at_1_hat"}


def test_rows_of_probes_are_not_their_numbers() -> None:
    few = Ranks(np.array([0, 3]), np.full(2, 0.01), ("p5", "p80"), (5, 80))
    groups: subgroups.Traits = {"hat": ["no"] * 60 + ["yes"] * 30}
    got = {m.control: m.value for m in subgroups.recall(few, groups, "x", "original")}
    assert got == {"original, no": 1.0, "original, yes": 0.0}


def test_detection_by_group_is_of_faces_found_before() -> None:
    before, again = np.ones(90, bool), np.ones(90, bool)
    before[:10] = False
    again[:25] = False
    groups: subgroups.Traits = {"size": ["small"] * 45 + ["large"] * 45}
    treated = np.ones(90, bool)
    got = {m.name + m.control: m for m in subgroups.detected(before, again, treated, PEOPLE, groups, "hog")}
    assert got["subgroup_detection_rate_sizerelease, small"].value == pytest.approx(20 / 35)
    assert got["subgroup_worst_detection_raterelease"].value == pytest.approx(20 / 35)
    assert not any(name.startswith("subgroup_covered") for name in got)


def test_who_was_covered_is_counted_and_does_not_stand_among_the_painted() -> None:
    """Detection's subgroups are of the faces of detection_rate; a group that is covered more often shows as that."""
    treated = np.ones(90, bool)
    treated[:9] = False
    again = treated.copy()  # a cover is not found
    again[9:12] = False
    groups: subgroups.Traits = {"light": ["dark"] * 45 + ["light"] * 45}
    rows = subgroups.detected(np.ones(90, bool), again, treated, PEOPLE, groups, "hog")
    got = {m.name + m.control: m for m in rows}
    assert got["subgroup_detection_rate_lightrelease, dark"].value == pytest.approx(33 / 36)
    assert got["subgroup_worst_detection_raterelease"].value == pytest.approx(33 / 36)
    assert got["subgroup_worst_detection_raterelease"].n == 36
    assert got["subgroup_covered_lightrelease, dark"].value == pytest.approx(9 / 45)
    assert got["subgroup_covered_lightrelease, light"].value == 0.0
    assert detection.covered("hog", ~treated)[0].startswith("9 faces that hog finds in the original could only be cov")
    assert detection.covered("hog", np.zeros(90, bool)) == []


def test_the_turn_of_a_covered_face_is_that_of_its_original() -> None:
    """It has no landmarks of its own: by these alone no turned face would ever have been covered."""
    some = gathered(PEOPLE, {"original": picture(np.zeros((90, 2)))})
    ahead = tuple(drawn_landmarks(0, 0, 100).astype(np.float64).ravel())
    aside = np.array(ahead).reshape(68, 2)
    aside[30, 0] += np.ptp(aside[36:48, 0])  # the nose's tip before an eye's corner
    for i in range(60):
        some.faces[i] = replace(some.faces[i], region=replace(some.faces[i].region, landmarks=ahead))
    seen = np.full((90, 136), np.nan, np.float32)
    seen[:80] = aside.ravel()  # of an aligned face its own landmarks count
    some.pictures["original"] = replace(some.pictures["original"], landmarks=seen)
    groups = subgroups.traits(some)
    assert groups["turn"] == ["1: to 15°"] * 60 + ["3: over 30°"] * 20 + [None] * 10
    treated = np.arange(90) < 60
    rows = subgroups.detected(np.ones(90, bool), treated, treated, PEOPLE, groups, "hog")
    covered = {m.control: (m.value, m.n) for m in rows if m.name == "subgroup_covered_turn"}
    assert covered == {"release, 1: to 15°": (0.0, 60), "release, 3: over 30°": (1.0, 20)}


def test_a_trait_that_no_covered_face_has_tells_nothing_of_covering() -> None:
    treated = np.arange(90) < 60
    groups: subgroups.Traits = {"turn": ["ahead"] * 60 + [None] * 30, "size": ["small"] * 45 + ["large"] * 45}
    rows = subgroups.detected(np.ones(90, bool), treated, treated, PEOPLE, groups, "hog")
    assert {m.name for m in rows if m.name.startswith("subgroup_covered")} == {"subgroup_covered_size"}


def test_size_light_and_attributes_of_faces() -> None:
    everything = gathered(PEOPLE, {"original": picture(np.zeros((90, 2)), light=np.arange(90))})
    got = subgroups.traits(everything, {"s000.jpg": {"Eyeglasses": True}, "s001.jpg": {"Eyeglasses": False}})
    assert got["light"][0] == "1: below 30 luma"
    assert [group[0] for group in got["light"] if group].count("2") == 30
    assert got["eyeglasses"][:3] == ["yes", "no", None]
    assert got["turn"][0] is None  # no landmarks


@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_a_turned_head_is_seen_whatever_its_roll(degrees: float) -> None:
    points = drawn_landmarks(0, 0, 100).astype(np.float64)
    depth = np.zeros(68)
    depth[30] = np.ptp(points[36:48, 0]) / 2 / 1.1
    a = np.radians(degrees)
    points[:, 0] = points[:, 0] * np.cos(a) + depth * np.sin(a)
    roll = np.radians(30)
    turned = points @ np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    assert subgroups.yaw(turned) == pytest.approx(degrees, abs=6)


def test_attributes_are_read_as_celeba_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "list_attr_celeba.txt"
    file.write_text("2\nMale  Young \n000001.jpg -1  1\n000002.jpg  1 -1\n")
    assert subgroups.read_attributes(file)["000002.jpg"] == {"Male": True, "Young": False}
    file.write_text("image_id,Male,Young\n000001.jpg,-1,1\n")
    assert subgroups.read_attributes(file) == {"000001.jpg": {"Male": False, "Young": True}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no rows"),
        ("Male Young\na.jpg 1\n", "line 2: expected a file and 2 values"),
        ("Male\na.jpg yes\n", "line 2: expected a file and 1 values"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(UsageError, match=says):
        subgroups.read_attributes(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        subgroups.read_attributes(tmp_path / "none.txt")


def test_an_attribute_hides_no_group_of_ours() -> None:
    some = gathered(["a", "b"], {"original": picture(np.eye(2), light=[10.0, 200.0])})
    said = {"s000.jpg": {"Light": True, "light": False}, "s001.jpg": {"Light": False, "light": False}}
    groups = subgroups.traits(some, said)
    assert groups["light"] == subgroups.traits(some)["light"]
    assert groups["light_attribute"] == ["yes", "no"]
    assert groups["light_attribute_attribute"] == ["no", "no"]
