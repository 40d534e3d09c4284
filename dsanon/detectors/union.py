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
# square's side. Least squares on 503 (mmod) or 509 faces that HOG (upsampled once) and the detector both find (IoU of
# the boxes as they are over 0.25) in 300 photos of LFW people whom pairs.txt does not name and 200 of CelebA's
# training partition; dx is 0 by mirror symmetry (measured: within 0.02). Residual standard deviations of dx, dy and
# scale: mmod 0.062, 0.065, 11 %; centerface 0.068, 0.041, 8 %; yunet 0.070, 0.040, 7 %; retinaface 0.070, 0.042,
# 7 %; HOG's own grid of 8 pixels and steps of 6/5 are in them. Mean IoU of the squares: 0.77 to 0.81.
BOX_FIT: dict[str, tuple[float, float, float]] = {
    "hog": (0.0, 0.0, 1.0),
    "mmod": (0.0, 0.068, 1.065),
    "centerface": (0.0, 0.041, 0.946),
    "yunet": (0.0, 0.055, 0.956),
    "retinaface": (0.0, 0.064, 0.952),
}

# In all of those pairs the squares have an IoU over 0.5. Two boxes that CenterFace or YuNet itself kept apart in crowds
# (COCO, MOT17, MOTS) have at most 0.32; RetinaFace's up to 0.41, which were not looked at one by one. A part taken for
# a face lies inside the whole and is at least half as wide; something smaller (a face on a shirt, a child in front)
# is a face of its own.
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
