"""Recall@1 worked out by hand; missing faces never help."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.attacks.reidentification import chance, cmc, measure, ranks

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
