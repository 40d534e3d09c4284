"""The landmark attack on drawn shapes: it sees through position, size and roll, and finds nobody in noise."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.attacks.landmarks import aligned, measure
from faces import drawn_landmarks

PEOPLE = [f"p{i // 6}" for i in range(60)]


def shapes(personal: float) -> np.ndarray:
    """Six photos each of ten people whose faces differ by ``personal``; every photo moved, scaled and rolled."""
    rng = np.random.default_rng(0)
    own = {person: rng.normal(0, personal, (68, 2)) for person in set(PEOPLE)}
    out = []
    for person in PEOPLE:
        face = drawn_landmarks(0, 0, 1) + own[person] + rng.normal(0, 0.01, (68, 2))
        angle, size = rng.uniform(-0.5, 0.5), rng.uniform(50, 200)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        out.append((size * face @ turn.T + rng.uniform(0, 300, 2)).ravel())
    return np.array(out)


def test_position_size_and_roll_are_taken_out() -> None:
    face = drawn_landmarks(0, 0, 1)
    turned = 80 * face @ np.array([[0, -1], [1, 0]]) + (100, 30)
    one, other = aligned([face.ravel(), turned.ravel()])
    assert np.allclose(one, other, atol=1e-6)
    assert np.linalg.norm(one) == pytest.approx(1)


def test_people_are_known_by_their_geometry_and_by_nothing_else() -> None:
    original = shapes(0.03)
    strangers = shapes(0.0)
    hidden = np.full_like(original, np.nan)
    hidden[:30] = original[:30]
    figures = {m.control: m for m in measure({"original": original, "release": strangers, "blur9": hidden}, PEOPLE)}
    assert figures["original"].value > 0.9
    assert figures["release"].value < 0.35
    assert figures["chance"].value == 0.1
    assert figures["original"].n == figures["release"].n == 30
    assert figures["blur9"].n == 15  # a control that was made of some faces only


def test_nobody_with_two_photos() -> None:
    assert measure({"original": shapes(0.1)[:3]}, ["a", "b", "c"]) == []
