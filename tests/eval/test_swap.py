"""Face swap worked out by hand: the target identity, and whether anybody painted is of the training set."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.attacks.disjoint import refuse_overlap
from dsanon_eval.attacks.swap import NEAREST, Probes, near, nearest, recall, verdict
from dsanon_eval.measurement import Measurement

from dsanon.errors import UsageError

# the training set on a line: two photos of a, two of b, one of c
GALLERY = np.array([[0.0], [1.0], [10.0], [11.0], [20.0]], np.float32)
WHO = ["a", "a", "b", "b", "c"]


def test_the_nearest_photo_and_never_the_probe_itself() -> None:
    index, distance = nearest([[0.4], [9.0]], GALLERY)
    assert index.tolist() == [0, 2]
    assert distance == pytest.approx([0.4, 1.0])
    assert nearest(GALLERY, GALLERY, np.arange(5))[0].tolist() == [1, 0, 3, 2, 3]


def test_a_target_that_is_found_is_counted_with_chance_and_real_photos_beside() -> None:
    probes = Probes(np.array([[0.1], [0.2], [10.2], [19.0]], np.float32), ["a", "b", "b", "a"], ["x", "y", "x", "y"])
    other = Probes(probes.vectors[:1], ["c"], ["x"])  # of another target: its chance is no part of the release's
    found = {m.control: m for m in recall({"release": probes, "blur9": other}, GALLERY, WHO, "net")}
    assert (found["release"].value, found["release"].n) == (0.5, 4)
    assert found["chance"].value == pytest.approx(2 / 5)  # all four targets have two of the five photos
    assert found["chance"].n == 4
    assert (found["target"].value, found["target"].n) == (1.0, 4)  # c's only photo cannot be found among the others


def test_a_face_that_was_not_seen_is_no_success_of_privacy() -> None:
    probes = Probes(np.array([[np.nan], [19.0]], np.float32), ["b", "b"], ["x", "y"])
    found = {m.control: m for m in recall({"release": probes}, GALLERY, WHO, "net")}
    assert (found["release"].value, found["release"].n) == (0.5, 2)
    strangers = np.array([[4.0], [5.0], [6.0]], np.float32)
    beside = {m.control: m for m in near({"release": probes}, strangers, ["x", "y", "z"], GALLERY, WHO, "net")}
    assert beside["release"].value == 1.0  # the unseen one, and 19, which is nearer to c than any stranger to anybody


def test_near_is_nearer_than_all_but_a_hundredth_of_strangers() -> None:
    strangers = np.linspace(3.0, 4.0, 201, dtype=np.float32)[:, None]  # 2 to 3 from a's second photo
    made = Probes(np.array([[2.9], [3.5], [5.5]], np.float32), ["a", "a", "b"], ["x", "y", "z"])
    people = [f"s{i}" for i in range(201)]
    found = {m.control: m for m in near({"release": made}, strangers, people, GALLERY, WHO, "net")}
    assert found["original"].value == pytest.approx(0.01, abs=0.006)
    assert found["release"].value == pytest.approx(1 / 3)
    assert found["target"].value == pytest.approx(4 / 5)  # c is alone


def test_the_verdict_asks_whether_chance_lies_in_the_interval() -> None:
    rng = np.random.default_rng(0)
    gallery, who = rng.normal(size=(40, 8)).astype(np.float32), [f"p{i // 2}" for i in range(40)]
    strangers = rng.normal(size=(60, 8)).astype(np.float32)
    targets, sources = [who[i] for i in range(40)], [f"s{i % 10}" for i in range(40)]
    copies = Probes(gallery + 0.01, targets, sources)
    blind = Probes(rng.normal(size=(40, 8)).astype(np.float32), targets, sources)
    for probes, expected in ((copies, ": more than chance"), (blind, ": cannot be told from chance with n = 40")):
        some = recall({"release": probes}, gallery, who, "net")
        some += near({"release": probes}, strangers, sources[:10] * 6, gallery, who, "net")
        lines = verdict(some, "net")
        assert len(lines) == 2
        assert all(expected in line for line in lines)


@pytest.mark.parametrize(
    ("interval", "value", "strangers", "outcome"),
    [
        ((0.02, 0.06), 0.04, (0.01, 0.01), ": more than chance"),
        ((0.02, 0.06), 0.04, (0.004, 0.02), ": cannot be told from chance with n = 40"),  # the bound is uncertain
        ((0.0, 0.02), 0.015, (0.01, 0.01), ": no more than chance"),
        ((0.0, 0.03), 0.01, (0.01, 0.01), ": no more than chance"),
        ((0.0, 0.03), 0.011, (0.01, 0.01), ": cannot be told"),
        ((0.0, 0.031), 0.0, (0.01, 0.01), ": cannot be told"),
        ((0.0, 0.02), 0.0, (0.004, 0.02), ": cannot be told"),
        ((0.0, 0.56), 0.0, (0.01, 0.01), ": cannot be told"),  # none of forty faces of three people
    ],
)
def test_few_faces_are_no_clean_bill(
    interval: tuple[float, float], value: float, strangers: tuple[float, float], outcome: str
) -> None:
    measured = [
        Measurement(NEAREST, "net", "release", value, interval, 40),
        Measurement(NEAREST, "net", "original", 0.01, strangers, 500),
    ]
    (line,) = verdict(measured, "net")
    assert outcome in line


def test_a_bound_that_one_stranger_sets_is_uncertain() -> None:
    strangers = np.linspace(3.0, 4.0, 53, dtype=np.float32)[:, None]
    made = Probes(np.array([[5.0]], np.float32), ["a"], ["x"])
    every = [f"s{i}" for i in range(53)]
    for whose, high in ((every, 0.099), ([*"abc" * 17, "a", "b"], 0.578)):  # Wilson's of one in 53, and in three faces
        (own, *_) = near({"release": made}, strangers, whose, GALLERY, WHO, "net")
        assert own.control == "original"
        assert own.value == pytest.approx(1 / 53)
        assert own.ci95 is not None
        assert own.ci95[0] <= 0.004
        assert own.ci95[1] == pytest.approx(high, abs=0.002)  # the bootstrap says 0.06


def test_nobody_may_be_measured_who_may_train() -> None:
    refuse_overlap({"celeba/1"}, {"celeba/2", "lfw/1"})
    with pytest.raises(UsageError, match="1 people are both in the training set and to be measured"):
        refuse_overlap({"celeba/1", "celeba/2"}, ["celeba/2", "celeba/2"])
