from __future__ import annotations

import numpy as np

from dsanon import boxes
from dsanon.filling import View
from dsanon.missed import NOTE, covers
from dsanon.sample import Box, Region
from dsanon.sources.silhouettes import from_mask


def body(i: int, width: float = 40, height: float = 120) -> Box:
    """Somebody who walks to the right and bobs."""
    x, y = 100 + 6.0 * i, 50 + 5 * np.sin(i)
    return x, float(y), x + width, float(y) + height


def face(i: int) -> Region:
    """Seen at the top of the body, a little to the left."""
    x0, y0, *_ = body(i)
    return Region("face", (x0 + 10, y0 + 6, x0 + 24, y0 + 22), "1", detector="hog+annotation")


def missed(i: int) -> Region:
    x0, y0, x1, y1 = body(i)
    mask = from_mask(np.ones((4, 4), bool))
    large = (x0, y0 - 2, x1, y0 + 0.4 * (y1 - y0))
    return Region("face", large, "1", (), (), "annotation", 1.0, "no face", mask)


def view(n: int, scenes: list[int] | None = None) -> View:
    return View(np.arange(n) / 30, scenes or [0] * n, [(640, 480)] * n)


def test_the_head_is_where_it_was_on_the_body_and_moves_with_it() -> None:
    out = covers(view(20), {i: body(i) for i in range(20)}, {4: face(4), 14: face(14)}, {i: missed(i) for i in (5, 9)})
    assert sorted(out) == [5, 9]
    for i, region in out.items():
        assert region.note == NOTE
        assert region.reason == "no face"
        assert region.silhouette is None
        seen = face(i).box
        assert boxes.intersection([region.box], [seen])[0, 0] == boxes.area([seen])[0]  # the face that nobody saw
        assert boxes.area([region.box])[0] < 0.7 * boxes.area([missed(i).box])[0]
    sizes = {i: boxes.area([region.box])[0] for i, region in out.items()}
    assert sizes[5] < sizes[9]  # the farther from a sighting, the more is covered


def test_in_doubt_the_large_cover_stays() -> None:
    bodies = {i: body(i) for i in range(60)}
    one = {5: missed(5)}
    assert covers(view(60), bodies, {4: face(4)}, one)  # the case that is sure
    assert not covers(view(60), bodies, {}, one)
    assert not covers(view(60), bodies, {50: face(50)}, one)  # more than a second away
    assert not covers(view(60), {**bodies, 5: body(5, 80, 70)}, {4: face(4)}, one)  # crouching now
    assert not covers(view(60), {**bodies, 6: body(6, 40, 60)}, {9: face(9)}, one)  # crouched in between
    assert not covers(view(60), {4: body(4)}, {4: face(4)}, one)  # no body is known
    assert not covers(view(60, [0] * 5 + [1] * 55), bodies, {4: face(4)}, one)  # another scene
    low = Region("face", (124.0, 130, 138, 146), "1", detector="hog+annotation")
    assert not covers(view(60), bodies, {4: low}, one)  # beyond where the head may be
