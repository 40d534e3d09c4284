"""What an audit leaves in RELEASE/audit, written and read, and what else a report tells: checked, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsanon.durable import aside, read_json, write_json
from dsanon.errors import ReleaseError
from dsanon.key import tombstone
from dsanon.layout import ReleasePaths
from dsanon.manifest import Counts, count, read_rows
from dsanon_eval.gates import UNASKED
from dsanon_eval.leaks.finding import Finding
from dsanon_eval.measurement import Curve, Gate, Measurement
from dsanon_eval.report.curves import read_curves, write_curves

MEASUREMENTS = pa.schema(
    [
        ("name", pa.string()),
        ("model", pa.string()),
        ("control", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("paper", pa.float64()),
        ("gate", pa.string()),
        ("bound", pa.float64()),
        ("passed", pa.bool_()),
    ],
    metadata={"dsanon.schema": "1"},
)

_SILENT = re.compile(r"(\w+) did not measure: ")  # as dsanon_eval.seeing.observation.usable has it

# Where the way back to the people is: at hand, destroyed, or not to be seen from here
CUSTODY = ("pseudonymous", "forgotten", "unknown")


@dataclass(frozen=True, slots=True, eq=False)
class AuditFiles:
    """All that a report shows. findings: None where the files were not scanned · unreadable: entries that say nothing

    report: report.json · about: release.json · people: pseudonyms, each counted once a scope · custody: of ``CUSTODY``
    """

    report: dict[str, Any]
    about: dict[str, Any]
    measurements: list[Measurement]
    unreadable: int
    curves: dict[str, list[Curve]]
    findings: list[dict[str, str]] | None
    manifest: pa.Table
    counts: Counts
    people: int
    custody: str

    @property
    def failed(self) -> list[Measurement]:
        """Figures that miss their gate."""
        return [figure for figure in self.measurements if figure.passed is False]

    @property
    def uncertain(self) -> list[Measurement]:
        """Figures that keep their gate while their interval reaches beyond it: another sample might have missed."""
        return [
            figure
            for figure in self.measurements
            if figure.gate and figure.passed and figure.ci95 and not all(map(figure.gate.passed, figure.ci95))
        ]

    @property
    def gated(self) -> int:
        """How many figures have a gate."""
        return sum(figure.gate is not None for figure in self.measurements)

    @property
    def unasked(self) -> list[str]:
        """The gates that have no figure, by the audit's note: neither kept nor missed."""
        told = [note.removeprefix(UNASKED) for note in self.notes if note.startswith(UNASKED)]
        return [name for names in told for name in names.split(", ")]

    @property
    def silent(self) -> list[str]:
        """The instruments that did not measure, by the audit's notes."""
        return list(dict.fromkeys(match[1] for note in self.notes if (match := _SILENT.match(note))))

    @property
    def notes(self) -> list[str]:
        """The audit's."""
        notes = self.report.get("notes")
        return [str(note) for note in notes] if isinstance(notes, list) else []

    @property
    def missing(self) -> list[str]:
        """The audit's lines on failures that no figure stands behind: what was required and not measured."""
        measured = tuple(f"{f.name} by {f.model} on {f.control}: " for f in self.failed)
        lines = self.report.get("gates", {}).get("failures", [])
        return [str(line) for line in lines if not (measured and str(line).startswith(measured))]


def write_audit(
    folder: Path,
    report: dict[str, Any],
    figures: Sequence[Measurement],
    curves: Sequence[Curve],
    findings: Sequence[Finding],
) -> None:
    """report.json last, so that it is there only when the rest is. Raises ReleaseError."""
    write_curves(folder, curves)
    with aside(folder / "measurements.parquet") as file:
        pq.write_table(_table(figures), file, compression="zstd")
    write_json(folder / "findings.json", [asdict(finding) for finding in findings])
    write_json(folder / "report.json", report)


def read_audit(paths: ReleasePaths) -> AuditFiles:
    """Read it. Raises ReleaseError where the release or its report.json is missing or something else."""
    audit = paths.release / "audit"
    report, about = read_json(audit / "report.json"), read_json(paths.release / "release.json")
    if not isinstance(about, dict):
        raise ReleaseError(f"{paths.release} has no release.json: name a finished release")
    if not isinstance(report, dict) or report.get("schema") != 1:
        raise ReleaseError(
            f"{audit / 'report.json'} is no report of schema 1: run `dsanon audit {paths.release}` first"
        )
    rows = report.get("measurements")
    entries = rows if isinstance(rows, list) else []
    measurements = [figure for figure in map(_measurement, entries) if figure is not None]
    described = [row for row in report.get("figures", []) if isinstance(row, dict) and {"figure", "label"} <= set(row)]
    manifest = read_rows(paths.release / "manifest.parquet")
    subjects = manifest.filter(pc.is_valid(manifest["subject"])).group_by(["scope", "subject"]).aggregate([])
    return AuditFiles(
        report,
        about,
        measurements,
        len(entries) - len(measurements),
        read_curves(audit, described),
        _findings(audit / "findings.json"),
        manifest,
        count(manifest),
        subjects.num_rows,
        custody(paths),
    )


def custody(paths: ReleasePaths) -> str:
    """Whether a way back to the people exists, as far as can be seen from here."""
    made = (read_json(paths.made) or {}).get("key")
    places = [paths.key, *([Path(made)] if isinstance(made, str) else [])]
    if any(place.exists() for place in places):
        return "pseudonymous"
    return "forgotten" if any(tombstone(place).exists() for place in places) else "unknown"


def _measurement(row: Any) -> Measurement | None:
    """An entry of report.json; None for one without a value."""
    try:
        gate = next((Gate(kind, float(bound)) for kind, bound in (row.get("gate") or {}).items()), None)
        interval, paper = row.get("ci95"), row.get("paper")
        return Measurement(
            str(row["name"]),
            str(row["model"]),
            str(row["control"]),
            float(row["value"]),
            (float(interval[0]), float(interval[1])) if interval else None,
            int(row["n"]),
            None if paper is None else float(paper),
            gate,
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _findings(path: Path) -> list[dict[str, str]] | None:
    rows = read_json(path)
    if rows is None:
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ReleaseError(f"{path} is no list of findings: run the audit again")
    return [{name: str(row.get(name, "")) for name in ("kind", "file", "message")} for row in rows]


def _table(figures: Sequence[Measurement]) -> pa.Table:
    rows = [
        {
            "name": f.name,
            "model": f.model,
            "control": f.control,
            "value": f.value,
            "low": f.ci95[0] if f.ci95 else None,
            "high": f.ci95[1] if f.ci95 else None,
            "n": f.n,
            "paper": f.paper,
            "gate": f.gate.kind if f.gate else None,
            "bound": f.gate.bound if f.gate else None,
            "passed": f.passed,
        }
        for f in figures
    ]
    return pa.Table.from_pylist(rows, schema=MEASUREMENTS)
