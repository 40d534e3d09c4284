"""What stands in a video's container beside its one picture track: tags, tracks, chapters, further bytes."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import av
from av.error import FFmpegError

from dsanon.sources.clip import OPTIONS

# tags that any muxer writes, and what they may say
_TAGS = {
    "major_brand": r"[\w ]{4}",
    "minor_version": r"\d+",
    "compatible_brands": r"[\w ]*",
    "language": "und|eng",
    "handler_name": "VideoHandler",
    "vendor_id": r"\[0\]\[0\]\[0\]\[0\]|FFMP",
    "duration": r"[\d:.]+",
    "encoder": r"(Lavf|Lavc)?[\d.]*( ?libx264)?",
}
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"wide"}
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def beside_track(path: Path) -> list[str]:
    """What the file holds and must not, in words. Never raises for what is in it."""
    try:
        found = [*_streams(path), *_bytes(path)]
    except (FFmpegError, OSError, ValueError, MemoryError) as error:
        return [f"cannot be opened as a video ({type(error).__name__})"]
    return list(dict.fromkeys(found))


def _streams(path: Path) -> Iterator[str]:
    with av.open(os.fspath(path), options=dict(OPTIONS), metadata_errors="ignore") as container:
        yield from _tags(container.metadata)
        for stream in container.streams:
            yield from _tags(stream.metadata)
        kinds = [stream.type for stream in container.streams]
        for kind in sorted({kind for kind in kinds if kind != "video"}):
            yield f"{kinds.count(kind)} {kind} streams"
        if kinds.count("video") > 1:
            yield f"{kinds.count('video')} picture tracks: one of them may be a cover picture"
        if container.chapters():
            yield "chapters, which may have titles"


def _tags(metadata: Mapping[str, str]) -> Iterator[str]:
    for name, value in metadata.items():
        if not re.fullmatch(_TAGS.get(name.lower(), "(?!)"), value):
            known = name if re.fullmatch(r"[A-Za-z_]{1,20}", name) else "of an unknown name"
            yield f"a container tag {known}"


def _bytes(path: Path) -> Iterator[str]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == _EBML:
            yield from _matroska(path, size)
        elif start[4:8] == b"ftyp":
            at = 0
            while at + 8 <= size:
                file.seek(at)
                length, name = struct.unpack(">I4s", file.read(8))
                if length == 1:
                    length = int.from_bytes(file.read(8), "big")
                elif length == 0:
                    length = size - at
                if name not in _BOXES or length < 8 or at + length > size:
                    yield "further data at the top of the container, or behind its end"
                    return
                if name == b"free" and length > 8 and any(file.read(min(length - 8, 1 << 20))):
                    yield "data in a box that should be empty"
                at += length
            if at != size:
                yield "further data at the top of the container, or behind its end"


def _matroska(path: Path, size: int) -> Iterator[str]:
    with path.open("rb") as file:
        at = 0
        for name in (_EBML, _SEGMENT):
            file.seek(at)
            head = file.read(12)
            if head[:4] != name:
                yield "further data at the top of the container, or behind its end"
                return
            width = 9 - head[4].bit_length()
            length = int.from_bytes(head[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
            if name == _SEGMENT and length == (1 << 7 * width) - 1:  # of unknown length, as a live stream is
                return
            at += 4 + width + length
        if at < size:
            yield f"{size - at} bytes behind the video's end"
