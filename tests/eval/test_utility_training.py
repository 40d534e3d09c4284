"""What a release teaches: the figure by hand, the detector that learns, and nobody on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from dsanon_eval.networks.small_detector import SIDE, average_precision, detect, matched, train_detector
from dsanon_eval.seeing.case import Face, Scene
from dsanon_eval.utility import training

from dsanon.errors import DsanonError
from dsanon.sample import Region

ONE = np.array([[10.0, 10, 30, 30]])


def test_average_precision_by_hand() -> None:
    near = np.array([[12.0, 10, 32, 30], [10.0, 10, 30, 30], [60.0, 60, 70, 70]])
    score, hits = matched((near, np.array([0.9, 0.8, 0.7])), ONE)
    assert hits.tolist() == [True, False, False]  # one face is found once
    other = matched(
        (np.array([[0.0, 0, 9, 9], [40.0, 40, 60, 60]]), np.array([0.85, 0.75])), np.array([[40.0, 40, 60, 60]])
    )
    # in order of scores: hit, miss, miss, hit, miss; precision 1 and 1/2 at the two hits
    assert average_precision([(score, hits), other], 2) == pytest.approx((1 + 0.5) / 2)
    assert average_precision([(score, hits), other], 3) == pytest.approx((1 + 0.5) / 3)  # one was missed
    assert average_precision([(score, np.zeros(3, bool))], 2) == 0.0
    assert matched((near, np.array([0.9, 0.8, 0.7])), np.zeros((0, 4)))[1].tolist() == [False] * 3


def drawn(n: int, seed: int, shown: bool = True) -> tuple[np.ndarray, list[np.ndarray]]:
    """Noise with a bright disc in each but every fourth window."""
    random = np.random.default_rng(seed)
    windows = random.integers(0, 90, (n, SIDE, SIDE, 3), dtype=np.uint8)
    faces = []
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for i in range(n):
        x, y, r = random.uniform(25, 70), random.uniform(25, 70), random.uniform(10, 24)
        if i % 4 < 3:
            if shown:
                windows[i][np.square(columns - x) + np.square(rows - y) < r * r] = 230
            faces.append(np.array([[x - r, y - r, x + r, y + r]]))
        else:
            faces.append(np.zeros((0, 4)))
    return windows, faces


def test_it_learns_what_is_shown_and_nothing_where_nothing_is() -> None:
    asked, real = drawn(48, 1)
    reached = []
    for shown, steps in ((True, 50), (False, 10)):
        network = train_detector(*drawn(96, 0, shown), steps)
        found = [matched(some, mine) for some, mine in zip(detect(network, asked), real, strict=True)]
        reached.append(average_precision(found, 36))
    assert reached[0] > 0.6
    assert reached[1] < 0.2


def test_ratio_and_interval_are_of_the_same_people_and_seeds() -> None:
    hit = (np.array([0.9]), np.array([True]))
    miss = (np.array([0.9]), np.array([False]))
    people = [f"p{i // 2}" for i in range(40)]
    original = [hit] * 32 + [miss] * 8
    release = [hit] * 16 + [miss] * 24
    found = {"original": [original] * 3, "release": [release] * 3}
    got = {(m.name, m.control): m for m in training.figures(found, [1] * 40, people)}
    # every score is the same, so that hits come first and precision is 1 at each
    assert got[training.NAME, "original"].value == pytest.approx(0.8)
    share = got[training.RATIO, "release"]
    assert share.value == pytest.approx(0.5)
    assert share.ci95 is not None
    assert share.ci95[0] < share.value < share.ci95[1]
    assert share.n == 40
    assert (training.RATIO, "original") not in got
    nothing = training.figures({"original": [[miss] * 40], "release": [[miss] * 40]}, [1] * 40, people)
    assert {m.name for m in nothing} == {training.NAME}  # of a detector that learnt nothing there is no share
    little = [hit] * 6 + [miss] * 34  # nor is 1 the share of one that names a face in seven, by luck, in both
    assert {m.name for m in training.figures({k: [little] for k in found}, [1] * 40, people)} == {training.NAME}
    alone = training.figures(found, [1] * 40, ["p"] * 40)
    assert [m.ci95 for m in alone] == [None] * 3


def test_people_on_both_sides_void_it() -> None:
    some = training.Windows({"original": np.zeros((1, SIDE, SIDE, 3), np.uint8)}, [ONE], ["a"])
    with pytest.raises(DsanonError, match="both learnt from and tested on"):
        training.measure(some, some, 3)


def test_windows_are_the_same_in_every_run_and_the_last_shows_nobody() -> None:
    face = Face("a", True, "p", "dataset", "anonymized", Region("face", (100, 80, 140, 120)))
    scene = Scene("s1", "a.png", "", "b.png", "", (face,))
    real = np.array([[100.0, 80, 140, 120]])
    out = training.drawn(scene, real, 640, 480)
    assert out == training.drawn(scene, real, 640, 480)
    assert len(out) == 4
    for x, y, side in out[:3]:
        assert x < 120 < x + side
        assert y < 100 < y + side
    x, y, side = out[3]
    assert x >= 140 or y >= 120 or x + side <= 100 or y + side <= 80
