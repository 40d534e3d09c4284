"""Intervals against published numbers and plain sense."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.intervals import bootstrap_mean, over_folds, share_of_people, shares_of_people, wilson


def test_wilson_by_hand() -> None:
    low, high = wilson(5, 10) or (0, 0)
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert wilson(0, 0) is None
    nothing = wilson(0, 20) or (1, 1)
    assert nothing[0] == 0.0
    assert nothing[1] == pytest.approx(0.1611, abs=1e-4)
    for n in range(1, 100):  # to the last bit: the report says "under 0.1 %" of what is not 0
        assert (wilson(0, n) or (1,))[0] == 0
        assert (wilson(n, n) or (0, 0))[1] == 1


def test_faces_of_one_person_are_not_independent() -> None:
    hits = np.repeat([1.0, 0.0, 1.0, 0.0], 50)
    by_person = bootstrap_mean(hits, np.repeat(["a", "b", "c", "d"], 50).tolist()) or (0, 0)
    by_face = bootstrap_mean(hits, list(range(200))) or (0, 0)
    assert by_person[1] - by_person[0] > 3 * (by_face[1] - by_face[0])


def test_nobody_of_twenty_does_not_prove_nobody_ever() -> None:
    low, high = share_of_people(np.zeros(200), np.repeat(np.arange(20), 10).tolist())
    assert low == 0.0
    assert high == pytest.approx(0.1611, abs=1e-4)


def test_many_shares_at_once_are_the_same_as_one_by_one() -> None:
    people = [f"p{i % 7}" for i in range(50)]
    hits = np.random.default_rng(0).random((4, 50)) < np.array([[0.0], [0.2], [0.7], [1.0]])
    together = np.array(shares_of_people(hits, people))
    assert together == pytest.approx(np.array([share_of_people(row, people) for row in hits]))
    draws = np.random.default_rng(0).integers(0, 7, (1000, 7))  # by hand, for the second
    rows = [np.concatenate([hits[1][p::7] for p in draw]).mean() for draw in draws]
    assert together[1] == pytest.approx(np.quantile(rows, (0.025, 0.975)))


def test_one_person_is_one_trial() -> None:
    """Wilson's of 0.95 of one trial: centre (0.95 + 1.9207) / 4.8415, half 1.96 · √(0.0475 + 0.9604) / 4.8415."""
    low, high = share_of_people([1] * 95 + [0] * 5, ["a"] * 100)
    assert (low, high) == (pytest.approx(0.1866, abs=1e-3), pytest.approx(0.9994, abs=1e-3))
    assert bootstrap_mean([0.3, 0.5, 0.9], ["a"] * 3) is None
    assert bootstrap_mean([], []) is None


def test_people_who_are_all_alike_still_leave_doubt() -> None:
    """Each of four is recognised in one photo of two: no draw of people says anything but a half."""
    assert share_of_people([1, 0] * 4, np.repeat(list("abcd"), 2).tolist()) == wilson(2, 4)


def test_folds_that_agree_still_leave_doubt() -> None:
    low, high = over_folds([0.0, 0.0, 0.0], 0, 30) or (1, 1)
    assert low == 0.0
    assert high > 0.1
