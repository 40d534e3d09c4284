"""The fault suite: ``python -m faults --times 50 [KIND …]``, from tests/; prints a table, writes counts as JSON."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
import traceback
from pathlib import Path

from faults.kinds import KINDS
from faults.stage import Stage


def main() -> None:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--times", type=int, default=50, help="faults of each kind")
    parser.add_argument("--minutes", type=float, default=1e9, help="no fault begins later, of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the counts go")
    parser.add_argument("--folder", type=Path, help="where the runs are; those that went wrong stay")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    stage, rows = Stage(folder.resolve()), []
    for kind in asked.kinds or KINDS:
        began, wrong, played = time.monotonic(), [], 0
        for number in range(asked.times):
            if time.monotonic() - began > 60 * asked.minutes:
                break
            try:
                problem = KINDS[kind](stage, random.Random(f"{kind} {asked.seed} {number}"))
            except Exception:
                problem = traceback.format_exc()
            played += 1
            if problem:
                wrong.append({"number": number, "problem": problem})
                print(f"{kind} {number}: {problem}", flush=True)
            else:
                for place in stage.folder.glob("run*"):
                    if place.name == f"run{stage.places}":
                        shutil.rmtree(place)
        rows.append({"kind": kind, "played": played, "wrong": wrong, "seconds": round(time.monotonic() - began, 1)})
        print(f"{kind:<24} {played:>4} played {len(wrong):>3} went wrong {rows[-1]['seconds']:>7} s", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps({"seed": asked.seed, "kinds": rows}, indent=2) + "\n")
    if any(row["wrong"] for row in rows):
        raise SystemExit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
