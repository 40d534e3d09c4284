from __future__ import annotations

import numpy as np
from faces import drawn_landmarks

from dsanon.sample import Region
from dsanon.steady import FRESH, Recent, prune, steadied


def region(lips: float = 0, aside: float = 0) -> Region:
    points = drawn_landmarks(64 + aside, 64, 80)
    points[48:68, 1] += lips
    return Region(
        "face", (20.0, 20, 110, 110), landmarks=tuple(map(float, points.ravel())), transform=(1, 0, 0, 0, 1, 0)
    )


def plain(level: int) -> np.ndarray:
    return np.full((128, 128, 3), level, np.uint8)


def test_a_face_that_stands_still_is_mixed_with_what_it_was() -> None:
    recent: Recent = {}
    assert (steadied(plain(100), region(), ("a", 5), recent) == 100).all()
    assert (steadied(plain(200), region(), ("a", 6), recent) == round(100 + FRESH * 100)).all()
    assert (steadied(plain(200), region(), ("b", 6), recent) == 200).all()  # somebody else


def test_a_face_that_moves_is_what_it_is_now() -> None:
    recent: Recent = {}
    steadied(plain(100), region(), ("a", 0), recent)
    speaking = steadied(plain(200), region(lips=6), ("a", 1), recent)
    assert (speaking[:64] == round(100 + FRESH * 100)).all()
    assert (speaking[80:] > 180).all()
    assert (steadied(plain(50), region(aside=9), ("a", 2), recent) == 50).all()


def test_nothing_is_mixed_with_stills_across_a_gap_or_twice_in_a_frame() -> None:
    recent: Recent = {}
    assert (steadied(plain(100), region(), None, recent) == 100).all()
    assert not recent
    for number, level in ((3, 100), (5, 200), (5, 50)):
        assert (steadied(plain(level), region(), ("a", number), recent) == level).all()


def test_who_left_is_forgotten() -> None:
    recent: Recent = {}
    for subject, number in (("a", 1), ("b", 2), ("c", 2)):
        steadied(plain(1), region(), (subject, number), recent)
    prune(recent)
    assert sorted(recent) == ["b", "c"]
    prune({})
