"""Head boxes from joints."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsanon.sources.keypoints import HEAD, head_box

# a frontal head drawn to scale, 1 mm a pixel: eyes 63 apart, ears 150, chin 115 below and crown 125 above the eyes
FRONT = {
    "nose": (500.0, 445.0),
    "left_eye": (531.5, 400.0),
    "right_eye": (468.5, 400.0),
    "left_ear": (575.0, 405.0),
    "right_ear": (425.0, 405.0),
    "left_shoulder": (670.0, 640.0),
    "right_shoulder": (330.0, 640.0),
}
HEAD_OF_FRONT = (425.0, 275.0, 575.0, 515.0)  # ears, crown, chin
BODY = (250.0, 270.0, 750.0, 1980.0)


def contains(outer: tuple[float, ...], inner: tuple[float, ...]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


@pytest.mark.parametrize(
    "marked",
    [
        tuple(FRONT),
        HEAD,
        ("left_eye", "right_eye"),
        ("left_ear", "right_ear"),
        ("nose", "left_eye"),
        ("nose", "left_shoulder", "right_shoulder"),
        ("right_ear", "nose"),
        ("left_eye", "left_shoulder", "right_shoulder"),
        ("nose",),
    ],
)
def test_the_whole_head_is_inside(marked: tuple[str, ...]) -> None:
    found = head_box({name: FRONT[name] for name in marked}, BODY)
    assert found is not None
    assert contains(found, HEAD_OF_FRONT)
    if {"left_eye", "right_eye"} <= set(marked) or {"left_ear", "right_ear"} <= set(marked):
        assert contains((330.0, 230.0, 670.0, 570.0), found)
    elif len(marked) > 1:
        assert contains((240.0, 150.0, 760.0, 680.0), found)


def test_no_head_without_a_point_of_it() -> None:
    assert head_box({}, BODY) is None
    assert head_box({name: FRONT[name] for name in ("left_shoulder", "right_shoulder")}, BODY) is None


def test_the_body_ends_the_head() -> None:
    found = head_box(FRONT, (400.0, 380.0, 600.0, 900.0))
    assert found is not None
    assert found[1] > 330  # without the body it would begin at about 240
    assert found[0] > 350


coordinates = st.tuples(st.floats(0, 640), st.floats(0, 480))


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(FRONT)), coordinates),
    st.one_of(st.none(), st.tuples(coordinates, st.floats(1, 300), st.floats(1, 300))),
)
def test_every_marked_point_is_inside(
    joints: dict[str, tuple[float, float]], body: tuple[tuple[float, float], float, float] | None
) -> None:
    box = None if body is None else (*body[0], body[0][0] + body[1], body[0][1] + body[2])
    found = head_box(joints, box)
    assert (found is None) == (not set(HEAD) & joints.keys())
    if found:
        assert all(
            found[0] <= x <= found[2] and found[1] <= y <= found[3] for name, (x, y) in joints.items() if name in HEAD
        )
