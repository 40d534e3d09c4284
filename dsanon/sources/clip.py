"""The picture track of a video file: which frames it has, when they are shown, and their pixels."""

from __future__ import annotations

import hashlib
import itertools
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import Colorspace, Interpolation

from dsanon.errors import BadImage
from dsanon.images import MAX_PIXELS
from dsanon.sample import Pixels
from dsanon.sources.mp4 import refuse_promises

# Codecs of which every packet is one picture that is shown, so that frames are counted without decoding.
PACKET_IS_FRAME = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg"})
# Containers by content, whatever the suffix says: playlists and scripts that lead to other files are refused.
OPTIONS = {"format_whitelist": "mov,matroska,avi", "protocol_whitelist": "file"}
SQUEEZED = 1.5  # times as wide as high, or as high as wide: at 3 detectors miss portraits, at 2 they are unsure
MAX_FRAMES = 5_000_000  # 46 hours of 30 a second: every frame is remembered, and a header may promise any number
UNSPECIFIED = 2  # FFmpeg's number for an unknown matrix, primaries or transfer
RGB_MATRIX = 0
# without these swscale rounds down, and every pass through it darkens the picture by one level
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP


@dataclass(frozen=True, slots=True)
class Clip:
    """What is known of a video before its frames are read.

    width, height: upright, in pixels · turns: quarter turns counterclockwise that make it upright
    times: when each frame is shown, from 0 on, ascending, in units of ``time_base`` seconds
    stamps: the time stamps that decoded frames carry, for each frame; () where they are told by their order
    rate: frames per second, on average · aspect: of a pixel, width to height, None if it is not told
    colorspace, primaries, transfer: FFmpeg's numbers · matrix: the one that converts to and from RGB
    """

    width: int
    height: int
    turns: int
    times: tuple[int, ...]
    stamps: tuple[int, ...]
    time_base: Fraction
    rate: Fraction
    aspect: Fraction | None
    colorspace: int
    primaries: int
    transfer: int
    matrix: int


def probe(path: Path) -> Clip:
    """The clip of a video file. Raises BadImage, whose message never names the file."""
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode):
            raise BadImage("not a regular file (a folder, link, pipe or device): expected a video")
        return _probe(path, state.st_mtime_ns, state.st_size)
    except FFmpegError as error:
        raise BadImage(f"the video cannot be opened ({type(error).__name__}): expected mp4, mov, mkv or avi") from None
    except OSError as error:
        raise BadImage(f"the file cannot be read: {error.strerror}") from None


def fingerprint(path: Path) -> str:
    """sha256 of the file's bytes, computed once for each process. Raises OSError."""
    state = path.stat()
    return _fingerprint(path, state.st_mtime_ns, state.st_size)


def decoded(path: Path, clip: Clip) -> Iterator[tuple[int, Any]]:
    """(index, frame) in ascending order; a frame that cannot be decoded is skipped.

    A frame that the index does not know has the index ``len(clip.times)``.
    """
    places = {stamp: index for index, stamp in enumerate(clip.stamps)}
    due = 0
    for position, frame in enumerate(_frames(path)):
        index = places.get(frame.pts, -1) if clip.stamps else position
        if due <= index < len(clip.times):
            due = index + 1
            yield index, frame
        else:
            yield len(clip.times), frame


def to_rgb(frame: Any, clip: Clip) -> Pixels | None:
    """Upright pixels (h, w, 3) in the clip's size; None for a frame that is known to be damaged, or of another size:
    squeezed into the clip's, faces would not be found.
    """
    width, height = (clip.height, clip.width) if clip.turns % 2 else (clip.width, clip.height)
    if frame.is_corrupt or (frame.width, frame.height) != (width, height):
        return None
    try:
        rgb = frame.reformat(
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=clip.matrix,
            src_color_range=frame.color_range,
            interpolation=EXACT,
            threads=1,
        ).to_ndarray()
    except (FFmpegError, ValueError, MemoryError):
        return None
    return np.ascontiguousarray(np.rot90(rgb, clip.turns))


