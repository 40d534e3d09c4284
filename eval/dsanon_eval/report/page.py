"""report.html: an audit on one page that a privacy officer reads in five minutes and a researcher in thirty.

One file, no network, no script. It shows pixels of the release only; the variant with source crops beside them is for
the private side, where it is written instead, and goes when the key goes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from dsanon.durable import PRIVATE, PRIVATE_FOLDER, aside, explained
from dsanon.errors import BadImage, UsageError
from dsanon.layout import ReleasePaths
from dsanon.private_map import lookup
from dsanon.sample import Pixels
from dsanon_eval.crew import Crew
from dsanon_eval.measurement import Curve, Measurement
from dsanon_eval.report.audit_files import AuditFiles, read_audit
from dsanon_eval.report.chapters import CHAPTERS, LEAKS, Attack, absent, chapter_of, chapter_of_figure, sentence, shown
from dsanon_eval.report.cutouts import crop, open_picture
from dsanon_eval.report.figures import Ranged, draw_curves, draw_rows, draw_trade_off, finite
from dsanon_eval.review.queue import build, current_queue
from dsanon_eval.seeing.clips import frame_of

RISKIEST, FIRST = 24, 5  # regions that the page shows, and those that are seen without a click
_ROWS = (
    "Square: the release; circle: a control; bar: 95 % interval; cross: the paper; upright stroke: the gate; "
    "dotted line: chance."
)
_COMPARED = ("release", "original", "chance")  # what a reader needs to judge a figure; the rest is a click away
_ORDER = ("release", "original", "blackout")  # controls that stand first in a table; chance comes last


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing. svg: the element · alt: what it shows, for those who cannot see it · png: its file below figures/"""

    svg: Any
    alt: str
    png: str
    caption: str


Group = tuple[str, str, list[Measurement]]  # name, model, and the rows of both


@dataclass(frozen=True, slots=True)
class Chapter:
    """An attack, its figures in the order they are shown, and its drawings."""

    attack: Attack
    figures: tuple[Measurement, ...]
    pictures: tuple[Picture, ...]

    @property
    def first(self) -> list[Group]:
        """What decides: the figures with a gate, or else the first one; of release, original and chance."""
        asked = {(figure.name, figure.model) for figure in self.figures if figure.gate}
        asked = asked or {(figure.name, figure.model) for figure in self.figures[:1]}
        rows = [figure for figure in self.figures if (figure.name, figure.model) in asked]
        return _grouped([figure for figure in rows if figure.control in _COMPARED or figure.gate])

    @property
    def further(self) -> list[Group]:
        """Every other row."""
        seen = {figure for _, _, rows in self.first for figure in rows}
        return _grouped([figure for figure in self.figures if figure not in seen])


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a page shows of the figures: every chapter that has one, and who is recognised against who is found."""

    chapters: tuple[Chapter, ...]
    trade_offs: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A region to look at. image, source: data URIs, '' where there is none · problem: why there is none"""

    row: Mapping[str, Any]
    image: str
    source: str
    problem: str


@dataclass(frozen=True, slots=True)
class _Sketch:
    """A picture that is to be drawn. draw: into the PNG that it is given; returns the SVG · others: as of a Picture"""

    draw: Callable[[Path], str]
    png: str
    alt: str
    caption: str


def draw(
    figures: Sequence[Measurement],
    curves: Mapping[str, Sequence[Curve]],
    release: Path,
    crew: Crew | None = None,
) -> Drawn:
    """Draw all, as PNGs below RELEASE/audit/figures as well. curves: by figure · crew: this process

    Raises ReleaseError.
    """
    folder = release / "audit" / "figures"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    planned, beside = _chapters(figures, curves), _trade_offs(figures)
    sketches = [*(sketch for _, _, some in planned for sketch in some), *beside]
    drawing = (crew or Crew()).each(partial(_draw, folder), ((sketch.png, sketch) for sketch in sketches))
    pictures = iter([_picture(sketch, svg) for sketch, svg in zip(sketches, drawing, strict=True)])
    chapters = [Chapter(attack, same, tuple(islice(pictures, len(some)))) for attack, same, some in planned]
    drawn = Drawn(tuple(chapters), tuple(pictures))
    now = {sketch.png for sketch in sketches}
    with explained(folder):
        for old in folder.glob("*.png"):
            if old.name not in now:  # of an earlier audit, which measured what this one did not
                old.unlink()
    return drawn


