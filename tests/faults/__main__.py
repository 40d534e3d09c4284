"""The fault suite: ``python -m faults --times 50 [KIND …]``, from tests/.

Kinds take turns until the ledger holds so many faults of each: a session that is cut short has played them all, and
the next one goes on with new ones.
"""

from __future__ import annotations

import argparse
import math
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from faults.kinds import KINDS, play
from faults.stage import Stage
from ledger import Ledger


def main() -> None:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--times", type=int, default=50, help="faults of each kind that the ledger shall hold")
    parser.add_argument("--within", type=float, default=math.inf, help="minutes after which no fault begins")
    parser.add_argument("--seed", type=int, default=0, help="another one on every machine")
    parser.add_argument("--ledger", type=Path, help="what is known already, and where it is added to")
    parser.add_argument("--number", type=int, help="play this one again, of each KIND; the ledger is left alone")
    parser.add_argument("--folder", type=Path, help="where the runs are; those that went wrong stay")
    asked = parser.parse_args()
    if asked.folder:
        asked.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=asked.folder)).resolve()  # of this session
    kinds, end, wrong = asked.kinds or list(KINDS), time.monotonic() + 60 * asked.within, False
    ledger = Ledger(asked.ledger if asked.number is None else None)
    stage = Stage(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        while time.monotonic() < end:
            kind = min(kinds, key=ledger.done)
            if ledger.done(kind) >= (asked.times if asked.number is None else 1):
                break
            number = ledger.next(kind, asked.seed) if asked.number is None else asked.number
            began = time.monotonic()
            problem = play(stage, kind, asked.seed, number)
            seconds = time.monotonic() - began
            ledger.add(kind, asked.seed, number + 1, 1, seconds, problem)
            wrong = wrong or bool(problem)
            print(f"{kind:<24} {number:>4} {seconds:>7.1f} s {problem}", flush=True)
    finally:
        stage.close()
    if wrong:
        raise SystemExit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
