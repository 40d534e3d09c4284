"""Video files: every frame accounted for, nothing but pictures and times in the release."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dsanon.errors import DsanonError, SourceError
from dsanon.naming import Names
from dsanon.sample import Encoding, Photo, Sample, Unreadable
from dsanon.sources.clip import probe
from dsanon.sources.video import GREY, VideoSource

NAMES = Names(b"n" * 32)
SECRET = b"Aaron Eckhart"
ASS = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\nStyle: Default\n\n[Events]\nFormat: Text\n"


def level(index: int) -> int:
    """The grey that tells frame ``index``: 12 levels apart, so that no codec confuses two."""
    return 20 + 12 * (index % 18)


def make(
    path: Path,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
    rotation: int = 0,
    picture: np.ndarray | None = None,
    secrets: bool = False,
) -> Path:
    """A clip of grey frames (or of one picture), on request with sound, subtitles and tags that name somebody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        sound = subtitles = None
        if secrets:
            out.metadata["title"] = stream.metadata["title"] = SECRET.decode()
            sound, subtitles = out.add_stream("aac", rate=8000), out.add_stream("subrip")
            subtitles.codec_context.subtitle_header = ASS
        for index in range(frames):
            pixels = np.full((size[1], size[0], 3), level(index), np.uint8) if picture is None else picture
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (index if times is None else times[index]), time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound and subtitles:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 8000, 0
            out.mux(sound.encode(silence))
            out.mux(sound.encode(None))
            line = av.Packet(SECRET)
            line.stream, line.pts, line.dts, line.duration, line.time_base = subtitles, 0, 0, 100, Fraction(1, 1000)
            out.mux(line)
    return path


def release(source: VideoSource, data: Path, samples: list[Sample] | None = None) -> dict[str, str]:
    """Pass every frame through, unchanged."""
    samples = source.samples() if samples is None else samples
    with source.sink(data, NAMES) as sink:
        for sample, photo in zip(samples, source.read(samples), strict=True):
            sink.write(sample, photo if isinstance(photo, Photo) else None)
        return sink.close()


def greys(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in container.decode(video=0)]


