"""Recall@1 worked out by hand; missing faces never help."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.attacks.reidentification import DEPTH, chance, cmc, cmc_chance, measure, ranks

# two photos of a, two of b, one of c, on a line
GALLERY = np.array([[0.0], [1.0], [10.0], [11.0], [20.0]])
PEOPLE = ["a", "a", "b", "b", "c"]


def test_originals_by_hand() -> None:
    found = ranks(GALLERY, GALLERY, PEOPLE, own=False)
    assert found.rank.tolist() == [0, 0, 0, 0]  # c has no other photo: no probe
    assert found.people == ("a", "a", "b", "b")
    assert found.chance.tolist() == [0.25] * 4


def test_the_own_photo_counts_only_where_it_is_left_in() -> None:
    # anonymized faces that look like the very photo they were, and like nobody's other photo
    probes = np.array([[0.0], [9.0], [10.0], [2.0], [20.0]])
    assert ranks(probes, GALLERY, PEOPLE, own=True).rank.tolist() == [0, 2, 0, 2, 0]
    assert ranks(probes, GALLERY, PEOPLE, own=False).rank.tolist() == [0, 2, 0, 2]


def test_a_missing_face_is_no_success_and_stays_in_the_denominator() -> None:
    probes = GALLERY.copy()
    probes[0] = np.nan
    probes[2] = 0.2  # b looks like a
    found = ranks(probes, GALLERY, PEOPLE, own=False)
    assert found.rank.tolist() == [-1, 0, 2, 0]
    figures = {m.name: m for m in measure(found, "recall_at_1", "x", "release")}
    assert figures["recall_at_1"].value == 0.75  # pessimistic: the missing one might have been recognised
    assert figures["recall_at_1_optimistic"].value == 0.5
    assert {m.n for m in figures.values()} == {4}


def test_ties_do_not_help_the_attacker() -> None:
    same = np.zeros((5, 1))
    assert ranks(same, same, PEOPLE, own=False).rank.tolist() == [3, 3, 3, 3]


def test_chance_is_that_of_the_same_gallery() -> None:
    (figure,) = chance(ranks(GALLERY, GALLERY, PEOPLE, own=True), "self_recall_at_1", "x")
    assert figure.value == pytest.approx((4 * 2 / 5 + 1 / 5) / 5)
    assert figure.control == "chance"


def test_random_vectors_are_recognised_by_chance() -> None:
    rng = np.random.default_rng(0)
    people = [str(i // 4) for i in range(400)]
    found = ranks(rng.normal(size=(400, 8)), rng.normal(size=(400, 8)), people, own=False)
    (figure,) = measure(found, "recall_at_1", "x", "release")
    assert figure.value == pytest.approx(3 / 399, abs=0.015)


def test_cmc_rises_with_the_rank() -> None:
    probes = np.array([[0.0], [9.0], [10.0], [2.0], [20.0]])
    curve = cmc(ranks(probes, GALLERY, PEOPLE, own=False), "dlib_resnet", "release")
    assert (curve.y[0], curve.y[1], curve.y[2]) == (0.5, 0.5, 1.0)
    assert curve.figure == "cmc_dlib_resnet"


def test_the_chance_of_a_rank_by_hand() -> None:
    """Of four others one is the person's: he is the first of them in a quarter, among the first two in a half."""
    found = ranks(GALLERY, GALLERY, PEOPLE, own=False)
    line = cmc_chance(found, "dlib_resnet (guided training)")
    assert line.y[:4] == pytest.approx((0.25, 0.5, 0.75, 1.0))
    assert set(line.y[4:]) == {1.0}
    assert (line.figure, line.label, line.low, len(line.x)) == ("cmc_dlib_resnet", "chance", (), DEPTH)
    (one,) = chance(found, "recall_at_1", "x")
    assert line.y[0] == one.value
    # with the own photo a has two of five: none among the first two in 3/5 of 2/4; c has one of five
    assert cmc_chance(ranks(GALLERY, GALLERY, PEOPLE, own=True), "x").y[1] == pytest.approx((4 * 0.7 + 0.4) / 5)


def test_random_vectors_have_the_curve_of_chance() -> None:
    """Not k times the first rank's: people have 3 other photos here, or 159."""
    rng = np.random.default_rng(0)
    people = [str(i // 4) for i in range(800)] + [str(-1 - i // 160) for i in range(800)]
    found = ranks(rng.normal(size=(1600, 32)), rng.normal(size=(1600, 32)), people, own=False)
    line, curve = cmc_chance(found, "x"), cmc(found, "x", "release")
    assert line.y == pytest.approx(curve.y, abs=0.04)
    assert line.y[9] < 8 * line.y[0]
