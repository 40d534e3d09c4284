"""What an MP4 or MOV promises, read before FFmpeg believes it: it sets aside 24 bytes for every sample of a track."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from dsanon.errors import BadImage

_FOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}  # boxes of boxes (ISO/IEC 14496-12, 8.1)
_COUNTS = {b"stsz": 8, b"trun": 4}  # sample tables → where behind the box's head the number of samples is


def refuse_promises(path: Path) -> None:
    """Raise BadImage where a table promises more samples than the file has bytes; OSError. Other containers pass."""
    size = path.stat().st_size
    with path.open("rb") as file:
        folders = [(0, size)]
        while folders:
            at, end = folders.pop()
            while at + 8 <= end and (length := _box(file, at, end, size, folders)):
                at += length


def _box(file: BinaryIO, at: int, end: int, size: int, folders: list[tuple[int, int]]) -> int:
    """The length of the box at ``at``, 0 where there is none. Its content is added to ``folders`` if it holds boxes."""
    file.seek(at)
    length, kind, large = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
    head = 16 if length == 1 else 8
    length = {0: end - at, 1: large}.get(length, length)
    if length < head:
        return 0
    if kind in _FOLDERS:
        folders.append((at + head, min(end, at + length)))
    elif kind in _COUNTS:
        file.seek(at + head + _COUNTS[kind])
        count = int.from_bytes(file.read(4), "big")
        if count > size:
            raise BadImage(f"{count} samples are promised by {size} bytes: get the video again")
    return int(length)
