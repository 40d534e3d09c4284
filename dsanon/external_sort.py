"""Sort more rows than fit into memory: sorted runs on disk, which are read back range by range of the key."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from dsanon.durable import PRIVATE

RUN = 1 << 19  # rows that are sorted in memory at once
_MARK = 1 << 10  # every so many rows of a run its key is noted, to cut all runs at the same places


def sorted_pieces(
    tables: Iterable[pa.Table], schema: pa.Schema, by: Sequence[str], folder: Path, run: int = RUN
) -> Iterator[pa.Table]:
    """The rows of ``tables`` in ascending order of the columns ``by``, in pieces; nulls come last.

    All rows that agree in every column of ``by`` but the last are in one piece. Memory holds about ``run`` rows, or a
    shard, or the rows that agree, whichever is more; ``folder`` holds the others, unreadable to others, for as long as
    this iterates.
    """
    order = [(name, "ascending") for name in by]
    with TemporaryDirectory(prefix=".sort-", dir=folder) as scratch:
        runs: list[Path] = []
        waiting, rows = [schema.empty_table()], 0
        for table in tables:
            waiting.append(table)
            rows += table.num_rows
            if rows >= run:
                runs.append(_spill(pa.concat_tables(waiting).sort_by(order), Path(scratch) / f"{len(runs)}.arrow"))
                waiting, rows = [schema.empty_table()], 0
        last = pa.concat_tables(waiting).sort_by(order)
        if not runs:
            yield last.combine_chunks()
            return
        runs.append(_spill(last, Path(scratch) / f"{len(runs)}.arrow"))
        del last, waiting
        for pieces in _cut([_mapped(path) for path in runs], by[:-1], run):
            yield pa.concat_tables(pieces).sort_by(order).combine_chunks()


def rechunked(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly ``rows``, the last one of fewer: where they were cut before does not show."""
    waiting: list[pa.Table] = []
    held = 0
    for table in tables:
        waiting.append(table)
        held += table.num_rows
        while held >= rows:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, rows).combine_chunks()
            waiting, held = [joined.slice(rows)], held - rows
    if held:
        yield pa.concat_tables(waiting).combine_chunks()


def _spill(table: pa.Table, path: Path) -> Path:
    path.touch(PRIVATE)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 16)
    return path


def _mapped(path: Path) -> pa.Table:
    """A run as it lies on disk: only what is looked at is read."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _cut(runs: Sequence[pa.Table], key: Sequence[str], size: int) -> Iterator[list[pa.Table]]:
    """Slices of all runs that belong together: between two bounds of the key lie about ``size`` rows."""

    def at(run: pa.Table, row: int) -> tuple[Any, ...]:
        return tuple(run[name][row].as_py() for name in key)

    def first(run: pa.Table, bound: tuple[Any, ...]) -> int:
        return bisect_left(range(run.num_rows), bound, key=lambda row: at(run, row))

    marks = sorted(at(run, row) for run in runs for row in range(0, run.num_rows, _MARK))
    step = max(1, size // _MARK)
    starts = [0] * len(runs)
    for bound in [*dict.fromkeys(marks[step::step]), None]:
        stops = [run.num_rows if bound is None else first(run, bound) for run in runs]
        yield [run.slice(start, stop - start) for run, start, stop in zip(runs, starts, stops, strict=True)]
        starts = stops
