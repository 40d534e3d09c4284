"""Running one experiment: OUT/NAME.json and OUT/NAME.md, and OUT/cache, which remembers what was seen."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dsanon
from dsanon.durable import aside, explained, write_json
from dsanon.errors import UsageError
from dsanon.models import store
from dsanon_eval.crew import Crew
from dsanon_eval.reproduce.bench import Bench
from dsanon_eval.reproduce.experiments import EXPERIMENTS
from dsanon_eval.reproduce.setting import Result, Setting
from dsanon_eval.seeing.cache import Cache


@dataclass(frozen=True, slots=True, eq=False)
class Reproduced:
    """page: the Markdown · report: what is in NAME.json · file: OUT/NAME.md"""

    page: str
    report: dict[str, Any]
    file: Path


def reproduce(
    name: str, data: Path, out: Path, limit: int | None = None, faces: int = 5000, workers: int = 0
) -> Reproduced:
    """Run the experiment ``name`` and write its tables. limit, faces: see :class:`Setting` · workers: Ray actors.

    A second run, or one that was interrupted, looks at no picture again. OUT/cache holds embeddings of real faces (mode
    0700): nothing to publish. Raises UsageError, SourceError, WeightsError and ReleaseError for what the user can mend.
    """
    if name not in EXPERIMENTS:
        raise UsageError(f"experiment {name!r} is unknown: choose one of {', '.join(EXPERIMENTS)}")
    if not data.is_dir():
        raise UsageError(f"--data {data}: no such folder: expected one with celeba/ or lfw/ in it")
    for option, value in (("--limit", limit), ("--faces", faces)):
        if value is not None and value < 2:
            raise UsageError(f"{option} {value}: expected 2 or more")
    import torch

    began = time.perf_counter()
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)
    try:
        with Cache(out / "cache") as cache, Crew(workers) as crew:
            result = EXPERIMENTS[name](Setting(Bench(cache, crew), data, limit, faces))
    finally:
        torch.set_flush_denormal(False)  # the caller's process has its arithmetic back
    report = _report(name, result, limit, time.perf_counter() - began)
    page = _page(result, report)
    write_json(out / f"{name}.json", report)
    with aside(out / f"{name}.md") as file:
        file.write(page.encode())
    return Reproduced(page, report, out / f"{name}.md")


def _report(name: str, result: Result, limit: int | None, seconds: float) -> dict[str, Any]:
    return {
        "schema": 1,
        "experiment": name,
        "title": result.title,
        "limit": limit,
        "counts": result.counts,
        "weights": {row: store.sha256(path) for row, path in result.weights.items()},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.platform()}",
        "version": dsanon.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(seconds, 1),
        "notes": list(result.notes),
        "tables": [table.as_dict() for table in result.tables],
        "measurements": [m.as_dict() for m in result.measurements],
    }


def _page(result: Result, report: dict[str, Any]) -> str:
    counted = ", ".join(f"{count:,} {what}" for what, count in report["counts"].items())
    limited = f"; limited to {report['limit']} (`--limit`)" if report["limit"] else ""
    weights = ", ".join(f"{row} {sha256[:16]}" for row, sha256 in report["weights"].items())
    lines = [
        f"# {result.title}",
        f"Measured on {counted}{limited}. Cells: figure [95 % interval] n; the paper's figure stands beside where the "
        "same network measured it there. Who is measured never trained the generators: checked by code.",
        *(table.markdown() for table in result.tables),
        "\n".join(f"- {note}" for note in report["notes"]),
        f"dsanon {report['version']}, {report['date']}, {report['machine']}; weights: {weights or 'none'}.",
    ]
    return "\n\n".join(line.strip() for line in lines if line.strip()) + "\n"
