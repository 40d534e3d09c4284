"""Progress on standard error: a bar on a terminal, a line now and then elsewhere. Nothing private is in it."""

from __future__ import annotations

import io
import sys
import time

_EVERY = 15.0  # seconds between lines where standard error is no terminal


class Progress:
    """One stage's progress: samples/s, faces/s, quarantined, time left. A context manager."""

    def __init__(self, stage: str, total: int, quiet: bool = False) -> None:
        self.stage, self.total, self.quiet = stage, total, quiet
        self.samples = self.faces = self.quarantined = 0
        self._began = self._shown = time.monotonic()
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def add(self, counts: dict[str, int]) -> None:
        """Count what a call did."""
        self.samples += counts.get("samples", 0)
        self.faces += counts.get("faces", 0)
        self.quarantined += counts.get("quarantined", 0)
        now = time.monotonic()
        if self.samples < self.total and now - self._shown > (0.1 if self._live else _EVERY):  # the last one is at exit
            self._shown = now
            self._print(end="" if self._live else "\n")

    def _print(self, end: str) -> None:
        if self.quiet:
            return
        spent = max(time.monotonic() - self._began, 1e-6)
        rate = self.samples / spent
        left = (self.total - self.samples) / rate if rate else 0.0
        bar = "█" * (20 * self.samples // max(1, self.total))
        text = (
            f"{self.stage:<7} {bar:<20} {self.samples}/{self.total}  {rate:.1f} samples/s  "
            f"{self.faces / spent:.1f} faces/s  {self.quarantined} quarantined  {left:.0f} s left"
        )
        print(("\r\x1b[K" if self._live else "") + text, end=end, file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        self._print(end="\n")


class FirstLines(io.TextIOBase):
    """Standard output of Ray, on standard error: of each report its first line (of a dead raylet it shows its log)."""

    def write(self, text: str) -> int:
        """The first line of ``text``."""
        first, newline, _ = text.partition("\n")
        sys.stderr.write(first + newline)
        return len(text)

    def flush(self) -> None:
        """What was written."""
        sys.stderr.flush()
