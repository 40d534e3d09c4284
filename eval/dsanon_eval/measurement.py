"""What an audit measures: figures with their interval, and the curves behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isclose
from typing import Any, Literal

IMPOSTORS = ", impostors"  # behind a control's name: the line of its pairs of different people


@dataclass(frozen=True, slots=True)
class Gate:
    """The bound that a figure must keep: at most, or at least, ``bound``."""

    kind: Literal["max", "min"]
    bound: float

    def passed(self, value: float) -> bool:
        """Whether ``value`` keeps it; a figure that is not a number keeps none.

        Three of seven are three times a guess among seven, whichever way both are rounded.
        """
        kept = value <= self.bound if self.kind == "max" else value >= self.bound
        return kept or isclose(value, self.bound, rel_tol=1e-12)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. A row of measurements.parquet and an entry of report.json.

    name: what is measured (``recall_at_1``, ``tar_at_far``, ``leak_metadata`` …) · model: who measured it
    control: what it was measured on: ``release``, ``original``, ``blur9`` …, ``chance``
    ci95: 95 % interval, None where none can be told (of one track or sequence) or is needed (a count)
    n: how many trials stand behind it
    paper: the figure of Maximov et al., CVPR 2020, in the same unit · gate: None where nothing depends on it
    """

    name: str
    model: str
    control: str
    value: float
    ci95: tuple[float, float] | None
    n: int
    paper: float | None = None
    gate: Gate | None = None

    @property
    def passed(self) -> bool | None:
        """None without a gate."""
        return None if self.gate is None else self.gate.passed(self.value)

    def as_dict(self) -> dict[str, Any]:
        """The entry of report.json."""
        row = asdict(self)
        exact = self.control == "chance" or self.name.startswith("leak_")  # counted or computed, not estimated
        interval = (self.value, self.value) if exact else self.ci95
        row["ci95"] = None if interval is None else list(interval)
        row["gate"] = None if self.gate is None else {self.gate.kind: self.gate.bound}
        return row | {"passed": self.passed}


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a figure: ROC, CMC, a distribution. Stored as figures/FIGURE.csv, a column each for x, y, low, high.

    figure: the picture it belongs to (``roc_dlib``) · label: the line's name in its legend (``release``)
    low, high: the 95 % band, () where there is none · log_x: whether x is best shown on a logarithmic axis
    """

    figure: str
    label: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    log_x: bool = False


def as_line(row: dict[str, Any]) -> str:
    """A measurement of report.json as a line to read."""
    interval = "[{:.4f}, {:.4f}]".format(*row["ci95"]) if row["ci95"] and row["ci95"][0] < row["ci95"][1] else ""
    gate = next((f"{kind} {bound:.4g}" for kind, bound in (row["gate"] or {}).items()), "")
    verdict = "" if row["passed"] is None else f"{'passes' if row['passed'] else 'FAILS'} {gate}"
    line = f"{row['name']:<28} {row['model']:<31} {row['value']:8.4f} {interval:<18} n {row['n']:<6} {verdict}"
    return line.rstrip()
