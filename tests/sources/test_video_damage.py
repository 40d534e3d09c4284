"""Damaged video files: what cannot be read is told frame by frame, and moves no other frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from grey_clips import greys, level, make, near, release

from dsanon.sample import Photo, Unreadable
from dsanon.sources.clip import probe
from dsanon.sources.video import GREY, VideoSource


def test_a_cut_file_keeps_its_length(tmp_path: Path) -> None:
    """The index at the front promises all frames; those that are not there are unreadable, and grey in the release."""
    blocks = np.random.default_rng(5).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = make(
        tmp_path / "a.mp4",
        frames=40,
        options={"movflags": "faststart"},
        codec="mjpeg",
        pix_fmt="yuvj420p",
        picture=blocks,
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = VideoSource(path)
    samples = source.samples()
    assert len(samples) == 40
    photos = list(source.read(samples))
    there = [isinstance(photo, Photo) for photo in photos]
    assert there == sorted(there, reverse=True)
    assert 15 < sum(there) < 30
    assert all("cut off" in photo.reason for photo in photos if isinstance(photo, Unreadable))
    (target,) = release(source, tmp_path / "out")
    found = greys(tmp_path / "out" / target)
    assert len(found) == 40
    assert near(found[sum(there) :], [GREY] * (40 - sum(there)))


def test_a_hole_does_not_move_the_other_frames(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", frames=16, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    content[packets[5].pos : packets[5].pos + packets[5].size] = b"\0" * packets[5].size
    path.write_bytes(content)
    source = VideoSource(path)
    photos = list(source.read(source.samples()))
    assert [index for index, photo in enumerate(photos) if isinstance(photo, Unreadable)] == [5]
    assert near([p.pixels.mean() for p in photos[6:] if isinstance(p, Photo)], [level(i) for i in range(6, 16)])


def test_frames_that_the_index_does_not_know_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a.avi", codec="mpeg4")
    source = VideoSource(path)
    samples = source.samples()[:-2]
    clip = probe(path)
    fewer = type(clip)(
        **{name: getattr(clip, name) for name in clip.__slots__} | {"times": clip.times[:-2], "stamps": ()}
    )
    monkeypatch.setattr("dsanon.sources.video.probe", lambda path: fewer)
    photos = list(source.read(samples))
    assert [isinstance(photo, Photo) for photo in photos] == [True] * 9 + [False]
    assert "more frames" in photos[-1].reason


@pytest.mark.parametrize("content", [b"", b"no video at all", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"])
def test_a_file_that_cannot_be_opened_is_one_sample(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    make(tmp_path / "b.mp4", frames=3)
    source = VideoSource(tmp_path)
    samples = source.samples()
    assert [sample.id for sample in samples] == ["a.mp4#000000", *(f"b.mp4#{i:06d}" for i in range(3))]
    assert samples[0].problem
    assert "a.mp4" not in samples[0].problem
    assert samples[0].frame is None
    assert isinstance(next(source.read(samples)), Unreadable)
    assert len(release(source, tmp_path / "out")) == 1


def test_a_codec_that_nobody_knows_is_one_sample(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    (sample,) = VideoSource(path).samples()
    assert "decoded" in str(sample.problem)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "outside" / "a.mp4")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").symlink_to(tmp_path / "outside" / "a.mp4")
    (sample,) = VideoSource(tmp_path / "in").samples()
    assert "link" in str(sample.problem)


def test_frames_of_another_size_are_withheld(tmp_path: Path) -> None:
    """Squeezed into the first one's size, faces are not found."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, (width, height) in enumerate([(64, 48), (64, 48), (96, 96), (64, 48)]):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 10)
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), "rgb24")
            frame.pts = number
            for packet in [*encoder.encode(frame.reformat(format="yuvj420p")), *encoder.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    source = VideoSource(path)
    photos = list(source.read(source.samples()))
    assert [isinstance(photo, Photo) for photo in photos] == [True, True, False, True]
