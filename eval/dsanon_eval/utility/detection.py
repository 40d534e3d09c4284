"""Do detectors still find the faces? Counted where a face is found in the original: again, at the same place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.detectors import Detection
from dsanon.detectors.union import SAME, landmark_square
from dsanon.sample import Box
from dsanon_eval.intervals import share_of_people
from dsanon_eval.measurement import Measurement

Squares = npt.NDArray[np.float64]  # (m, 4), see landmark_square


def squares(detections: Sequence[Detection]) -> Squares:
    """The landmark squares of what one detector found, best first: (m, 4)."""
    return boxes.as_boxes([landmark_square(d) for d in detections])


def best_at(found: npt.ArrayLike, place: Box) -> int:
    """Index of the square that is the face at ``place`` (its original's landmarks, brows to chin); -1 for none."""
    array = boxes.as_boxes(found)
    if not len(array):
        return -1
    overlap = boxes.iou(array, place)[:, 0]
    best = int(overlap.argmax())
    return best if overlap[best] > SAME else -1


def seen(detector: str, found: npt.ArrayLike, people: Sequence[str]) -> list[Measurement]:
    """The share of released faces that a detector finds; all that can be said where no original is known."""
    hits = np.asarray(found, dtype=bool)
    interval = share_of_people(hits, people)
    return [Measurement("face_seen_rate", detector, "release", float(hits.mean()), interval, hits.size)]


def covered(detector: str, found: npt.ArrayLike) -> list[str]:
    """A note on how many faces stand outside detection_rate and its subgroups. found: (n,) bool, covered and found in
    the original"""
    count = int(np.asarray(found, dtype=bool).sum())
    if not count:
        return []
    return [
        f"{count} faces that {detector} finds in the original could only be covered: they are in "
        "detection_rate_covered and detection_rate_all, and neither in detection_rate nor in its subgroups"
    ]


def measure(
    detector: str,
    control: str,
    original: npt.ArrayLike,
    again: npt.ArrayLike,
    people: Sequence[str],
    name: str = "detection_rate",
) -> list[Measurement]:
    """The share of faces found in the original that are found in the control at the same place.

    original, again: (n,) bool, a row a face · n of the figure: faces found in the original
    name: detection_rate of the faces that the method treated, who are expected to be found · …_covered of those that
    it could not treat, who are not · …_all of both together
    """
    before, after = np.asarray(original, dtype=bool), np.asarray(again, dtype=bool)
    hits = after[before]
    if not hits.size:
        return []
    who = [person for person, seen in zip(people, before, strict=True) if seen]
    interval = share_of_people(hits, who)
    return [Measurement(name, detector, control, float(hits.mean()), interval, hits.size)]
