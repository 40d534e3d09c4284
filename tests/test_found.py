from __future__ import annotations

from pathlib import Path

import pytest

from dsanon.found import read_found, read_thumbnails, write_found
from dsanon.sample import Found, Region, Rle

FULL = Found(
    "a#000001",
    640,
    480,
    (
        Region(
            "face",
            (1.5, 2.25, 3.125, 4.0),
            "Ann",
            (0.5,) * 136,
            (1.0, 0.0, 0.1, 0.0, 1.0, 0.2),
            "hog+annotation",
            0.9,
            "",
            Rle(4, 5, b"abc"),
            bytes(range(128)),
            "a#000000#0",
            "filled in",
            True,
        ),
        Region("body", (0.0, 0.0, 9.0, 9.0), reason="turned"),
    ),
    "",
    "ab" * 32,
    bytes(768),
)


def test_what_was_found_comes_back_in_order(tmp_path: Path) -> None:
    rows = [FULL, Found("b", problem="damaged"), *(Found(f"c{i}", 1, 1) for i in range(200))]
    write_found(tmp_path / "x.found.parquet", iter(rows))
    assert list(read_found(tmp_path / "x.found.parquet")) == rows
    assert list(read_thumbnails(tmp_path / "x.found.parquet"))[:2] == [bytes(768), b""]
    assert (tmp_path / "x.found.parquet").stat().st_mode & 0o777 == 0o600


def test_nothing_is_staged_of_a_pass_that_broke_off(tmp_path: Path) -> None:
    def broken() -> object:
        yield FULL
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_found(tmp_path / "x", broken())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
