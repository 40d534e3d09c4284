"""What the fuzzers found stays fixed, and each of them still finds its way through its parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.engine import bounded, feed, fuzz
from fuzz.parsers import PARSERS

CORPUS = Path(__file__).with_name("corpus")  # PARSER/what it was: made-up bytes that broke it once


@pytest.mark.parametrize("file", [path.relative_to(CORPUS).as_posix() for path in sorted(CORPUS.glob("*/*"))])
def test_what_was_found_stays_fixed(file: str, tmp_path: Path) -> None:
    with bounded():
        feed(PARSERS[Path(file).parent.name], (CORPUS / file).read_bytes(), tmp_path)


@pytest.mark.parametrize("name", PARSERS)
def test_whole_files_are_taken_and_damage_is_survived(name: str, tmp_path: Path) -> None:
    assert fuzz(PARSERS[name], tmp_path, 0, examples=20) > 0
