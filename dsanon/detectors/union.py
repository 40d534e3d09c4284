"""One face from what several detectors say of it.

Every detector has a box of its own for the same face. They are compared as the square that dlib's 68-point
predictor was trained on (the box of its HOG detector), and united with all that any of them saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from dsanon import boxes
from dsanon.detectors import Detection
from dsanon.sample import Box

# detector → (dx, dy, scale) in units of sqrt(width × height) of its box: from its centre to the square's, and the
# square's side. Least squares on the 509 to 515 faces that HOG (upsampled once) and the detector both find in 300
# photos of LFW and 200 of CelebA; dx is 0 by mirror symmetry (measured: within 0.021). Residual standard deviations
# of dx, dy and scale: mmod 0.065, 0.069, 11 %; centerface 0.076, 0.043, 8 %; yunet 0.077, 0.041, 7 %; retinaface
# 0.075, 0.043, 7 %, half of which is HOG's own steps of 8 pixels and 6/5. Mean IoU of the squares: 0.77 to 0.81.
BOX_FIT: dict[str, tuple[float, float, float]] = {
    "hog": (0.0, 0.0, 1.0),
    "mmod": (0.0, 0.067, 1.068),
    "centerface": (0.0, 0.042, 0.941),
    "yunet": (0.0, 0.057, 0.955),
    "retinaface": (0.0, 0.066, 0.948),
}

# Of the same face the squares have an IoU over 0.4 in 99 % of those pairs, of neighbouring heads in crowds
# (COCO, MOT17, MOTS) at most 0.33. A part taken for a face lies inside the whole and is at least half as wide;
# something smaller still (a face on a shirt, a child in front) is a face of its own.
SAME, INSIDE, PART = 0.35, 0.6, 2.0


@dataclass(frozen=True, slots=True)
class FaceCandidate:
    """One face. box: all that any of its detectors saw of it, unclipped · score: the best of its members'

    detectors: their names in alphabetical order · points: the five of the best member that has any, or ()
    members: the detections, best first
    """

    box: Box
    score: float
    detectors: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    members: tuple[Detection, ...]


def landmark_square(detection: Detection) -> Box:
    """The square from the brows to the chin in which dlib's 68-point predictor expects the face, unclipped.

    A detector without a row in ``BOX_FIT`` (an annotation) is taken at its word: same centre, same area.
    """
    x0, y0, x1, y1 = detection.box
    dx, dy, scale = BOX_FIT.get(detection.detector, (0.0, 0.0, 1.0))
    size = sqrt(max(x1 - x0, 0) * max(y1 - y0, 0))
    x, y, half = (x0 + x1) / 2 + dx * size, (y0 + y1) / 2 + dy * size, scale * size / 2
    return x - half, y - half, x + half, y + half


def unite(detections: Iterable[Detection]) -> list[FaceCandidate]:
    """Every face once, best first; the result does not depend on the order of ``detections``.

    Greedy: each detection, best first, joins the face whose best member it overlaps most, or is a new one. No
    detection is ever dropped: each is a member of one candidate, whose box covers it.
    """
    groups: list[list[Detection]] = []
    leaders: list[Box] = []
    for detection in sorted(detections, key=lambda d: (-d.score, d.detector, d.box)):
        square = landmark_square(detection)
        group = _face_of(square, leaders)
        if group is None:
            groups.append([detection])
            leaders.append(square)
        else:
            groups[group].append(detection)
    return [_candidate(members) for members in groups]


def _face_of(square: Box, leaders: list[Box]) -> int | None:
    """Index of the leader that is the same face as ``square``, the best if several are."""
    if not leaders:
        return None
    overlap = boxes.iou(square, leaders)[0]
    inside = boxes.intersection_over_smaller(square, leaders)[0]
    sides = boxes.as_boxes(leaders)[:, 2] - boxes.as_boxes(leaders)[:, 0]
    side = square[2] - square[0]
    alike = (sides <= PART * side) & (side <= PART * sides)
    same = (overlap > SAME) | (alike & (inside > INSIDE))
    return int((overlap * same).argmax()) if same.any() else None


def _candidate(members: list[Detection]) -> FaceCandidate:
    x0, y0, x1, y1 = (float(edge) for edge in boxes.hull([member.box for member in members])[0])
    return FaceCandidate(
        box=(x0, y0, x1, y1),
        score=members[0].score,
        detectors=tuple(sorted({member.detector for member in members})),
        points=next((member.points for member in members if member.points), ()),
        members=tuple(members),
    )