def write_report(
    release: Path,
    source: Path | None = None,
    private: Path | None = None,
    key: Path | None = None,
    with_source: bool = False,
    drawn: Drawn | None = None,
) -> Path:
    """Write RELEASE/audit/report.html; returns the page's path.

    drawn: of the very audit, else it is drawn anew
    with_source: crops of the source beside those of the release, under a red banner; that page is written to
    ``audit/`` on the private side (0600) and never into RELEASE. It needs ``source`` and the key.
    Raises ReleaseError (no audit, not writable), KeyFileError, UsageError.
    """
    if with_source and source is None:
        raise UsageError("--with-source needs --source: name the dataset that the release was made from")
    paths = ReleasePaths.of(source, release, private, key)
    files = read_audit(paths)
    drawn = drawn or draw(files.measurements, files.curves, paths.release)
    originals = _originals(paths, source, key) if with_source and source else {}
    # whose face resembles its original, by a recogniser, is nothing to publish: the public page goes by the manifest
    queue = current_queue(paths.private, files.manifest) if with_source else build(files.manifest)
    regions = _regions(paths.release / "data", queue, originals)
    page = _page(files, drawn, regions, with_source)
    if with_source:
        out, mode = paths.private / "audit" / "report-with-source.html", PRIVATE
        with explained(out.parent):
            out.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    else:
        out, mode = paths.release / "audit" / "report.html", 0o644
    with aside(out, mode) as file:
        file.write(page.encode("utf-8", "replace"))
    return out


