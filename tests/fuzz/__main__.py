"""The fuzzers: ``python -m fuzz --minutes 30 [PARSER …]``, from tests/; each parser in a process of its own."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
import traceback
from pathlib import Path

from fuzz.parsers import PARSERS


def main() -> None:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help=", ".join(PARSERS))
    parser.add_argument("--minutes", type=float, default=30, help="for each parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the counts go")
    asked = parser.parse_args()
    context, rows = multiprocessing.get_context("fork"), []
    for name in asked.parsers or PARSERS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            process = context.Process(target=one, args=(name, Path(folder), 60 * asked.minutes, asked.seed))
            process.start()
            process.join(60 * asked.minutes + 300)
            if process.is_alive():
                process.kill()
                process.join()
            result, latest = Path(folder, "result"), Path(folder, "latest")
            fed, found = json.loads(result.read_text()) if result.exists() else (0, "")
            if process.exitcode:
                found = f"the process ended with {process.exitcode}: {latest.read_bytes()!r}"
        rows.append({"parser": name, "files": fed, "found": found, "seconds": round(time.monotonic() - began, 1)})
        print(f"{name:<16} {fed:>8} files {rows[-1]['seconds']:>7} s {found}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps({"seed": asked.seed, "parsers": rows}, indent=2) + "\n")
    if any(row["found"] for row in rows):
        raise SystemExit(1)


def one(name: str, folder: Path, seconds: float, first: int) -> None:
    """Fuzz in this process; how many files and what was found are in ``folder``."""
    from fuzz.engine import fuzz

    fed, found = 0, ""
    try:
        fed = fuzz(PARSERS[name], folder, seconds, 1000 * first)
    except BaseException:
        found = traceback.format_exc()[-1500:]
    (folder / "result").write_text(json.dumps([fed, found]))


if __name__ == "__main__":
    main()
