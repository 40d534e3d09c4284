"""The fuzzers: ``python -m fuzz --minutes 30 [PARSER …]``, from tests/; each parser in processes of its own.

They take turns, a slice of time each, until the ledger holds the minutes of every one: a session that is cut short has
tried them all, and the next one goes on. Minutes are of the processor, so that a busy machine tries no less.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import tempfile
import time
import traceback
from pathlib import Path

from fuzz.parsers import PARSERS
from ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]  # of the checkout, which no ledger names
_SLICE = 10  # seconds of a parser before the next has its turn


def main() -> None:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help=", ".join(PARSERS))
    parser.add_argument("--minutes", type=float, default=30, help="of each parser that the ledger shall hold")
    parser.add_argument("--within", type=float, default=math.inf, help="minutes after which no slice begins")
    parser.add_argument("--seed", type=int, default=0, help="another one on every machine")
    parser.add_argument("--ledger", type=Path, help="what is known already, and where it is added to")
    asked = parser.parse_args()
    ledger, names = Ledger(asked.ledger), asked.parsers or list(PARSERS)
    end, found = time.monotonic() + 60 * asked.within, False
    while time.monotonic() < end:
        name = min(names, key=ledger.seconds)
        left = 60 * asked.minutes - ledger.seconds(name)
        if left <= 0:
            break
        first = ledger.next(name, asked.seed)
        behind, fed, seconds, problem = slice_of(name, min(left, _SLICE), first, asked.seed)
        ledger.add(name, asked.seed, behind, fed, seconds, problem)
        found = found or bool(problem)
        print(f"{name:<16} {ledger.done(name):>8} files {ledger.seconds(name):>7.0f} s {problem}", flush=True)
    if found:
        raise SystemExit(1)


def slice_of(name: str, seconds: float, first: int, seed: int) -> tuple[int, int, float, str]:
    """Fuzz in another process from batch ``first`` on: (the batch behind the last, files, seconds, what was found)."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        process = context.Process(target=_fuzz, args=(name, Path(folder), seconds, first, seed))
        process.start()
        process.join(20 * seconds + 600)
        if process.is_alive():
            process.kill()
            process.join()
        result, latest = Path(folder, "result"), Path(folder, "latest")
        if process.exitcode or not result.exists():
            return first + 1, 0, seconds, f"the process ended with {process.exitcode}: {latest.read_bytes()!r:.600}"
        behind, fed, used, problem = json.loads(result.read_text())
        return behind, fed, used, problem


def _fuzz(name: str, folder: Path, seconds: float, first: int, seed: int) -> None:
    """Fuzz in this process; what came of it is left in ``folder``."""
    from fuzz.engine import fuzz

    with Path(os.devnull).open("w") as quiet:  # decoders in C complain of each file
        os.dup2(quiet.fileno(), 2)
    fed, behind, problem = 0, first, ""
    try:
        while not problem and (behind == first or time.process_time() < seconds):
            behind += 1
            fed += fuzz(PARSERS[name], folder, 10**6 * seed + behind - 1)
    except BaseException:
        problem = traceback.format_exc().replace(f"{ROOT}/", "")[-1500:]
    (folder / "result").write_text(json.dumps([behind, fed, time.process_time(), problem]))


if __name__ == "__main__":
    main()
