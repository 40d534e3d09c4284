"""TAR at FAR worked out by hand, and the mistakes that a naive protocol makes."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.attacks.lfw_protocol import (
    FoldScores,
    all_pairs_impostors,
    drawn,
    drawn_of,
    fold_rates,
    fold_scores,
    guessed,
    guessing,
    measure,
    own_impostors,
    roc,
    similarity,
    tar_at_far,
    threshold_at,
)
from dsanon_eval.intervals import share_of_people, wilson

from dsanon.sources.lfw import Pair


def fold(genuine: list[float], impostor: list[float], clean: list[float] | None = None) -> FoldScores:
    return FoldScores(np.array(genuine), np.array(impostor), np.array(clean if clean is not None else impostor))


def test_tar_at_far_by_hand() -> None:
    assert tar_at_far(genuine=[0.9, 0.5], impostor=[0.1, 0.5], far=0.5) == 1.0
    assert tar_at_far(genuine=[0.9, 0.5], impostor=[0.1, 0.5], far=0.0) == 0.5
    assert tar_at_far(genuine=[0.9, 0.5, 0.2], impostor=[0.8, 0.3, 0.1, 0.0], far=0.25) == pytest.approx(2 / 3)


def test_no_more_impostors_pass_than_allowed_even_where_scores_are_equal() -> None:
    impostor = [0.7, 0.7, 0.7, 0.1]
    assert (np.array(impostor) >= threshold_at(impostor, 0.5)).mean() == 0.0


def test_too_few_impostors_allow_none() -> None:
    assert threshold_at([0.1, 0.2], 0.001) > 0.2
    assert threshold_at([], 0.001) == float("inf")


def test_the_threshold_never_comes_from_the_fold_itself() -> None:
    # with its own impostor (0.9) the first fold would accept nobody, with the other's (0.2) it accepts both
    folds = [fold([0.5, 0.6], [0.9]), fold([0.5, 0.95], [0.2])]
    assert fold_rates(folds, "impostor", far=0.0) == [1.0, 0.5]
    with pytest.raises(ValueError, match="at least two"):
        fold_rates(folds[:1], "impostor")


def test_both_calibrations_differ_where_anonymized_impostors_are_alike() -> None:
    # anonymized faces lie nearer to everybody than people do to each other: their own threshold is the stricter one
    folds = [fold([0.5], [0.8], clean=[0.1]), fold([0.5], [0.8], clean=[0.1])]
    assert fold_rates(folds, "clean", far=0.0) == [1.0, 1.0]
    assert fold_rates(folds, "impostor", far=0.0) == [0.0, 0.0]


def test_a_pair_without_a_face_is_no_success_of_privacy() -> None:
    pairs = [[Pair("a", 1, "a", 2, same=True), Pair("a", 1, "a", 3, same=True), Pair("a", 1, "b", 1, same=False)]] * 2
    vectors = {("a", 1): np.float32([0, 0]), ("a", 2): np.float32([0, 0.1]), ("b", 1): np.float32([3, 4])}
    scores = fold_scores(pairs, vectors, vectors)
    assert scores[0].genuine.tolist() == [pytest.approx(-0.1), np.inf]
    assert scores[0].impostor.tolist() == [-5.0]
    assert fold_scores(pairs, vectors, {})[0].impostor.tolist() == [-np.inf]
    assert all_pairs_impostors({}).size == 0  # where no face could be aligned
    figures = {m.name: m for m in measure(scores, "x", "release", all_pairs_impostors(vectors))}
    assert (figures["tar_at_far"].value, figures["tar_at_far"].n) == (1.0, 4)
    assert figures["tar_at_far_all_pairs"].value == 1.0
    vectors["a", 3] = np.float32([6, 8])  # it is read, and nobody: now it is refused, and still there
    figures = {m.name: m for m in measure(fold_scores(pairs, vectors, vectors), "x", "release", np.array([-5.0]))}
    assert (figures["tar_at_far"].value, figures["tar_at_far"].n) == (0.5, 4)
    interval = figures["tar_at_far"].ci95
    assert interval is not None
    assert interval[0] < 0.5 < interval[1]


def test_all_pairs_are_of_different_people_only() -> None:
    vectors = {("a", 1): np.float32([0, 0]), ("a", 2): np.float32([1, 0]), ("b", 1): np.float32([4, 0])}
    assert sorted(all_pairs_impostors(vectors).tolist()) == [-4.0, -3.0]


def test_own_impostors_are_of_different_people_both_ways() -> None:
    vectors = {("a", 1): np.float32([0, 0]), ("a", 2): np.float32([1, 0]), ("b", 1): np.float32([4, 0])}
    second = {("a", 1): np.float32([0, 3]), ("b", 1): np.float32([8, 0]), ("c", 1): np.float32([np.nan, 0])}
    assert sorted(own_impostors(vectors, second).tolist()) == [-np.inf] * 3 + [-8.0, -7.0, -5.0]
    assert own_impostors(vectors, {}).size == own_impostors({}, second).size == 0
    assert own_impostors(vectors, {("b", 7): np.float32([0, 0])}, limit=2).size == 1  # one of everybody first


def test_the_own_threshold_of_originals_is_theirs() -> None:
    """Every pair is there twice, so the same share of them passes, whatever their number."""
    rng = np.random.default_rng(1)
    for people in (3, 40, 57, 90):
        vectors = {(f"p{i}", 0): rng.normal(size=4).astype(np.float32) for i in range(people)}
        once, twice = all_pairs_impostors(vectors), own_impostors(vectors, vectors)
        assert twice.size == 2 * once.size
        assert threshold_at(twice, 0.001) == pytest.approx(threshold_at(once, 0.001), abs=1e-6)


def test_a_pair_that_nothing_tells_from_the_impostors_passes_as_often_as_is_guessed() -> None:
    rng = np.random.default_rng(0)
    for count in (4, 24, 2500):
        scores = rng.random((4000, count + 1))
        hits = [row[0] >= threshold_at(row[1:], 0.001) for row in scores]
        assert np.mean(hits) == pytest.approx(guessed(count), abs=4 * (guessed(count) / 4000) ** 0.5)
    assert guessed(24) == 1 / 25
    assert guessed(0) == 1.0


def test_a_sample_of_impostors_is_of_everybody_and_of_no_letter_first() -> None:
    """A has twenty photos, 25 others two each: of 26 photos every person gives one, of 13 half of the people do."""
    keys = [("A", i) for i in range(20)] + [(f"{letter}", i) for letter in "BCDEFGHIJKLMNOPQRSTUVWXYZ" for i in (0, 1)]
    assert {person for person, _ in drawn(keys, 26)} == {person for person, _ in keys}
    some = drawn(keys, 13)
    assert len({person for person, _ in some}) == 13
    assert {person for person, _ in some} != set("ABCDEFGHIJKLM")
    assert some == drawn(reversed(keys), 13)
    assert drawn(keys, 1000) == sorted(keys)
    vectors = {key: np.float32([i, 0]) for i, key in enumerate(keys)}
    assert all_pairs_impostors(vectors, limit=13).size == 13 * 12 / 2
    assert drawn_of(4000) == "all 4,000 photos"
    assert drawn_of(4001).startswith("4,000 of 4,001 photos")


def test_roc_rises_from_strict_to_lax() -> None:
    curve = roc(np.array([0.5, 0.1]), ["a", "b"], "dlib_resnet", "release", np.linspace(0, 1, 101), steps=5)
    assert curve.figure == "roc_dlib_resnet"
    assert list(curve.y) == sorted(curve.y)
    assert curve.y[-1] == 1.0
    assert (curve.x[0], curve.x[-1]) == (pytest.approx(1 / 101), 1.0)  # of 101 impostors no lower rate can be told
    assert roc(np.array([0.5]), ["a"], "x", "release", np.zeros(0)).x[0] == 1.0
    (line,) = guessing([roc(np.array([0.5]), ["a"], "x", "release", np.zeros(9)), curve])
    assert (line.figure, line.label, line.x, line.y) == ("roc_x", "chance", curve.x, curve.x)
    assert guessing([]) == []


def test_the_pairs_of_one_person_are_not_independent() -> None:
    """Forty pairs each of twenty people, two of whom are always confirmed: the band is that of twenty, not of 800."""
    genuine, people = np.repeat([1.0] * 2 + [0.0] * 18, 40), [f"p{i // 40}" for i in range(800)]
    curve = roc(genuine, people, "x", "release", np.full(1000, 0.5), steps=3)
    assert curve.y[0] == 0.1
    assert (curve.low[0], curve.high[0]) == share_of_people(genuine, people)
    low, high = wilson(80, 800) or (0, 0)
    assert curve.high[0] - curve.low[0] > 4 * (high - low)
    assert all(low <= y <= high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True))


def test_distances_of_pairs_as_shares() -> None:
    curve = similarity([-0.11, -0.12, -0.9, -7.0, -np.inf], "x (guided training)", "release")
    assert curve.figure == "similarity_x"
    assert sum(curve.y) == pytest.approx(1.0)
    assert curve.y[2] == 0.5
    assert curve.y[-1] == 0.25
