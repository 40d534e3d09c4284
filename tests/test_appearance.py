from __future__ import annotations

import numpy as np
from drawn_images import scene

from dsanon.appearance import described, is_cut, likeness, look, thumbnail
from dsanon.sample import Region


def test_a_cut_separates_scenes_and_a_pan_or_a_dark_moment_does_not() -> None:
    first, second = (thumbnail(scene(seed)) for seed in (1, 2))
    assert is_cut([first, first], [second, second])
    panned = [thumbnail(np.roll(scene(1), 2 * step, axis=1)) for step in range(4)]
    assert not is_cut(panned[:2], panned[2:])
    assert not is_cut([first], [thumbnail(scene(1, 50))])


def test_a_flash_is_no_cut_for_its_two_sides_are_alike() -> None:
    calm, flash = thumbnail(scene(1)), thumbnail(scene(2))
    assert not is_cut([calm, calm], [flash, calm])
    assert not is_cut([calm, flash], [calm, calm])


def test_what_is_not_known_is_no_cut() -> None:
    assert not is_cut([b"", b""], [thumbnail(scene(1))])
    assert not is_cut([], [])


def test_the_look_tells_clothes_apart_and_not_where_they_are() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    picture[60:120, 40:80] = (200, 30, 30)
    picture[60:120, 140:180] = (200, 30, 30)
    picture[60:120, 240:280] = (30, 30, 200)
    red, again, blue = (look(picture, (x, 30, x + 40, 60)) for x in (40, 140, 240))
    assert likeness(red, again) == 1
    assert likeness(red, blue) < 0.6
    assert likeness(b"", blue) == 1  # nothing known speaks against it
    assert look(picture, (290, 190, 330, 230))  # reaches over the corner
    assert likeness(look(picture, (400, 400, 420, 420)), red) == 1


def test_only_faces_that_a_detector_saw_are_described() -> None:
    picture = scene(3)
    regions = [
        Region("face", (10.0, 10, 40, 40), detector="hog+annotation"),
        Region("face", (10.0, 10, 40, 40), detector="annotation"),
        Region("body", (10.0, 10, 40, 100), detector="annotation"),
    ]
    assert [bool(region.look) for region in described(picture, regions)] == [True, False, False]
