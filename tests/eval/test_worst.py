"""The worst twentieth: a few who are always recognised are seen, and bad luck is not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.attacks.reidentification import Ranks
from dsanon_eval.attacks.worst import NAME, SHARE, luck, people, worst


def found(hit: np.ndarray, luck: float = 0.1) -> Ranks:
    """hit: (people, photos)."""
    rank = np.where(hit, 0, 7).astype(np.int64).ravel()
    who = tuple(f"p{i}" for i in range(len(hit)) for _ in range(hit.shape[1]))
    return Ranks(rank, np.full(rank.size, luck), who)


def values(ranks: Ranks) -> dict[str, float]:
    return {m.name: m.value for m in worst(ranks, "x", "release")}


def test_two_who_are_always_recognised_stand_out() -> None:
    hit = np.zeros((40, 6), bool)
    hit[[3, 17]] = True
    assert values(found(hit)) == {NAME: 1.0, SHARE: 0.05}
    assert hit.mean() == 0.05  # what the mean hides


def test_bad_luck_is_not_the_worst_case() -> None:
    hit = np.random.default_rng(0).random((1000, 6)) < 0.1
    ranks = found(hit)
    assert np.sort(hit.mean(axis=1))[-50:].mean() > 0.3  # what choosing and measuring by the same photos would say
    assert values(ranks)[NAME] == pytest.approx(0.1, abs=0.05)
    guessed = {m.name: m.value for m in luck(ranks, "x")}
    assert guessed[NAME] == pytest.approx(0.1)
    assert values(ranks)[SHARE] == pytest.approx(guessed[SHARE], abs=0.01)


def test_a_missing_face_counts_as_recognised() -> None:
    ranks = found(np.zeros((20, 2), bool))
    ranks.rank[:2] = -1
    assert values(ranks) == {NAME: 1.0, f"{NAME}_optimistic": 0.0, SHARE: 0.05}


def test_of_few_people_nobody_is_the_worst_twentieth() -> None:
    assert worst(found(np.ones((19, 4), bool)), "x", "release") == []
    assert luck(found(np.ones((19, 4), bool)), "x") == []
    assert worst(found(np.ones((40, 1), bool)), "x", "release") == []


def test_the_curve_falls_from_all_to_those_always_named() -> None:
    hit = np.zeros((40, 4), bool)
    hit[:10, :2] = True
    hit[:4] = True
    (curve,) = people(found(hit), "dlib_resnet", "release")
    at = dict(zip(curve.x, curve.y, strict=True))
    assert (at[0.05], at[0.5], at[0.55], at[1.0]) == (0.25, 0.25, 0.1, 0.1)
    assert curve.figure == "people_dlib_resnet"
    assert people(found(hit[:, :1]), "dlib_resnet", "release") == []  # of one photo each there is no share
