"""Tables out of measurements: a row a method, a column an instrument, in each cell the figure, its interval and n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dsanon_eval.measurement import Measurement
from dsanon_eval.reproduce.paper import Paper, stated
from dsanon_eval.reproduce.rows import Row

CHANCE = Row("chance", "chance", "chance")
NOTHING, NO_WEIGHTS = "–", "no weights"
# names of measurements → headings of their columns; the model's name follows
HEADINGS = {
    "detection_rate": "detection, {}",
    "recall_at_1": "Recall@1, {}",
    "tar_at_far": "TAR, {}",
    "tar_at_far_own": "TAR, {}",
    "tar_at_far_all_pairs": "TAR, {}",
    "fd_mobilenetv2_face": "Fréchet distance, {}",
    "fd_dlib_resnet_face": "Fréchet distance, {}",
    "fid_face": "FID, {}",
    "landmark_recall_at_1": "Recall@1, {}",
    "swap_recall_at_1": "Recall@1 of the target, {}",
    "swap_near_training_face": "as near as 1 % of strangers, {}",
}
PAPERS_NAMES = {
    "hog": "dlib HOG",
    "ssh": "SSH",
    "pnca": "PNCA",
    "facenet_vggface2": "FaceNet (VGGFace2)",
    "facenet_casia": "FaceNet (CASIA)",
    "inception_fid": "Inception",
}


def heading(name: str, model: str) -> str:
    """Of a column: ``Recall@1, dlib_resnet``."""
    return HEADINGS.get(name, f"{name}, {{}}").format(PAPERS_NAMES.get(model, model))


@dataclass(frozen=True, slots=True)
class Section:
    """One table. names: of the measurements in it (beginnings, where they end in _); a column for each and model


    about: how to read it · share: values are printed in per cent
    """

    title: str
    names: tuple[str, ...]
    about: str = ""
    share: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """rows: from top to bottom; chance is added below where it was measured. paper: the figures printed beside."""

    section: Section
    rows: Sequence[Row]
    paper: Paper
    measurements: Sequence[Measurement]

    def columns(self) -> list[tuple[str, str]]:
        """(measurement, model) of each: those measured, in their order, then those that only the paper has."""
        found = dict.fromkeys((m.name, m.model) for m in self.measurements)
        named = {(name, model) for _, name, model in self.paper}
        every = [*found, *(key for key in dict.fromkeys(k[1:] for k in self.paper) if key not in found)]
        mine = [key for key in every if self._shows(key[0])]
        return sorted(mine, key=lambda key: key not in named)  # the paper's own instruments first

    def cell(self, row: Row, column: tuple[str, str]) -> str:
        """``6.0 [0.0, 18.1] n 217; paper 1.3``."""
        found = self._found(row.name, column)
        measured = any((m.name, m.model) == column for m in self.measurements)
        text = self._measured(found) if found else NOTHING if row.missing or measured else NO_WEIGHTS
        if (stated := self.paper.get((row.paper, *column))) is not None:
            value, deviation = stated
            text += f"; paper {self._number(value)}" + (f" ± {self._number(deviation)}" if deviation else "")
        return text

    def markdown(self) -> str:
        """A heading, the table in GitHub's Markdown, and what to know about it."""
        columns = self.columns()
        if not columns:
            return ""
        lines = [f"## {self.section.title}", ""]
        lines += [f"| | {' | '.join(heading(*c) for c in columns)} |", "| --- |" + " --- |" * len(columns)]
        for row in self._rows():
            name = f"{row.label}: {row.missing}" if row.missing else row.label
            lines.append(f"| {name} | {' | '.join(self.cell(row, column) for column in columns)} |")
        return "\n".join([*lines, "", self.section.about, ""])

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the same cells as text; the figures themselves are among the measurements."""
        columns = self.columns()
        return {
            "title": self.section.title,
            "columns": [heading(*column) for column in columns],
            "rows": [
                {"label": row.label, "missing": row.missing, "cells": [self.cell(row, c) for c in columns]}
                for row in self._rows()
            ],
        }

    def stated(self) -> list[Measurement]:
        """The measurements, each with the paper's figure where the same network measured it there, and no other."""
        names = {row.name: row.paper for row in self.rows}
        return stated(self.measurements, self.paper, names)

    def _rows(self) -> list[Row]:
        below = any(m.control == CHANCE.name and self._shows(m.name) for m in self.measurements)
        return [*self.rows, *([CHANCE] if below else [])]

    def _shows(self, name: str) -> bool:
        return name in self.section.names or name.startswith(tuple(n for n in self.section.names if n.endswith("_")))

    def _found(self, control: str, column: tuple[str, str]) -> Measurement | None:
        wanted = (*column, control)
        return next((m for m in self.measurements if (m.name, m.model, m.control) == wanted), None)

    def _measured(self, m: Measurement) -> str:
        interval = f" [{self._number(m.ci95[0])}, {self._number(m.ci95[1])}]" if m.ci95 else ""
        best = self._found(m.control, (f"{m.name}_optimistic", m.model))
        other = f" (optimistic {self._number(best.value)})" if best else ""
        return f"{self._number(m.value)}{interval}{other} n {m.n}"

    def _number(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.section.share else f"{value:.2f}"