def _page(
    files: AuditFiles,
    drawn: Drawn,
    regions: Sequence[Region],
    with_source: bool,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # names of files and labels of people come from strangers: everything is escaped but what was drawn here
    environment = Environment(
        loader=PackageLoader("dsanon_eval.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "sentence": sentence}
    return environment.get_template("report.html").render(
        files=files,
        chapters=[chapter for chapter in drawn.chapters if chapter.attack is not LEAKS],
        leaks=next((chapter for chapter in drawn.chapters if chapter.attack is LEAKS), None),
        absent=absent(files.measurements),
        unattacked=_unattacked(files),
        first=FIRST,
        trade_offs=drawn.trade_offs,
        regions=regions,
        with_source=with_source,
    )


def _grouped(figures: Sequence[Measurement]) -> list[Group]:
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for figure in figures:
        groups.setdefault((figure.name, figure.model), []).append(figure)
    return [(name, model, rows) for (name, model), rows in groups.items()]


def _unattacked(files: AuditFiles) -> list[str]:
    """Titles of the attacks that were not tried, but those that there is nothing to try on."""
    bodies = "body" in (files.counts.regions or {})
    # whom a generator paints is asked of the generator, not of a release
    nothing = {"identity"} | (set() if bodies else {"bodies"})
    return [a.title for a in absent(files.measurements) if a.key not in nothing and not a.title.startswith("Use: ")]


def _draw(folder: Path, sketch: _Sketch) -> str:
    return sketch.draw(folder / sketch.png)


def _picture(sketch: _Sketch, svg: str) -> Picture:
    from markupsafe import Markup

    return Picture(Markup(svg), sketch.alt, sketch.png, sketch.caption)


def _chapters(
    measured: Sequence[Measurement], curves: Mapping[str, Sequence[Curve]]
) -> list[tuple[Attack, tuple[Measurement, ...], list[_Sketch]]]:
    """Every chapter that has a figure or a curve, with what is to be drawn for it."""
    out = []
    for attack in CHAPTERS:
        figures = _sorted([figure for figure in measured if chapter_of(figure.name) is attack])
        sketches = []
        for name in dict.fromkeys(figure.name for figure in figures):
            same = [figure for figure in figures if figure.name == name and finite(figure)]
            if attack is not LEAKS and len(same) > 1 and not name.endswith(("_std", "_optimistic")):
                axis = attack.axis if attack.share else name
                alt = f"{name}: value and 95 % interval of release and controls, as in the table."
                rows = partial(draw_rows, same, x_label=axis, share=attack.share)
                sketches.append(_sketch(rows, name, alt, _ROWS))
        for name, lines in curves.items():
            if chapter_of_figure(name) is attack and any(line.x for line in lines):
                labels = ", ".join(line.label for line in lines)
                alt = f"{name}: {lines[0].y_label} over {lines[0].x_label}, a line each for {labels}."
                caption = "Band: 95 % interval." if any(line.low for line in lines) else ""
                sketches.append(_sketch(partial(draw_curves, lines), name, alt, caption))
        if figures or sketches:
            out.append((attack, tuple(figures), sketches))
    return out


def _sorted(figures: Sequence[Measurement]) -> list[Measurement]:
    """Figure by figure and model by model as measured; the release first, chance last."""
    names = list(dict.fromkeys(figure.name for figure in figures))
    models = list(dict.fromkeys(figure.model for figure in figures))

    def place(figure: Measurement) -> tuple[int, int, int, str]:
        control = figure.control
        rank = _ORDER.index(control) if control in _ORDER else 99 if control == "chance" else 50
        return names.index(figure.name), models.index(figure.model), rank, control

    return sorted(figures, key=place)


def _trade_offs(figures: Sequence[Measurement]) -> list[_Sketch]:
    """Who is still recognised against who is still found: a drawing for each recogniser, with the first detector."""
    found: dict[str, dict[str, Ranged]] = {}
    named: dict[str, dict[str, Ranged]] = {}
    for figure in filter(finite, figures):
        if figure.name == "detection_rate":
            # the rate is over what is found in the original
            found.setdefault(figure.model, {"original": (1.0, 1.0, 1.0)})[figure.control] = _ranged(figure)
        elif figure.name == "recall_at_1" and figure.control != "chance":
            named.setdefault(figure.model, {})[figure.control] = _ranged(figure)
    detector = next(iter(found), None)
    out = []
    for model, recognised in named.items() if detector else ():
        rates = found[str(detector)]
        points = [(control, rates[control], value) for control, value in recognised.items() if control in rates]
        if len(points) > 1:
            alt = "; ".join(f"{c}: {shown(u[0], True)} found, {shown(r[0], True)} named" for c, u, r in points)
            x_label = f"faces found again ({detector})"
            both = partial(draw_trade_off, points, title=model, x_label=x_label, y_label="faces named correctly")
            caption = "Release and controls, measured in the same run, with their 95 % intervals."
            out.append(_sketch(both, f"privacy_utility_{model}", alt, caption))
    return out


def _ranged(figure: Measurement) -> Ranged:
    """The interval never leaves its value out, which the plot would refuse."""
    low, high = figure.ci95 or (figure.value, figure.value)
    return figure.value, min(low, figure.value), max(high, figure.value)


def _sketch(draw: Callable[[Path], str], name: str, alt: str, caption: str) -> _Sketch:
    return _Sketch(draw, re.sub(r"[^\w-]+", "_", name).strip("_")[:80] + ".png", alt, caption)


def _regions(data: Path, queue: pa.Table, originals: Mapping[tuple[str, int], tuple[Path, str]]) -> list[Region]:
    out = []
    cached = lru_cache(maxsize=1)(open_picture)
    for row in queue.slice(0, RISKIEST).to_pylist():
        frame = frame_of(row["sample"])
        original = originals.get((row["sample"], row["region"]))
        try:
            image, problem = _uri(cached(data, row["file"], frame), row["box"]), ""
        except BadImage as error:
            image, problem = "", str(error)
        try:
            before = _uri(open_picture(*original, frame), row["box"]) if original else ""
        except BadImage:
            before = ""
        out.append(Region(row, image, before, problem))
    return out


def _originals(paths: ReleasePaths, source: Path, key: Path | None) -> dict[tuple[str, int], tuple[Path, str]]:
    """Where each region was cut from: (sample, region) → SOURCE and the file below it."""
    rows = lookup(paths.release, paths.private, key)
    root = source if source.is_dir() else source.parent  # one video
    return {(row["sample"], row["region"]): (root, row["source_file"]) for row in rows}


def _uri(pixels: Pixels, box: Sequence[float]) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(crop(pixels, box)).decode()
