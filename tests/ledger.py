"""What the long suites found, added up from session to session and machine to machine in one JSON file."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dsanon.durable import read_object, write_json


@dataclass
class Row:
    """Cases of one name, by one commit on one machine. first, next: numbers of the first, and behind the last, case.

    done: cases, or files that they fed · wrong: number and problem of each that went wrong · seconds: of the clock
    """

    name: str
    seed: int
    commit: str
    machine: str
    first: int
    next: int
    done: int = 0
    seconds: float = 0.0
    wrong: list[dict[str, Any]] = field(default_factory=list)


class Ledger:
    """Rows in a file (path; None: in memory alone), which is replaced as a whole after each case."""

    def __init__(self, path: Path | None, commit: str = "", machine: str = "") -> None:
        self.path, self.commit, self.machine = path, commit or _commit(), machine or _machine()
        read = read_object(path, rows=list) if path else None
        self.rows = [Row(**row) for row in read["rows"]] if read else []

    def next(self, name: str, seed: int) -> int:
        """The number of the first case of ``name`` that was not played with ``seed``."""
        return max((row.next for row in self.of(name) if row.seed == seed), default=0)

    def add(self, name: str, seed: int, next: int, done: int, seconds: float, problem: str = "") -> None:
        """Note the case before ``next``, or all cases up to there; '' where nothing went wrong."""
        about = {"name": name, "seed": seed, "commit": self.commit, "machine": self.machine}
        first = self.next(name, seed)
        rows = [r for r in self.of(name) if r.next == first and {key: getattr(r, key) for key in about} == about]
        row = rows[0] if rows else Row(**about, first=first, next=first)
        if not rows:
            self.rows.append(row)
        row.next, row.done, row.seconds = next, row.done + done, round(row.seconds + seconds, 1)
        if problem:
            row.wrong.append({"number": next - 1, "problem": problem})
        if self.path:
            write_json(self.path, {"schema": 1, "rows": [asdict(row) for row in self.rows]})

    def of(self, name: str) -> list[Row]:
        """Rows of ``name``, in the order in which they were begun."""
        return [row for row in self.rows if row.name == name]

    def done(self, name: str) -> int:
        """Cases, or files, so far."""
        return sum(row.done for row in self.of(name))

    def seconds(self, name: str) -> float:
        """Seconds of the clock so far."""
        return math.fsum(row.seconds for row in self.of(name))

    def wrong(self, name: str) -> int:
        """How many went wrong."""
        return sum(len(row.wrong) for row in self.of(name))

    def since(self, name: str) -> int:
        """Cases that went well since the last one that did not."""
        well = 0
        for row in self.of(name):
            well = row.next - 1 - row.wrong[-1]["number"] if row.wrong else well + row.next - row.first
        return well

    def commits(self) -> list[str]:
        """The commits that were tried, in order."""
        return list(dict.fromkeys(row.commit for row in self.rows))

    def machines(self) -> list[str]:
        """The machines that were used, in order."""
        return list(dict.fromkeys(row.machine for row in self.rows))


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Markdown: texts on the left, numbers on the right."""
    rows, head = [list(row) for row in rows], list(head)
    sides = ["---:" if rows and isinstance(cell, int | float) else "---" for cell in (rows or [head])[0]]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, sides, *rows])


def _commit() -> str:
    """The commit at hand; with a + where files of it were changed."""
    try:
        return _git("rev-parse", "--short=10", "HEAD") + "+" * bool(_git("status", "--porcelain", "--", "../dsanon"))
    except (OSError, subprocess.CalledProcessError):
        return "no checkout"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _machine() -> str:
    system = f"{os.cpu_count()} {platform.machine()} cores, {platform.system()} {platform.release().split('-')[0]}"
    return f"{system}, Python {platform.python_version()}, Ray {version('ray')}"
