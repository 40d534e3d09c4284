"""Sorting in runs gives what sorting at once gives, whatever the runs are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from dsanon.external_sort import rechunked, sorted_pieces

SCHEMA = pa.schema([("file", pa.string()), ("region", pa.int32()), ("at", pa.int64())])
BY = ("file", "region")


def tables(rows: int, size: int) -> list[pa.Table]:
    """About three rows a file, some of the regions null, in an order of their own."""
    dice = random.Random(7)
    drawn = [(f"{dice.randrange(rows // 3 + 1):07d}é", dice.choice([None, *range(9)]), i) for i in range(rows)]
    columns = [dict(zip(SCHEMA.names, row, strict=True)) for row in drawn]
    return [pa.Table.from_pylist(columns[i : i + size], schema=SCHEMA) for i in range(0, rows, size)]


@pytest.mark.parametrize(("rows", "size", "run"), [(20_000, 700, 1500), (20_000, 33, 20_000), (5000, 5000, 100)])
def test_runs_give_what_one_sort_gives(tmp_path: Path, rows: int, size: int, run: int) -> None:
    given = tables(rows, size)
    pieces = list(sorted_pieces(given, SCHEMA, BY, tmp_path, run))
    once = pa.concat_tables(given).sort_by([(name, "ascending") for name in BY])
    joined = pa.concat_tables(pieces)
    assert joined.select(BY).equals(once.select(BY))
    assert sorted(joined["at"].to_pylist()) == list(range(rows))
    held = [set(piece["file"].to_pylist()) for piece in pieces]
    assert sum(map(len, held)) == len(set.union(*held))  # rows that agree are in one piece
    assert not list(tmp_path.iterdir())


def test_a_piece_is_no_larger_than_it_need_be(tmp_path: Path) -> None:
    """Ten runs: a piece holds a run's rows, and less than a mark's of each run besides."""
    pieces = list(sorted_pieces(tables(200_000, 1000), SCHEMA, BY, tmp_path, 20_000))
    assert len(pieces) >= 9
    assert max(piece.num_rows for piece in pieces) <= 20_000 + 10 * 1024


def test_runs_are_private_and_go_when_somebody_breaks_off(tmp_path: Path) -> None:
    pieces = sorted_pieces(tables(3000, 100), SCHEMA, BY, tmp_path, 500)
    next(pieces)
    (scratch,) = tmp_path.iterdir()
    assert scratch.stat().st_mode & 0o077 == 0
    assert len(list(scratch.iterdir())) == 7
    assert all(path.stat().st_mode & 0o077 == 0 for path in scratch.iterdir())
    pieces.close()  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


def test_nothing(tmp_path: Path) -> None:
    assert [piece.num_rows for piece in sorted_pieces([], SCHEMA, BY, tmp_path)] == [0]
    assert list(rechunked([], 5)) == []


def test_rechunked() -> None:
    def cut(*sizes: int) -> Iterator[pa.Table]:
        table = pa.concat_tables(tables(23, 23))
        start = 0
        for size in sizes:
            yield table.slice(start, size)
            start += size

    for sizes in ((23,), (1, 0, 11, 11), (5, 5, 5, 5, 3)):
        again = list(rechunked(cut(*sizes), 5))
        assert [piece.num_rows for piece in again] == [5, 5, 5, 5, 3]
        assert pa.concat_tables(again).equals(next(cut(23)))
