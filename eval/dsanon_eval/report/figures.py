"""Pictures of an audit: curves, and rows of figures with their interval; as PNG for papers and as SVG for the page.

Both come from one drawing. In the SVG text stays text, and colours are CSS variables, so that the page that carries it
decides what they are by day, by night and on paper.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsanon.durable import aside
from dsanon_eval.measurement import IMPOSTORS, Curve, Measurement
from dsanon_eval.report.better import better
from dsanon_eval.report.chapters import shown

RANK = 10  # of which a CMC curve's legend gives the number
WIDTH = 5.2  # inches: readable in a column of a journal, and on a phone
# Okabe and Ito's palette, which people of every colour vision tell apart; dashes and marks tell them apart in grey
_LINES = (  # the first is the release's, in every picture
    ("#D55E00", "-"),
    ("#0072B2", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#E69F00", (0, (5, 1))),
    ("#56B4E9", (0, (3, 1, 1, 1))),
    ("#7B6A00", (0, (1, 1))),
)
_MARKS = "soD^vPX"
_INK, _FAINT = "#1b1f24", "#b4bac2"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,  # a label is a label, whatever dollars it has
    "svg.fonttype": "none",
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.4,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


Ranged = tuple[float, float, float]  # a value, and the ends of its interval


def draw_curves(curves: Sequence[Curve], png: Path) -> str:
    """Draw the lines of one figure with their bands into ``png``; returns the SVG. Raises ReleaseError.

    A control's impostors are drawn thin and in its colour, chance in ink.
    """
    ranked = curves[0].figure.startswith("cmc")

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.grid(True)
        for number, curve in zip(_turns([curve.label for curve in curves]), curves, strict=True):
            colour, dashes = (_INK, (0, (1, 2))) if curve.label == "chance" else _LINES[number]
            width = 0.8 if curve.label == "chance" or curve.label.endswith(IMPOSTORS) else 1.6
            label = _label(curve.label) + (_at(curve, RANK) if ranked else "")
            axes.plot(curve.x, curve.y, color=colour, linestyle=dashes, linewidth=width, label=label)
            if curve.low:
                axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        if any(curve.log_x for curve in curves) and any(x > 0 for curve in curves for x in curve.x):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            if curves[0].figure.startswith("roc"):
                axes.axvline(0.001, color=_INK, linewidth=0.8, linestyle=(0, (2, 2)))
                place = (0.001, 0.5), (-3, 0), ("data", "axes fraction"), "offset points"
                axes.annotate("FAR 0.001", *place, va="center", ha="right", rotation=90, fontsize=8)
        elif all(x.is_integer() for curve in curves for x in curve.x):
            axes.xaxis.get_major_locator().set_params(integer=True)
        if all(0 <= value <= 1 for curve in curves for value in curve.y):
            axes.set_ylim(-0.02, 1.02)
        name = curves[0].figure
        axes.set_title(_label(name.partition("_")[2] or name), loc="left", fontsize=9, weight="bold")
        axes.set_xlabel(curves[0].x_label)
        axes.set_ylabel(curves[0].y_label)
        title = f"found by rank {RANK}" if ranked else None
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=title, title_fontsize=8.5)

    return _draw(paint, (WIDTH, 2.7), png)


def draw_rows(figures: Sequence[Measurement], png: Path, x_label: str, share: bool) -> str:
    """A line for each figure with its interval, models apart, control beside control, the paper's value as a cross.

    What guessing reaches is an upright line through the model's. figures: of one name, in the title with the way that
    is better · share: the values are of 1, and the axis shows all of it. Raises ReleaseError.
    """
    models = list(dict.fromkeys(figure.model for figure in figures))
    luck = {figure.model: figure.value for figure in figures if figure.control == "chance"}
    rows: list[tuple[float, str, Measurement]] = []
    heads: list[tuple[float, str]] = []
    guesses: list[tuple[float, float, float]] = []  # value, and from where to where
    y = 0.0
    for model in models:
        heads.append((y, model))
        y += 1
        for figure in (f for f in figures if f.model == model and f.control != "chance"):
            rows.append((y, figure.control, figure))
            y += 1
        if model in luck:
            guesses.append((luck[model], heads[-1][0] + 0.5, y - 0.5))
        y += 0.4

    def paint(drawing: Any) -> None:
        axes = drawing.add_subplot()
        axes.grid(True, axis="x")
        for at, control, figure in rows:
            released = control.partition(",")[0] == "release"  # of a subgroup, too
            colour, mark = _LINES[not released][0], _MARKS[not released]
            if figure.ci95:
                axes.plot(figure.ci95, (at, at), color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot(figure.value, at, mark, color=colour, markersize=5)
            if figure.paper is not None:
                axes.plot(figure.paper, at, "x", color=_INK, markersize=6, markeredgewidth=1.3)
            if figure.gate:
                axes.plot((figure.gate.bound,) * 2, (at - 0.45, at + 0.45), color=_INK, linewidth=1.2)
        for number, (value, top, bottom) in enumerate(guesses):
            axes.plot((value, value), (top, bottom), color=_INK, linewidth=1, linestyle=":", gid=f"chance_{number}")
        axes.set_yticks([at for at, _, _ in rows], [_label(control) for _, control, _ in rows])
        for at, model in heads:
            axes.annotate(
                _label(model), (0, at), (2, 0), ("axes fraction", "data"), "offset points", va="center", weight="bold"
            )
        axes.set_ylim(y, -0.6)
        if share:
            axes.set_xlim(-0.02, 1.02)
        axes.set_title(_label(figures[0].name), loc="left", fontsize=9, weight="bold")
        if side := better(figures[0].name):
            axes.set_title(f"{side} is better", loc="right", fontsize=8)
        axes.set_xlabel(x_label)
        axes.tick_params(axis="y", length=0)

    return _draw(paint, (WIDTH, 0.95 + 0.22 * (y + 0.6)), png)


def draw_trade_off(
    points: Sequence[tuple[str, Ranged, Ranged]], png: Path, title: str, x_label: str, y_label: str
) -> str:
    """Privacy against utility. points: control, utility and how many are recognised, both 0 to 1; best: lower right."""

    def paint(drawing: Any) -> None:
        axes = drawing.add_subplot()
        axes.grid(True)
        for number, (control, utility, recognised) in zip(_turns([p[0] for p in points]), points, strict=True):
            (x, *across), (y, *along) = utility, recognised
            axes.errorbar(
                x,
                y,
                xerr=[[x - across[0]], [across[1] - x]],
                yerr=[[y - along[0]], [along[1] - y]],
                fmt=_MARKS[number],
                color=_LINES[number][0],
                markersize=9 if control == "release" else 6,
                elinewidth=1,
                label=_label(control),
            )
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(_label(title), loc="left", fontsize=9, weight="bold")
        axes.set_title("better: lower right ↘", loc="right", fontsize=8)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return _draw(paint, (WIDTH, 2.9), png)


def _draw(paint: Callable[[Any], None], size: tuple[float, float], png: Path) -> str:
    with _plotting() as figure_class:
        figure = figure_class(figsize=size, layout="constrained")
        paint(figure)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        figure.set_layout_engine("none")  # it stays as it was laid out, which takes as long as a drawing
        with aside(png) as file:
            figure.savefig(file, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return _for_page(svg.getvalue(), png.stem)


@contextmanager
def _plotting() -> Iterator[Any]:
    """matplotlib without a display, in our style, untouched outside of the block."""
    import matplotlib
    from matplotlib.figure import Figure

    with warnings.catch_warnings(), matplotlib.rc_context({**_STYLE, "svg.hashsalt": "dsanon"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        yield Figure


def _for_page(svg: str, name: str) -> str:
    """The svg element alone: ids of its own, colours as variables, no size but the width it was drawn for."""
    svg = svg[svg.index("<svg") :]
    ids = sorted(set(re.findall(r'\bid="([^"]+)"', svg)), key=len, reverse=True)
    own = re.sub(r"\W", "_", name)
    if ids:
        names = "|".join(map(re.escape, ids))
        svg = re.sub(rf'\bid="({names})"', rf'id="{own}-\1"', svg)
        svg = re.sub(rf'(href="#|url\(#)({names})(?=["\)])', rf"\1{own}-\2", svg)
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)  # a style would be the whole page's
    for colour, variable in {_INK: "--ink", _FAINT: "--faint", **_variables()}.items():
        svg = re.sub(rf"(?<=: ){colour}\b", f"var({variable}, {colour})", svg, flags=re.IGNORECASE)
    svg = svg.replace("'DejaVu Sans'", "var(--sans, sans-serif)")
    return re.sub(r' (?:width|height)="[\d.]+pt"', "", svg)


def _variables() -> dict[str, str]:
    return {colour: f"--line{number}" for number, (colour, _) in enumerate(_LINES)}


def _turns(labels: Sequence[str]) -> list[int]:
    """Which style each line gets: the first is kept for the release, the others take turns. Impostors have that of
    their control, chance needs none.
    """
    turns = {"release": 0}
    others = (label.removesuffix(IMPOSTORS) for label in labels if label != "chance")
    for number, name in enumerate(dict.fromkeys(name for name in others if name != "release")):
        turns[name] = 1 + number % (len(_LINES) - 1)
    return [turns.get(label.removesuffix(IMPOSTORS), 0) for label in labels]


def _at(curve: Curve, x: float) -> str:
    """Behind a line's name: its value there, nothing where it has none."""
    return next((f": {shown(y, True)}" for at, y in zip(curve.x, curve.y, strict=True) if at == x), "")


def _label(text: str) -> str:
    """As it can stand in a legend: matplotlib would leave out what begins with an underscore."""
    text = " ".join(text.split())
    return (text if len(text) <= 40 else text[:39] + "…").removeprefix("_") or "?"


def finite(figure: Measurement) -> bool:
    """Whether it can be drawn."""
    return math.isfinite(figure.value) and (figure.ci95 is None or all(map(math.isfinite, figure.ci95)))
