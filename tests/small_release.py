"""A release of two files: as the job writes it, whole or interrupted; for the tests of its way to its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dsanon.durable import write_json
from dsanon.layout import ReleasePaths
from dsanon.release import Opened, open_release, publish

ENTRIES = {"configuration": {"method": "ciagan", "seed": 0}, "weights": {"generator": "ab" * 32}, "inputs": "cd" * 32}


def fill(paths: ReleasePaths, text: str = "pixels") -> list[str]:
    """What the job writes: two data files and all that a whole release needs."""
    (paths.data / "p1").mkdir(exist_ok=True)
    files = ["p1/p1_0001.jpg", "pairs.txt"]
    for file in files:
        (paths.data / file).write_text(text)
    for file in (
        paths.partial / "manifest.parquet",
        paths.partial / "CARD.md",
        paths.staged_map,
        paths.staged_quarantine,
    ):
        file.write_text(text)
    write_json(paths.partial / "release.json", {"state": "complete", "text": text})
    return files


def make(paths: ReleasePaths, text: str = "pixels", entries: Mapping[str, Any] = ENTRIES, **options: bool) -> Opened:
    """A run from its beginning to the release's name."""
    with open_release(paths, entries, **options) as opened:
        publish(paths, fill(paths, text))
    return opened


def interrupt(paths: ReleasePaths, entries: Mapping[str, Any] = ENTRIES, **options: bool) -> Opened:
    """A run that stops in the middle of its data."""
    with pytest.raises(KeyboardInterrupt), open_release(paths, entries, **options) as opened:  # noqa: PT012
        (paths.data / "half.jpg").write_text("half")
        raise KeyboardInterrupt
    return opened


def tree(folder: Path) -> dict[str, str]:
    """Each file below ``folder`` and what it holds."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
