"""Containers, codecs, sizes, times, turns and colours: a release shows what the source shows, when it shows it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from grey_clips import NAMES, greys, level, make, near, release, seconds

from dsanon.sample import Photo
from dsanon.sources.clip import probe
from dsanon.sources.video import VideoSource


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "suffix"),
    [
        ("a.mp4", "libx264", "yuv420p", ".mp4"),
        ("a.m4v", "libx264", "yuv420p", ".m4v"),
        ("a.mov", "mjpeg", "yuvj420p", ".mov"),
        ("a.MKV", "ffv1", "yuv444p", ".mkv"),
        ("a.webm", "libvpx", "yuv420p", ".mp4"),
        ("a.webm", "libvpx-vp9", "yuv420p", ".mp4"),
        ("a.avi", "mpeg4", "yuv420p", ".mp4"),
        ("a.avi", "libx264", "yuv420p", ".mp4"),
    ],
)
def test_containers_and_codecs(tmp_path: Path, name: str, codec: str, pix_fmt: str, suffix: str) -> None:
    made = make(tmp_path / f"in.{'mp4' if name == 'a.m4v' else name[2:]}", codec=codec, pix_fmt=pix_fmt)
    made = made.rename(tmp_path / name)
    source = VideoSource(made)
    (target,) = release(source, tmp_path / "out")
    assert target.endswith(suffix)
    assert near(greys(tmp_path / "out" / target), greys(made))
    before, after = probe(made), probe(tmp_path / "out" / target)
    assert (after.width, after.height, after.rate) == (before.width, before.height, before.rate)
    with av.open(str(tmp_path / "out" / target)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    changed = any("became .mp4" in sentence for sentence in source.publish(tmp_path / "out", [], NAMES))
    assert changed == (name[2:] in ("webm", "avi"))


@pytest.mark.parametrize("size", [(61, 48), (64, 47), (33, 35)])
def test_odd_sides_keep_their_size(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make(tmp_path / "a.mkv", size=size, codec="ffv1", pix_fmt="yuv444p")
    (target,) = release(VideoSource(path), tmp_path / "out")
    clip = probe(tmp_path / "out" / target)
    assert (clip.width, clip.height) == size
    assert near(greys(tmp_path / "out" / target), [level(i) for i in range(12)])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_variable_frame_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    times = [3, 43, 57, 160, 161, 400, 402, 500, 517, 600, 790, 1000]
    path = make(tmp_path / f"a{suffix}", times=times, time_base=Fraction(1, 1000))
    (target,) = release(VideoSource(path), tmp_path / "out")
    assert seconds(tmp_path / "out" / target) == [time - Fraction(3, 1000) for time in seconds(path)]


def test_a_recorders_clock_is_not_released(tmp_path: Path) -> None:
    filmed = 1_681_306_245_123  # milliseconds since 1970
    path = make(tmp_path / "a.mkv", times=[filmed + 40 * i for i in range(12)], time_base=Fraction(1, 1000))
    assert seconds(path)[0] > 1e9
    (target,) = release(VideoSource(path), tmp_path / "out")
    assert seconds(tmp_path / "out" / target) == [Fraction(index, 25) for index in range(12)]


@pytest.mark.parametrize(("aspect", "refused"), [(Fraction(4, 3), False), (Fraction(3), True), (Fraction(1, 2), True)])
def test_of_squeezed_pictures_nothing_is_released(tmp_path: Path, aspect: Fraction, refused: bool) -> None:
    """Faces in them are too narrow, or too flat, for the detectors; a player shows them as they are."""
    path = make(tmp_path / "a.mkv", aspect=aspect)
    assert all(("pixels are" in (s.problem or "")) is refused for s in VideoSource(path).samples())


def test_negative_times_start_at_zero(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.mkv",
        times=range(-3, 9),
        codec="mjpeg",
        pix_fmt="yuvj420p",
        options={"avoid_negative_ts": "disabled"},
    )
    assert seconds(path)[0] == Fraction(-3, 25)
    (target,) = release(VideoSource(path), tmp_path / "out")
    assert near(greys(tmp_path / "out" / target), greys(path))
    assert seconds(tmp_path / "out" / target) == [Fraction(index, 25) for index in range(12)]


def test_frames_that_an_edit_list_cuts_are_no_samples(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", times=range(-3, 9), options={"avoid_negative_ts": "disabled"})
    source = VideoSource(path)
    samples = source.samples()
    assert len(samples) == len(greys(path)) == 9
    assert all(isinstance(photo, Photo) for photo in source.read(samples))


@pytest.mark.parametrize(("rotation", "corner"), [(90, (0, 1)), (180, (1, 1)), (-90, (1, 0))])
def test_a_turned_video_is_released_upright(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    """``corner`` of the stored picture (row, column) is the upper left one that a player shows."""
    corners = np.array([[250, 180], [110, 40]], np.uint8)
    picture = corners.repeat(24, 0).repeat(32, 1)[..., None].repeat(3, 2)
    path = make(tmp_path / "a.mp4", frames=3, rotation=rotation, picture=picture)
    source = VideoSource(path)
    samples = source.samples()
    photo = next(source.read(samples))
    assert isinstance(photo, Photo)
    assert samples[0].size == ((64, 48) if rotation == 180 else (48, 64))
    assert photo.pixels.shape[:2] == samples[0].size[::-1]
    assert abs(int(photo.pixels[5, 5, 0]) - int(corners[corner])) <= 4
    player = cv2.VideoCapture(str(path))  # turns by itself
    shown = player.read()[1]
    player.release()
    assert np.abs(shown[..., ::-1].astype(int) - photo.pixels).mean() < 4
    (target,) = release(source, tmp_path / "out")
    clip = probe(tmp_path / "out" / target)
    assert (clip.turns, (clip.width, clip.height)) == (0, samples[0].size)


def test_colours_keep_their_mean(tmp_path: Path) -> None:
    """swscale's default rounding would darken every pass by a level."""
    blocks = np.random.default_rng(5).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = make(tmp_path / "a.mkv", frames=2, picture=blocks.repeat(8, 0).repeat(8, 1))
    (target,) = release(VideoSource(path), tmp_path / "out")
    pixels = [next(VideoSource(p).read(VideoSource(p).samples())).pixels for p in (path, tmp_path / "out" / target)]
    difference = pixels[1].astype(int) - pixels[0]
    assert np.abs(difference.mean((0, 1))).max() < 0.8
