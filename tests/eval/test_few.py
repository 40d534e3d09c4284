"""Five people who are unlike one another: who is told apart, and that no photo is on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.attacks import few

PEOPLE = [f"p{k}" for k in range(8) for _ in range(4)]
ALL = np.ones(len(PEOPLE), bool)


def faces(spread: float, seed: int = 0) -> np.ndarray:
    """(32, 16): four photos of each of eight people."""
    rng = np.random.default_rng(seed)
    own = np.repeat(rng.normal(size=(8, 16)), 4, axis=0)
    return own + spread * rng.normal(size=own.shape)


def test_who_looks_the_same_is_named_and_who_looks_like_nobody_is_guessed() -> None:
    real = faces(0.1)
    (figure,) = few.few(real, real, PEOPLE, ALL, "m", "original")
    assert (figure.value, figure.n) == (1.0, 16)  # of half of everybody's photos
    values = [few.few(real, faces(1.0, seed), PEOPLE, ALL, "m", "release")[0].value for seed in range(1, 40)]
    assert np.mean(values) == pytest.approx(1 / few.FEW, abs=0.04)
    (guess,) = few.guess([figure])
    assert (guess.control, guess.value) == ("chance", 0.2)


def test_a_photo_does_not_find_itself() -> None:
    """Photos that have nothing in common but themselves: with a probe in the gallery all would be named."""
    values = []
    for seed in range(40):
        real = np.random.default_rng(seed).normal(size=(32, 16))
        values.append(few.few(real, real, PEOPLE, ALL, "m", "original")[0].value)
    assert np.mean(values) == pytest.approx(1 / few.FEW, abs=0.05)


def test_a_trace_that_is_lost_among_all_is_found_among_few_who_are_unlike() -> None:
    rng = np.random.default_rng(3)
    people = [f"p{k}" for k in range(200) for _ in range(2)]
    sides = np.repeat(rng.choice([-1.0, 1.0], (200, 4)), 2, axis=0)  # sixteen kinds of people
    real = np.hstack([sides, 0.05 * np.repeat(rng.normal(size=(200, 12)), 2, axis=0)])
    shown = np.hstack([sides, 0.05 * rng.normal(size=(400, 12))])  # the kind shows, and nothing else
    (figure,) = few.few(real, shown, people, np.ones(400, bool), "m", "release")
    assert figure.value > 0.9
    assert figure.ci95 is not None
    assert figure.ci95[0] > 0.2


def test_faces_that_are_missing_count_as_named_and_few_people_are_no_set() -> None:
    real = faces(0.1)
    (figure,) = few.few(real, np.full_like(real, np.nan), PEOPLE, ALL, "m", "release")
    assert figure.value == 1.0
    assert few.few(real[:16], real[:16], PEOPLE[:16], ALL[:16], "m", "release") == []
    assert few.few(real, real, PEOPLE, ~ALL, "m", "blackout") == []
    assert few.few(real, real, [f"p{n}" for n in range(32)], ALL, "m", "release") == []
