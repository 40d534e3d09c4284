from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsanon.heads import NEVER, expected, extent, head_box, is_oval, match, misfit, top_share
from dsanon.sample import Box, Mask, Person, Region
from dsanon.shapes import FEEBLE, TURNED
from dsanon.sources.silhouettes import from_mask

W, H = 400, 300


def face(x: float, y: float, size: float, reason: str = "") -> Region:
    half = size / 2
    return Region("face", (x - half, y - half, x + half, y + half), detector="hog", score=0.9, reason=reason)


def drawn(*parts: tuple[slice, slice]) -> Mask:
    mask = np.zeros((H, W), bool)
    for part in parts:
        mask[part] = True
    return mask


@pytest.mark.parametrize(
    ("body", "share"),
    [
        ((0.0, 0.0, 100.0, 240.0), 0.26),  # standing
        ((0.0, 0.0, 50.0, 290.0), 0.26),
        ((0.0, 0.0, 100.0, 185.0), 0.63),  # half-way between 1.3 and 2.4 widths: (0.26 + 1) / 2
        ((0.0, 0.0, 100.0, 130.0), 1.0),  # crouching, or head and shoulders
        ((0.0, 0.0, 200.0, 60.0), 1.0),  # lying
        ((0.0, 0.0, 5.0, 40.0), 1.0),  # too small to tell
    ],
)
def test_the_taller_a_body_the_less_of_it_is_head(body: Box, share: float) -> None:
    assert top_share(body) == pytest.approx(share)


def test_a_known_head_comes_first_then_the_silhouette_then_the_body() -> None:
    standing = from_mask(drawn((slice(20, 90), slice(100, 130)), (slice(90, 260), slice(90, 180))))
    body: Box = (90.0, 20.0, 180.0, 260.0)
    known: Box = (1.0, 2.0, 3.0, 4.0)
    assert head_box(Person(body=body, head=known, silhouette=standing)) == known
    # the top 0.26 of 240 rows: 62.4, and 0.02 above it for the hair
    x0, y0, x1, y1 = head_box(Person(body=body, silhouette=standing)) or (0, 0, 0, 0)
    assert (y0, y1) == pytest.approx((20 - 4.8, 20 + 62.4))
    # 30 columns are less than 0.8 of those 62.4 rows: (49.92 - 30) / 2 more on each side
    assert (x0, x1) == pytest.approx((100 - 9.96, 130 + 9.96))
    assert head_box(Person(body=body)) == pytest.approx((90.0, 15.2, 180.0, 82.4))
    assert head_box(Person("known by name only")) is None


@pytest.mark.parametrize(
    ("person", "oval"),
    [
        (Person(body=(100, 20, 180, 260)), True),  # standing, three widths high
        (Person(body=(100, 20, 210, 260)), False),  # 2.2 widths: bent, or sitting
        (Person(body=(100, 20, 160, 260)), False),  # four widths: the head is as wide as the box
        (Person(body=(0, 20, 80, 260)), False),  # cut off by the photo's edge
        (Person(body=(320, 20, 400, 260)), False),
        (Person(body=(100, 0, 180, 240)), False),
        (Person(body=(100, 20, 180, 260), head=(120, 20, 150, 60)), False),
        (Person(body=(100, 20, 180, 260), silhouette=from_mask(drawn((slice(20, 260), slice(100, 180))))), False),
        (Person("known by name only"), False),
    ],
)
def test_the_corners_of_a_guess_are_left_only_of_who_stands_wholly_in_the_photo(person: Person, oval: bool) -> None:
    assert is_oval(person, 400, 300) is oval


def test_a_tuft_at_the_top_does_not_pass_for_the_head() -> None:
    # the first 70 of 280 rows hold a raised finger only
    silhouette = from_mask(drawn((slice(10, 80), slice(150, 153)), (slice(80, 290), slice(100, 200))))
    box = head_box(Person(silhouette=silhouette))
    assert box is not None
    assert box[2] - box[0] >= 0.2 * 280


def test_a_silhouette_that_tells_no_posture_is_covered_as_a_whole() -> None:
    silhouette = from_mask(drawn((slice(20, 220), slice(100, 200))))  # 2 widths high: 0.53 by its box
    x0, _, x1, y1 = head_box(Person(silhouette=silhouette)) or (0, 0, 0, 0)
    assert (x0, x1, y1) == (100, 200, 220)
    assert extent(Person(silhouette=silhouette)) == (100, 20, 200, 220)


boxes = st.tuples(st.floats(-100, 400), st.floats(-100, 300), st.floats(1, 300), st.floats(1, 300)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(body=boxes)
def test_the_heads_box_is_the_upper_part_of_the_body(body: Box) -> None:
    head = head_box(Person(body=body))
    assert head is not None
    assert (head[0], head[2]) == (body[0], body[2])
    assert head[1] <= body[1] < head[3] <= body[3] + 1e-6
    assert head[3] - body[1] >= 0.2599 * (body[3] - body[1])


@given(head=boxes)
def test_a_face_in_the_middle_of_a_known_head_fits_best(head: Box) -> None:
    place = expected(Person(head=head))
    assert place is not None
    x, y = place.centre
    assert misfit(face(x, y, place.side).box, place) == pytest.approx(0, abs=1e-6)
    assert misfit(face(x, y, 0.3 * place.side).box, place) == NEVER
    assert misfit(face(x, y, 2.5 * place.side).box, place) == NEVER
    assert misfit(face(x + 0.7 * place.reach[0], y, place.side).box, place) == NEVER


def test_in_a_crowd_a_face_is_of_whom_it_is_the_head() -> None:
    behind, front = Person("behind", (100, 20, 180, 290)), Person("front", (120, 120, 190, 290))
    faces = [face(155, 140, 28), face(140, 45, 30)]
    assert match(faces, [behind, front]) == {0: 1, 1: 0}
    assert match(faces[:1], [behind, front]) == {0: 1}
    assert match([face(140, 250, 30)], [behind]) == {}  # a print on the trousers


def test_a_face_beside_the_silhouette_is_somebody_elses() -> None:
    dancer = Person(
        "dancer", silhouette=from_mask(drawn((slice(20, 280), slice(100, 150)), (slice(150, 200), slice(100, 250))))
    )
    assert extent(dancer) == (100, 20, 250, 280)
    assert match([face(125, 60, 40), face(190, 60, 40)], [dancer]) == {0: 0}
    assert match([face(190, 60, 40)], [dancer]) == {}


def test_a_feeble_detection_stands_for_nobody_whose_head_is_not_known() -> None:
    body, head = Person("x", body=(100, 20, 180, 290)), Person("x", head=(110, 20, 170, 80))
    assert match([face(140, 50, 36, FEEBLE)], [body]) == {}
    assert match([face(140, 50, 36, TURNED)], [body]) == {0: 0}
    assert match([face(140, 50, 36, FEEBLE)], [head]) == {0: 0}


def test_nothing_known_matches_nothing() -> None:
    assert expected(Person("x")) is None
    assert match([face(100, 100, 30)], [Person("x")]) == {}
    assert match([], [Person("x", (0, 0, 50, 100))]) == {}
