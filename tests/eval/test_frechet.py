"""Distances between samples of which the distributions are known."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.utility.frechet import frechet_distance, halves, kid, measure, precision_recall


def test_frechet_distance_of_known_gaussians() -> None:
    # |Δμ|² + Σ (σ₁ − σ₂)²: shifts of 3 in one of two dimensions, deviations 1 and 2 → 9 + 2
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40_000, 2)), 2 * rng.normal(size=(40_000, 2)) + (3, 0)
    assert frechet_distance(a, b) == pytest.approx(11, rel=0.03)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_fewer_samples_than_dimensions() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(10, 64))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert np.isnan(frechet_distance(a[:1], a))


def test_rows_and_columns_say_the_same_of_few_samples() -> None:
    """A further column of zeros changes nothing, but that there are more columns than rows."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 24)), rng.normal(size=(20, 24)) @ rng.normal(size=(24, 24)) + 0.3
    wide = [np.hstack([x, np.zeros((len(x), 16))]) for x in (a, b)]
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(a, b), rel=1e-5)


def test_only_inception_makes_it_fid() -> None:
    rng = np.random.default_rng(0)
    people = [f"p{i // 2}" for i in range(40)]
    rows = rng.normal(size=(40, 4)), rng.normal(size=(40, 4)), people
    assert [m.name for m in measure("face", "blur9", *rows, "inception_fid")] == [
        "fid_face",
        "kid_inception_face",
        "precision_inception_face",
        "recall_inception_face",
    ]
    assert not any("fid" in m.name for m in measure("face", "blur9", *rows))


def test_kid_is_around_zero_for_one_distribution_only() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(500, 8)), rng.normal(size=(500, 8))
    assert abs(kid(a, b)) < 0.02
    assert kid(a, b + 1) > 0.5


def test_precision_and_recall_tell_a_collapsed_sample() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 2))
    precision, recall = precision_recall(real, 0.05 * rng.normal(size=(300, 2)))
    assert precision > 0.95
    assert recall < 0.2


def test_halves_share_nobody() -> None:
    people = [f"p{i // 3}" for i in range(60)]
    one, other = halves(np.arange(60)[:, None], people)
    first, second = ({people[int(i)] for i in half[:, 0]} for half in (one, other))
    assert first.isdisjoint(second)
    assert len(first) == len(second) == 10


def test_the_floor_is_measured_as_the_rest_is() -> None:
    rng = np.random.default_rng(0)
    people = [f"p{i // 2}" for i in range(400)]
    real = rng.normal(size=(400, 4))
    floor = {m.name: m for m in measure("face", "original", real, real, people)}["fd_mobilenetv2_face"]
    moved = {m.name: m for m in measure("face", "blur9", real, real + 2, people)}["fd_mobilenetv2_face"]
    assert 0 < floor.value < 0.5
    assert moved.value == pytest.approx(floor.value + 16, rel=0.2)
    assert floor.n < 210


def test_what_few_rows_cannot_tell_is_left_out() -> None:
    rng = np.random.default_rng(0)
    few = measure("face", "blur9", rng.normal(size=(8, 4)), rng.normal(size=(8, 4)), ["a", "a", "b", "b"] * 2)
    assert all(np.isfinite(m.value) for m in few)
    assert measure("face", "blur9", few_rows := rng.normal(size=(3, 4)), few_rows, ["a", "a", "b"]) == []


def test_who_took_part_in_training_says_so_and_who_did_not_stands_beside() -> None:
    rng = np.random.default_rng(0)
    people = [f"p{i // 2}" for i in range(40)]
    real = rng.normal(size=(40, 4))
    flattering = {m.model for m in measure("face", "release", real, real, people)}
    assert flattering == {"mobilenet_v2 (guided training)"}
    [floor] = measure("face", "original", real, real, people, "dlib_resnet")
    [blurred] = measure("face", "blur9", real, real + 2, people, "dlib_resnet")
    assert (floor.name, floor.model) == ("fd_dlib_resnet_face", "dlib_resnet")
    assert blurred.value > 5 * floor.value
    assert blurred.ci95 is not None
    assert blurred.ci95[0] < blurred.value < blurred.ci95[1]
