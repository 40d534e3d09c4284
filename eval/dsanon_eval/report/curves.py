"""The lines of an audit's figures: figures/NAME.csv, with what report.json says of each; written and read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from dsanon.durable import aside, explained
from dsanon.errors import ReleaseError
from dsanon_eval.measurement import Curve


def write_curves(audit: Path, curves: Sequence[Curve]) -> None:
    """A file for each figure; those that earlier instruments left go. Raises ReleaseError."""
    folder, figures = audit / "figures", by_figure(curves)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.csv"):
            if old.stem not in figures:
                old.unlink()
    for name, lines in figures.items():
        with aside(folder / f"{name}.csv") as file:
            file.write(_csv(lines).encode())


def by_figure(curves: Iterable[Curve]) -> dict[str, list[Curve]]:
    """The lines of every figure, by its name in order."""
    order = attrgetter("figure")
    return {name: list(lines) for name, lines in groupby(sorted(curves, key=order), order)}


def about(curve: Curve) -> dict[str, Any]:
    """What the CSV does not say of a line."""
    names = ("figure", "label", "x_label", "y_label", "log_x")
    return {name: getattr(curve, name) for name in names}


def read_curves(audit: Path, described: Sequence[dict[str, Any]]) -> dict[str, list[Curve]]:
    """The lines of every figures/NAME.csv. described: what report.json says of them, by :func:`about`.

    Raises ReleaseError for a file that is none.
    """
    known = {(row["figure"], row["label"]): row for row in described}
    out: dict[str, list[Curve]] = {}
    for path in sorted((audit / "figures").glob("*.csv")):
        points: dict[str, list[dict[str, str]]] = {}
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    points.setdefault(row["label"], []).append(row)
            out[path.stem] = [
                _curve(path.stem, label, rows, known.get((path.stem, label), {})) for label, rows in points.items()
            ]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ReleaseError(
                f"{path} cannot be read as a figure ({error}): expected the columns label, x, y, low, high"
            ) from error
    return out


def _curve(figure: str, label: str, rows: Sequence[dict[str, str]], about: dict[str, Any]) -> Curve:
    banded = all(row["low"] and row["high"] for row in rows)
    return Curve(
        figure,
        label,
        str(about.get("x_label", "x")),
        str(about.get("y_label", "y")),
        tuple(float(row["x"]) for row in rows),
        tuple(float(row["y"]) for row in rows),
        tuple(float(row["low"]) for row in rows) if banded else (),
        tuple(float(row["high"]) for row in rows) if banded else (),
        bool(about.get("log_x", False)),
    )


def _csv(curves: Iterable[Curve]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("label", "x", "y", "low", "high"))
    for curve in curves:
        nothing = ("",) * len(curve.x)
        for row in zip(curve.x, curve.y, curve.low or nothing, curve.high or nothing, strict=True):
            rows.writerow((curve.label, *row))
    return out.getvalue()
