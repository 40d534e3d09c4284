from __future__ import annotations

import numpy as np
from faces import drawn_landmarks

from dsanon import boxes
from dsanon.align import face_transform
from dsanon.filling import EXTENDED, FILLED, SURE, UNSURE, View, whole
from dsanon.sample import Region

SIZE = 60.0


def view(n: int, scenes: list[int] | None = None, blind: frozenset[int] = frozenset()) -> View:
    return View(np.arange(n) / 30, scenes or [0] * n, [(640, 480)] * n, blind)


def face(x: float, y: float = 200, detector: str = "centerface+hog") -> Region:
    points = drawn_landmarks(x, y, SIZE)
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    transform = tuple(map(float, face_transform(points).ravel()))
    return Region("face", (x0, y0, x1, y1), None, tuple(map(float, points.ravel())), transform, detector, 0.9)


def turned(x: float, y: float = 200, side: float = 80) -> Region:
    """A face that was seen, but not aligned."""
    half = side / 2
    return Region("face", (x - half, y - half, x + half, y + half), detector="centerface", score=0.7, reason="turned")


def middle(region: Region) -> float:
    return (region.box[0] + region.box[2]) / 2


def test_every_third_frame_missed_is_filled_where_the_face_was() -> None:
    seen = {i: face(100 + 4 * i) for i in range(45) if i % 3 != 1}
    out = whole(view(45), seen)
    assert sorted(out) == list(range(45))
    for i in range(1, 43, 3):
        assert (out[i].note, out[i].reason, out[i].detector) == (FILLED, "", "track")
        assert abs(middle(out[i]) - (100 + 4 * i)) < 2
        assert out[i].landmarks
        assert out[i].transform
    assert all(out[i].note == "" for i in seen)


def test_a_gap_of_more_than_a_second_is_not_filled_but_both_its_ends_are_extended() -> None:
    seen = {i: face(200) for i in [*range(5), *range(60, 65)]}
    out = whole(view(65), seen)
    reach = round(SURE * 30)
    assert sorted(out) == [*range(5 + reach), *range(60 - reach, 65)]
    assert all(out[i].note == EXTENDED for i in out.keys() - seen.keys())


def test_a_late_track_reaches_back_along_its_motion_and_no_further_than_the_frame() -> None:
    inside = whole(view(60), {i: face(100 + 5 * i) for i in range(40, 50)})
    assert sorted(inside) == list(range(40 - 15, 60))
    assert 300 - 40 < middle(inside[39]) < 300
    assert middle(inside[25]) < middle(inside[39])
    leaving = whole(view(60), {i: face(20 - 20 * (20 - i)) for i in range(20, 30)})
    assert min(leaving) == 19  # a frame earlier it was beyond the left edge


def test_a_scene_cut_ends_every_extension_and_nothing_is_filled_across() -> None:
    scenes = [0] * 10 + [1] * 10
    assert sorted(whole(view(20, scenes), {i: face(200) for i in range(5, 10)})) == list(range(10))
    both = whole(view(20, scenes), {i: face(200 + 200 * (i > 9)) for i in (6, 7, 8, 12, 13, 14)})
    assert sorted(both) == list(range(20))
    assert all(abs(middle(both[i]) - (200 if i < 10 else 400)) < 1 for i in range(20))


def test_a_detector_that_fires_once_falsely_covers_a_moment_and_no_more() -> None:
    out = whole(view(60), {30: face(200, detector="hog")})
    assert sorted(out) == list(range(30 - round(UNSURE * 30), 30 + round(UNSURE * 30) + 1))
    assert len(whole(view(60), {30: face(200)})) == 2 * round(SURE * 30) + 1  # two detectors: somebody is there


def test_a_face_that_turned_away_for_a_moment_stays_covered_where_it_was_seen() -> None:
    near, far = turned(203, 206, 64), turned(240)
    out = whole(view(11), {i: face(200) for i in range(11) if i != 5} | {5: near})
    assert (out[5].reason, out[5].note) == ("", FILLED)
    out = whole(view(11), {i: face(200) for i in range(11) if i != 5} | {5: far})
    assert (out[5].reason, out[5].landmarks) == ("turned", ())
    assert boxes.intersection([out[5].box], boxes.expand(far.box, 1 / 1.4))[0, 0] >= boxes.area(
        boxes.expand(far.box, 1 / 1.4)
    )[0] * (1 - 1e-9)


def test_landmarks_that_jump_alone_follow_the_others_or_stay_where_detectors_saw_them() -> None:
    seen = {i: face(200) for i in range(15)}
    slip, jump = face(210), face(260)
    assert abs(middle(whole(view(15), {**seen, 7: slip})[7]) - 200) < 2
    assert whole(view(15), {**seen, 7: jump})[7].landmarks == jump.landmarks


def test_faces_without_landmarks_are_boxes_all_the_way() -> None:
    rng = np.random.default_rng(0)
    seen = {i: turned(200 + 3 * i + rng.normal(), side=60 + rng.normal()) for i in range(20) if i not in (8, 9)}
    out = whole(view(26), seen)
    assert sorted(out) == list(range(26))
    assert {region.reason for region in out.values()} == {"turned"}
    assert (out[8].note, out[24].note) == (FILLED, EXTENDED)
    raw = np.array([middle(seen[i]) for i in range(8)])
    steady = np.array([middle(out[i]) for i in range(8)])
    assert np.abs(np.diff(steady, 2)).mean() < 0.5 * np.abs(np.diff(raw, 2)).mean()
    for i, region in seen.items():
        inner = boxes.expand(region.box, 1 / 1.4)
        assert boxes.intersection([out[i].box], inner)[0, 0] >= boxes.area(inner)[0] * (1 - 1e-9)


def test_frames_that_tell_otherwise_are_left_to_them() -> None:
    seen = {i: face(200) for i in range(5, 10)}
    assert sorted(whole(view(20), seen, known=[4, 12])) == [*range(5, 12)]
    assert 7 not in whole(view(20, blind=frozenset({7})), {i: face(200) for i in range(5, 10) if i != 7})
