"""OpenCV's pedestrian detector, and whether it finds in a release whom it found in the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.boxes import Boxes, Floats
from dsanon.detectors import shrunk
from dsanon.sample import Person, Pixels
from dsanon_eval.intervals import share_of_people
from dsanon_eval.measurement import Measurement

NAME = "hog_pedestrians"
SAME = 0.5  # IoU of two boxes of one person, as benchmarks have it
LONGEST = 1920  # pixels of a picture's longer side at which it is searched
# its window of 64 × 128 pixels holds a person of 96 pixels, who is some two fifths as wide as high
_ASIDE, _ABOVE = 0.2, 0.125
MOVED = 3  # pixels: how far the original is moved to see what the detector makes of nothing at all


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """What a detector found in one picture: boxes (n, 4), scores (n,), best first."""

    boxes: Boxes
    scores: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture with whom the source annotates in it, and what the detector finds in original and release.

    block: pictures of one block are no independent trials
    moved: what it finds in the original moved by ``MOVED`` pixels, in the original's own; None where nobody asked
    """

    sequence: str
    block: str
    annotated: tuple[Person, ...]
    original: People
    release: People
    moved: People | None = None

    def found(self, control: str) -> People:
        """Of ``original`` or ``release``."""
        return self.release if control == "release" else self.original


class Pedestrians:
    """Dalal and Triggs' HOG (CVPR 2005), upright people from about 96 pixels on; its weights ship with OpenCV."""

    def __init__(self) -> None:
        import cv2

        self._detector = cv2.HOGDescriptor()
        self._detector.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())

    def __call__(self, pixels: Pixels) -> People:
        """Everybody found, within the picture. scores: margins of the linear SVM."""
        small, grow = shrunk(pixels, LONGEST)
        found, margins = self._detector.detectMultiScale(small, winStride=(8, 8), padding=(8, 8), scale=1.05)
        b = np.asarray(found, dtype=np.float64).reshape(-1, 4)
        inset = b[:, 2:] * (_ASIDE, _ABOVE)
        corners = np.hstack([b[:, :2] + inset, b[:, :2] + b[:, 2:] - inset]) * np.tile(grow, 2)
        corners = boxes.clip(corners, pixels.shape[1], pixels.shape[0])
        scores = np.asarray(margins, dtype=np.float64).reshape(-1)
        order = boxes.ranking(corners, scores)
        return People(corners[order], scores[order])

    def moved(self, pixels: Pixels) -> People:
        """Everybody found without the picture's first ``MOVED`` rows and columns: the same picture on another grid."""
        found = self(pixels[MOVED:, MOVED:])
        return People(found.boxes + MOVED, found.scores)


def pairs(a: npt.ArrayLike, b: npt.ArrayLike, least: float = SAME) -> list[tuple[int, int]]:
    """Boxes of ``a`` (n, 4) and ``b`` (m, 4) one to one, the best total IoU, each of at least ``least``."""
    from scipy.optimize import linear_sum_assignment

    overlap = boxes.iou(a, b)
    overlap[overlap < least] = 0
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(-overlap), strict=True) if overlap[i, j] > 0]


def annotated_boxes(people: Sequence[Person]) -> Boxes:
    """(n, 4) boxes of bodies; of somebody without one an empty box, which nothing overlaps."""
    return boxes.as_boxes([person.body or (0.0, 0.0, 0.0, 0.0) for person in people])


def recall(shots: Sequence[Shot]) -> list[Measurement]:
    """Share of the annotated people whom the detector finds in the original and finds again in the release.

    Only people: what it mistakes for one stands in the background, where nothing changed. One box of the release is
    one person: two who stand together are not both found by what lies between them. n: people found before

    Beside it, as ``original_moved``, the same of the original moved by a few pixels: a detector that searches a grid
    finds no picture's people all again, and no release can do better.
    """
    again: dict[str, list[bool]] = {"release": [], "original_moved": []}
    who: dict[str, list[str]] = {control: [] for control in again}
    for shot in shots:
        people = [person for person in shot.annotated if not person.many]
        found = pairs(shot.original.boxes, annotated_boxes(people))
        before = shot.original.boxes[[box for box, _ in found]]
        for control, after in (("release", shot.release), ("original_moved", shot.moved)):
            if after is not None:
                same = {i for i, _ in pairs(before, after.boxes)}
                again[control] += [i in same for i in range(len(found))]
                who[control] += [people[person].subject or shot.block for _, person in found]
    return [
        Measurement("pedestrian_recall", NAME, control, float(np.mean(h)), share_of_people(h, who[control]), len(h))
        for control, h in again.items()
        if h
    ]