@lru_cache(maxsize=64)
def _fingerprint(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=16)
def _probe(path: Path, changed: int, size: int) -> Clip:
    refuse_promises(path)
    first = next(_frames(path), None)
    if first is None:
        raise BadImage("no frame of the video can be decoded: it is empty or damaged")
    if first.width * first.height > MAX_PIXELS:
        raise BadImage(f"{first.width}x{first.height} pixels a frame: at most {MAX_PIXELS / 1e6:.0f} megapixels")
    with _open(path) as container:
        stream = _track(container)
        time_base = Fraction(stream.time_base or Fraction(1, 90_000))
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        aspect = Fraction(stream.sample_aspect_ratio or 0) or None
        if aspect and not 1 / SQUEEZED <= aspect <= SQUEEZED:
            raise BadImage(
                f"its pixels are {aspect} as wide as high, faces too narrow or too flat to be found: scale it"
            )
        stamps, surplus = _index(container, stream)
    if stamps is None:
        found = [frame.pts for frame in _frames(path)]
        stamps, surplus = _ascending(found), 0
        count = len(found)
    else:
        count = len(stamps)
    if count + surplus > MAX_FRAMES:
        raise BadImage(f"{count + surplus} frames are promised: at most {MAX_FRAMES} are read, cut it into pieces")
    if stamps:
        times = stamps
    else:
        times, time_base = list(range(count)), 1 / rate
    step = max(1, round(1 / (rate * time_base)))
    times = [time - times[0] for time in times]  # a recorder's clock would tell when it was filmed
    times += [times[-1] + step * (number + 1) for number in range(surplus)]
    turns = round(first.rotation / 90) % 4
    width, height = (first.height, first.width) if turns % 2 else (first.width, first.height)
    known = first.colorspace not in (UNSPECIFIED, RGB_MATRIX)
    return Clip(
        width=width,
        height=height,
        turns=turns,
        times=tuple(times),
        stamps=tuple(stamps),
        time_base=time_base,
        rate=rate,
        aspect=1 / aspect if aspect and turns % 2 else aspect,
        colorspace=int(first.colorspace) if known else UNSPECIFIED,
        primaries=int(first.color_primaries),
        transfer=int(first.color_trc),
        matrix=int(first.colorspace if known else Colorspace.ITU601),
    )


def _index(container: Any, stream: Any) -> tuple[list[int] | None, int]:
    """(time stamps of the frames in order, how many more the container promises) without decoding.

    None for the stamps where only decoding tells: AVI has no presentation times, some codecs have packets that
    are no frame or several.
    """
    if stream.codec_context.codec.canonical_name not in PACKET_IS_FRAME or container.format.name == "avi":
        return None, 0
    promised = len(stream.index_entries) if container.format.name.startswith("mov") else 0
    packets = 0
    found: list[int | None] = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                packets += 1
                if not packet.is_discard:
                    found.append(packet.pts)
    except FFmpegError:  # cut off: what is there counts, and what was promised
        pass
    stamps = _ascending(sorted(found, key=lambda stamp: stamp or 0))
    return (stamps, max(0, promised - packets)) if stamps else (None, 0)


def _ascending(stamps: list[Any]) -> list[int]:
    """``stamps`` if they are known and strictly ascending, else none of them."""
    if None in stamps or any(a >= b for a, b in itertools.pairwise(stamps)):
        return []
    return list(stamps)


def _open(path: Path) -> Any:
    return av.open(str(path), options=dict(OPTIONS), metadata_errors="ignore")


def _track(container: Any) -> Any:
    """The first video stream that is no cover picture. Raises BadImage."""
    for stream in container.streams.video:
        # without a codec context, the build has no decoder for it
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    raise BadImage("the file has no picture track that can be decoded: expected a video")


def _frames(path: Path) -> Iterator[Any]:
    """Every frame that can be decoded, in presentation order. Raises FFmpegError where the file cannot be opened."""
    with _open(path) as container:
        stream = _track(container)
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        stream.codec_context.thread_count = 1  # several threads may conceal damage differently each time
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                packet = None
            try:
                # the demuxer's last packet is empty and flushes the decoder, as None does behind a cut
                yield from packet.decode() if packet is not None else stream.codec_context.decode(None)
            except FFmpegError:
                if packet is None:
                    return
                continue
            if packet is None:
                return
