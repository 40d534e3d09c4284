"""Frames of video files, read along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from av.error import FFmpegError

from dsanon.errors import BadImage
from dsanon.sample import Pixels
from dsanon.sources.clip import decoded, probe, to_rgb


def frame_of(sample: str) -> int | None:
    """The frame in the name of a video's sample, ``…#000012``; None for a still."""
    _, sign, number = (sample or "").rpartition("#")
    return int(number) if sign and number.isdecimal() and len(number) < 12 else None


class ClipFrames:
    """The frames of one file; of one that cannot be read there are none. Cheap where indices ascend."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = _frames(path)
        self._here: tuple[int, Pixels | None] = (-1, None)

    def at(self, index: int) -> Pixels | None:
        """(h, w, 3) of a frame, counted from 0. None for one that cannot be decoded or is not there."""
        if index < self._here[0]:
            self._frames, self._here = _frames(self._path), (-1, None)
        while self._here[0] < index:
            self._here = next(self._frames, (1 << 62, None))
        return self._here[1] if self._here[0] == index else None


def _frames(path: Path) -> Iterator[tuple[int, Pixels | None]]:
    try:
        clip = probe(path)
        for index, frame in decoded(path, clip):
            yield index, to_rgb(frame, clip)
    except (BadImage, FFmpegError, OSError):
        return
