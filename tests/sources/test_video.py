"""Video files: every frame accounted for, nothing but pictures and times in the release."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from grey_clips import NAMES, SECRET, greys, level, make, near, release, seconds

from dsanon.errors import DsanonError, SourceError
from dsanon.sample import Encoding, Photo
from dsanon.sources.video import GREY, VideoSource


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
    assert (samples[-11].time, last.time) == (0, 10 / 25)
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
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); from grey_clips import release; "
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
        times = seconds(source.path(file))[:40]
        assert seconds(target) == [time - times[0] for time in times]
        copy = VideoSource(target)
        for before, after in zip(source.read(run), copy.read(copy.samples()), strict=True):
            assert isinstance(before, Photo)
            assert isinstance(after, Photo)
            error = after.pixels.astype(float) - before.pixels
            assert np.square(error).mean() < 6  # 40 dB
            assert np.abs(error.mean((0, 1))).max() < 0.5
