"""What a training tells while it runs: lines, and one that is rewritten on a terminal."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_EVERY = 15.0  # seconds between states where nobody watches


class Report:
    """On ``stream`` (standard output where None)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._shown = -_EVERY

    def line(self, text: str) -> None:
        """Something that stays."""
        print(("\r\x1b[K" if self._live else "") + text, file=self._stream, flush=True)

    def status(self, text: str, last: bool = False) -> None:
        """Where the training is now; ``last``: it is shown however short ago another one was."""
        now = time.monotonic()
        if self._live:
            print(f"\r\x1b[K{text}", end="\n" if last else "", file=self._stream, flush=True)
        elif last or now - self._shown >= _EVERY:
            self._shown = now
            print(text, file=self._stream, flush=True)

    def progress(self, done: int, total: int) -> None:
        """How many photos have become crops."""
        self.status(f"preparing crops {done}/{total}", last=done == total)
