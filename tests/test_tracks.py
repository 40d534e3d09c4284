from __future__ import annotations

import numpy as np
from drawn_images import scene

from dsanon.appearance import thumbnail
from dsanon.sample import Found, Region
from dsanon.tracks import NONE, Tracks, associate, scenes


def colour(bin_: int) -> bytes:
    """The look of somebody all of one colour."""
    out = bytearray(128)
    out[bin_] = out[64 + bin_] = 255
    return bytes(out)


RED, BLUE = colour(5), colour(40)


def face(x: float, y: float = 100, side: float = 40, look: bytes = b"", label: str | None = None) -> Region:
    half = side / 2
    return Region("face", (x - half, y - half, x + half, y + half), label, detector="hog", score=0.9, look=look)


def run(frames: list[list[Region]], scene: list[int] | None = None, rate: float = 30, **kept: frozenset[str]) -> Tracks:
    rows = [Found(f"f{i:03d}", 800, 600, tuple(regions)) for i, regions in enumerate(frames)]
    return associate(rows, [i / rate for i in range(len(rows))], scene or [0] * len(rows), **kept)


def test_two_people_who_cross_keep_their_tracks() -> None:
    left, right = np.linspace(100, 500, 41), np.linspace(500, 100, 41)
    frames = [[face(a, look=RED), face(b, look=BLUE)] for a, b in zip(left, right, strict=True)]
    for i in range(18, 23):  # while they overlap, one of them alone is seen
        frames[i] = frames[i][:1]
    frames[25].reverse()  # the order within a frame tells nothing
    numbers = run(frames).numbers
    assert numbers[0] == numbers[-1] == [0, 1]
    assert numbers[25] == [1, 0]
    assert all(row == [0] for row in numbers[18:23])


def test_without_appearance_motion_alone_carries_them_past_each_other() -> None:
    frames = [[face(100 + 10 * i), face(500 - 10 * i, 125)] for i in range(41)]
    assert run(frames).numbers == [[0, 1]] * 41


def test_a_track_survives_what_is_missed_for_a_second_and_no_longer() -> None:
    at = face(200)
    assert run([[at], *[[]] * 29, [at]]).numbers[-1] == [0]
    assert run([[at], *[[]] * 30, [at]]).numbers[-1] == [1]


def test_a_scene_cut_ends_every_track() -> None:
    tracks = run([[face(200)], [face(200)], [face(200)]], [0, 0, 1])
    assert tracks.numbers == [[0], [0], [1]]
    assert tracks.names == ["f000#0", "f002#0"]


def test_somebody_far_away_or_of_another_size_or_look_is_somebody_else() -> None:
    for other in (face(280), face(200, side=100), face(216, look=BLUE)):
        assert run([[face(200, look=RED)], [other]]).numbers == [[0], [1]]


def test_an_annotated_person_is_one_track_however_long_they_are_away() -> None:
    frames = [[face(100, label="1"), face(300, label="2")], *[[]] * 90, [face(300, label="1"), face(100, label="2")]]
    tracks = run(frames)
    assert tracks.numbers[-1] == [0, 1]
    assert tracks.labels == ["1", "2"]


def test_an_unlabelled_sighting_joins_an_annotated_person_only_where_the_source_does_not_have_them() -> None:
    annotated = Region("face", (500.0, 0, 560, 60), "1", detector="annotation", reason="missed")
    assert run([[face(100, label="1")], [face(102)], [face(104, label="1")]]).numbers == [[0], [0], [0]]
    assert run([[face(100, label="1")], [face(102), annotated]]).numbers == [[0], [1, NONE]]
    assert run([[face(100, label="1")], [face(102, label="2")]]).numbers == [[0], [1]]
    later = run([[face(100)], [face(102, label="1")]])
    assert (later.numbers, later.labels) == ([[0], [0]], ["1"])


def test_who_consented_and_bodies_and_guesses_have_no_part() -> None:
    body = Region("body", (80.0, 80, 160, 300), "1", detector="annotation")
    tracks = run([[face(100, label="1"), body], [face(101)]], kept=frozenset({"1"}))
    assert tracks.numbers == [[NONE, NONE], [0]]
    assert tracks.labels == [None]


def test_scenes_are_numbered() -> None:
    frames = [thumbnail(scene(seed)) for seed in (1, 1, 1, 2, 2, 1, 2, 2, 3)]
    assert scenes(frames) == [0, 0, 0, 1, 1, 1, 1, 1, 2]  # the single frame in between is a flash
    assert scenes([]) == []
