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
    low, high = np.quantile(rows, (0.025, 0.975))
    p = hits[1].mean()
    theirs = [hits[1][k::7] for k in range(7)]
    variance = 7 / 6 * sum((mine.sum() - p * len(mine)) ** 2 for mine in theirs) / 50**2
    most = sum(len(mine) ** 2 for mine in theirs) / 50  # Kish's effect where one person's faces are all alike
    telling = min(sum(mine.any() for mine in theirs), sum(not mine.all() for mine in theirs))
    alike = (telling * min(1, max(0, (variance * 50 / (p * (1 - p)) - 1) / (most - 1))) + 1) / (telling + 1)
    worth = 50 / (1 + alike * (most - 1)) * (1.959964 / 2.446912) ** 2  # Student's, 6 degrees of freedom
    worth = min(50.0, max(50 / most, worth))
    beside = wilson(p * worth, worth) or (0, 0)
    assert together[1] == pytest.approx([min(low, beside[0]), max(high, beside[1])], abs=1e-5)


def test_two_people_who_differ_little_are_still_two_people() -> None:
    """The bootstrap draws one or the other: [0.9, 1]. It cannot know a third."""
    hits, people = [1] * 90 + [0] * 10 + [1] * 100, ["a"] * 100 + ["b"] * 100
    low, high = share_of_people(hits, people)
    assert low < 0.5
    assert high == pytest.approx(1.0, abs=0.01)
    assert low >= (wilson(0.95 * 2, 2) or (1,))[0]  # never less than if all photos of one person were one


@pytest.mark.parametrize(("people", "faces", "share"), [(2, 50, 0.1), (30, 16, 0.01)])
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(people: int, faces: int, share: float) -> None:
    """Beta-binomial people (correlation 0.1); of the bootstrap alone some 46 and 10 of a hundred did not."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(people), faces).tolist()
    missed = 0
    for _ in range(100):
        each = rng.beta(9 * share, 9 * (1 - share), people)
        low, high = share_of_people((rng.random((people, faces)) < each[:, None]).ravel(), who)
        missed += not low <= share <= high
    assert missed <= 8


def test_rare_hits_of_people_with_many_pairs_keep_their_doubt() -> None:
    """Beta-binomial (correlation 0.3), a few people with most pairs; by their own spread 24 of a hundred did not."""
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.zipf(1.6, 73), 1, 40)
    who = np.repeat(np.arange(73), sizes)
    missed = 0
    for _ in range(100):
        each = rng.beta(0.02 * 7 / 3, 0.98 * 7 / 3, 73)
        missed += share_of_people(rng.random(len(who)) < each[who], who.tolist())[1] < 0.02
    assert missed <= 3


def test_one_hit_does_not_make_the_bound_much_lower() -> None:
    who = np.repeat(np.arange(40), np.arange(1, 41)).tolist()
    none, one = np.zeros((2, len(who)))
    one[-1] = 1
    assert share_of_people(one, who)[1] > 0.4 * share_of_people(none, who)[1]  # by its own spread alone 0.06


def test_the_mean_of_few_is_stretched_and_stays_what_it_can_be() -> None:
    """Of two people the bootstrap's ends are theirs, 0.5 and 0.9; Student's t of one degree of freedom is 12.7."""
    half = 0.2 * 12.7062 / 1.959964 * 2**0.5
    assert bootstrap_mean([0.5, 0.9], ["a", "b"]) == pytest.approx((0.7 - half, 0.7 + half), abs=1e-3)
    assert bootstrap_mean([0.5, 0.9], ["a", "b"], within=(0.0, 1.0)) == (0.0, 1.0)
    many = np.random.default_rng(0).random(400)
    low, high = bootstrap_mean(many, list(range(400))) or (0, 0)
    half = 1.966 * many.std(ddof=1) / 20
    assert (low, high) == (pytest.approx(many.mean() - half, abs=0.003), pytest.approx(many.mean() + half, abs=0.003))


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