def seconds(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def near(found: Sequence[float], expected: Sequence[float]) -> bool:
    return len(found) == len(expected) and all(abs(a - b) <= 2 for a, b in zip(found, expected, strict=True))


def test_frames_are_samples_in_presentation_order(tmp_path: Path) -> None:
    make(tmp_path / "b" / "clip.mp4", frames=11)
    make(tmp_path / "a.mkv", frames=2)
    make(tmp_path / "a.mkv b.mkv", frames=1)
    samples = VideoSource(tmp_path).samples()
    ids = [sample.id for sample in samples]
    assert ids == sorted(ids)
    assert ids[:4] == ["a.mkv b.mkv#000000", "a.mkv#000000", "a.mkv#000001", "b/clip.mp4#000000"]
    last = samples[-1]
    assert (last.id, last.file, last.frame, last.sequence) == ("b/clip.mp4#000010", "b/clip.mp4", 10, "b/clip.mp4")
    assert last.size == (64, 48)
    assert not last.people
    assert not last.someone
    photos = list(VideoSource(tmp_path).read(samples[-11:]))
    assert near([photo.pixels.mean() for photo in photos if isinstance(photo, Photo)], [level(i) for i in range(11)])
    digest = hashlib.sha256((tmp_path / "b" / "clip.mp4").read_bytes()).hexdigest()
    assert {photo.sha256 for photo in photos} == {digest}


def test_a_run_starts_anywhere(tmp_path: Path) -> None:
    make(tmp_path / "clip.mp4")
    source = VideoSource(tmp_path)
    photos = list(source.read(source.samples()[5:9]))
    assert near([p.pixels.mean() for p in photos if isinstance(p, Photo)], [level(i) for i in range(5, 9)])


def test_nothing_but_pictures_survives(tmp_path: Path) -> None:
    path = make(tmp_path / "in" / "Aaron Eckhart" / "Aaron Eckhart.mkv", secrets=True)
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "subtitle"]
    assert SECRET in path.read_bytes()
    (tmp_path / "in" / "notes.txt").write_bytes(SECRET)
    source = VideoSource(tmp_path / "in")
    written = release(source, tmp_path / "out")
    (target,) = written
    content = (tmp_path / "out" / target).read_bytes()
    assert hashlib.sha256(content).hexdigest() == written[target]
    assert SECRET not in content
    assert "Aaron" not in target
    assert target.count("/") == 1
    assert target.endswith(".mkv")
    assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == [tmp_path / "out" / target]
    with av.open(str(tmp_path / "out" / target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert not {key.lower() for key in container.metadata} - {"encoder"}
        assert not {key.lower() for key in container.streams[0].metadata} - {"duration"}
    assert near(greys(tmp_path / "out" / target), [level(i) for i in range(12)])
    sentences = source.publish(tmp_path / "out", source.samples(), NAMES)
    assert any("Sound" in sentence for sentence in sentences)
    assert any(sentence.startswith("1 other entries") for sentence in sentences)
    assert "Aaron" not in " ".join(sentences)


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    video = make(tmp_path / "plain.mp4")
    with av.open(str(video)) as source, av.open(str(tmp_path / "in.mp4"), "w") as out:
        cover = out.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = out.add_stream_from_template(source.streams.video[0])
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(cover.encode(None))
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    samples = VideoSource(tmp_path / "in.mp4").samples()
    assert [sample.size for sample in samples] == [(64, 48)] * 12
    written = release(VideoSource(tmp_path / "in.mp4"), tmp_path / "out")
    with av.open(str(tmp_path / "out" / next(iter(written)))) as container:
        assert len(container.streams) == 1


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
    assert seconds(tmp_path / "out" / target) == seconds(path)


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


def test_a_quarantined_frame_is_grey(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4")
    source = VideoSource(path)
    samples = source.samples()
    with source.sink(tmp_path / "out", NAMES) as sink:
        for sample, photo in zip(samples, source.read(samples), strict=True):
            sink.write(sample, None if sample.frame in (0, 7) else photo)
        (target,) = sink.close()
    expected = [level(i) for i in range(12)]
    expected[0] = expected[7] = GREY
    assert near(greys(tmp_path / "out" / target), expected)


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


def test_a_sink_that_is_not_closed_leaves_nothing_behind(tmp_path: Path) -> None:
    source = VideoSource(make(tmp_path / "a.mp4", frames=90))
    samples = source.samples()
    with source.sink(tmp_path / "out", NAMES) as sink:
        for sample in samples:  # more of them than the encoder looks ahead
            sink.write(sample, None)
        assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def test_frames_out_of_order_or_of_another_size_are_refused(tmp_path: Path) -> None:
    source = VideoSource(make(tmp_path / "a.mp4"))
    samples = source.samples()
    photo = next(source.read(samples))
    for wrong in (1, 2):
        with source.sink(tmp_path / "out", NAMES) as sink, pytest.raises(DsanonError, match="expected"):
            sink.write(samples[wrong], photo)
    with source.sink(tmp_path / "out", NAMES) as sink, pytest.raises(DsanonError, match="changed"):
        sink.write(samples[0], Photo(np.zeros((4, 4, 3), np.uint8), Encoding("H264"), ""))


def test_bytes_do_not_depend_on_what_memory_held(tmp_path: Path) -> None:
    """x264 at its defaults reads uninitialised memory: the same pictures give other bytes in another process."""
    ramp = np.add.outer(np.arange(112), np.arange(112)).astype(np.uint8)
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 112, 112, "yuv444p"
        for index in range(30):
            pixels = np.roll(ramp, 3 * index, 1)[..., None].repeat(3, 2) ^ rng.integers(0, 32, (112, 112, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); from test_video import release; "
        "from dsanon.sources.video import VideoSource; "
        "print(release(VideoSource(pathlib.Path(sys.argv[2])), pathlib.Path(sys.argv[3])))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path / "a.mkv"), str(tmp_path / fill)],
            env=os.environ | {"MALLOC_PERTURB_": fill},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for fill in ("1", "254")
    }
    assert len(told) == 1
    assert ".mkv" in told.pop()


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found nothing"):
        VideoSource(tmp_path / "absent")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SourceError, match="no video"):
        VideoSource(tmp_path / "a.txt")
    with pytest.raises(SourceError, match="no video below"):
        VideoSource(tmp_path).samples()
    assert VideoSource(tmp_path).inputs() == []


def test_real_clips(shared: Path, tmp_path: Path) -> None:
    source = VideoSource(shared / "data" / "video")
    samples = source.samples()
    counts = {file: len(list(group)) for file, group in itertools.groupby(samples, key=lambda sample: sample.file)}
    assert counts == {"again.mkv": 77, "d10.mp4": 448, "d18.mp4": 216, "s20.mp4": 297}
    chosen = [sample for sample in samples if sample.file in ("again.mkv", "d18.mp4") and sample.frame < 40]
    written = release(source, tmp_path, chosen)
    assert len(written) == 2
    for file in ("again.mkv", "d18.mp4"):
        run = [sample for sample in chosen if sample.file == file]
        target = tmp_path / source.target(run[0], NAMES)
        assert seconds(target) == seconds(source.path(file))[:40]
        copy = VideoSource(target)
        for before, after in zip(source.read(run), copy.read(copy.samples()), strict=True):
            assert isinstance(before, Photo)
            assert isinstance(after, Photo)
            error = after.pixels.astype(float) - before.pixels
            assert np.square(error).mean() < 6  # 40 dB
            assert np.abs(error.mean((0, 1))).max() < 0.5
