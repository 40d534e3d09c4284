"""Clips of grey frames, each telling its number, and what a file shows again; for the tests of video."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dsanon.naming import Names
from dsanon.sample import Photo, Sample
from dsanon.sources.video import VideoSource

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
    aspect: Fraction | None = None,
    picture: np.ndarray | None = None,
    secrets: bool = False,
) -> Path:
    """A clip of grey frames (or of one picture), on request with sound, subtitles and tags that name somebody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = time_base
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
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
    """The mean of each frame, as a player decodes it."""
    with av.open(str(path)) as container:
        return [round(float(frame.to_ndarray(format="rgb24").mean())) for frame in container.decode(video=0)]


def seconds(path: Path) -> list[Fraction]:
    """When each frame is shown."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def near(found: Sequence[float], expected: Sequence[float]) -> bool:
    """As many, and none more than two levels away."""
    return len(found) == len(expected) and all(abs(a - b) <= 2 for a, b in zip(found, expected, strict=True))
