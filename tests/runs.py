"""Whole runs in this process, and what may never be in what they leave."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from dsanon.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left. error: its one line on standard error ('' where there is none)."""

    code: int
    out: str
    error: str

    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object) -> tuple[object, str, str]:
    """Run a command: its exit code, and what it wrote on standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    with (
        mock.patch.object(sys, "argv", ["dsanon", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exited,
    ):
        main()
    signal.signal(signal.SIGTERM, before)
    return exited.value.code, out.getvalue(), err.getvalue()


def dsanon(*arguments: object) -> Done:
    """Run a command; there may be one line of error, no traceback, and lines of progress before it."""
    return finished(*run(*arguments))


def finished(code: object, out: str, err: str) -> Done:
    """The same of a command that ran elsewhere."""
    assert "Traceback" not in err
    other = (
        "find ",
        "link ",
        "render ",
        "copy ",
        "look ",
        "wait ",
        "\x1b[33m(raylet)",
    )  # progress; Ray tells of a dead worker
    errors = [line for line in err.splitlines() if not line.startswith(other)]
    assert len(errors) <= 1, err
    assert all(line.startswith("dsanon: ") for line in errors), err
    return Done(code if isinstance(code, int) else 0, out, "".join(errors))


def anonymize(source: Path, release: Path, *options: object, dataset: str = "folder") -> Done:
    return dsanon("anonymize", "--dataset", dataset, source, release, "--workers", 0, *options)


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def digest(release: Path) -> dict[str, str]:
    """sha256 of every file of the release."""
    return {p.relative_to(release).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files(release)}


def likeness(portrait: np.ndarray, picture: Path) -> float:
    """How much of the portrait's eyes is in a picture, wherever and however it is turned: 1 is the very pixels."""
    eyes = cv2.cvtColor(portrait[95:135, 185:265], cv2.COLOR_RGB2GRAY)
    best = -1.0
    with Image.open(picture) as image:
        for frame in ImageSequence.Iterator(image):
            grey = np.asarray(frame.convert("L"))
            for turns in range(4):
                turned = np.ascontiguousarray(np.rot90(grey, turns))
                if turned.shape[0] >= eyes.shape[0] and turned.shape[1] >= eyes.shape[1]:
                    found = cv2.matchTemplate(turned, eyes, cv2.TM_CCOEFF_NORMED)
                    best = max(best, float(np.nan_to_num(found).max()))
    return best


def assert_nothing_of(portrait: np.ndarray, sources: list[Path], release: Path) -> None:
    """No pixel of the portrait and no run of a source's bytes (the tiniest are walls) is in what may be published."""
    for folder in (release, release.with_name(release.name + ".partial")):
        for path in files(folder):
            content = path.read_bytes()
            for source in sources:
                data = source.read_bytes()
                middle = data[len(data) // 2 :][:64]
                assert len(data) < 10_000 or middle not in content, f"{source.name} is in {path}"
            if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".gif", ".webp"):
                assert likeness(portrait, path) < 0.9, path


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of ``size``; the test is skipped, with the reason, where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that leaves no byte free on the file system of ``folder``."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path
