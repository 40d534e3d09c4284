"""Where a head is, told from the joints that COCO's annotators marked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from dsanon.sample import Box

COCO_JOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

# Height of an adult's head with hair (260 mm) over the distance of two points. Foreshortening and turning only
# shorten a distance, so that the largest estimate is the best one.
_HEIGHTS = {
    frozenset({"left_ear", "right_ear"}): 260 / 150,
    frozenset({"left_eye", "right_eye"}): 260 / 63,
    frozenset({"left_eye", "left_ear"}): 260 / 95,
    frozenset({"right_eye", "right_ear"}): 260 / 95,
    frozenset({"left_eye", "right_ear"}): 260 / 120,
    frozenset({"right_eye", "left_ear"}): 260 / 120,
    frozenset({"nose", "left_ear"}): 260 / 125,
    frozenset({"nose", "right_ear"}): 260 / 125,
    frozenset({"nose", "left_eye"}): 260 / 58,
    frozenset({"nose", "right_eye"}): 260 / 58,
    frozenset({"left_shoulder", "right_shoulder"}): 260 / 340,
}
# Of the height, from the middle of the head to each side: half of it, and a margin for the annotator; more where
# neither both eyes nor both ears tell where the middle is and how large the head.
_REACH, _REACH_UNSURE = 0.62, 0.85
_LEAST = 0.11  # of the body's longer side: nobody's head is smaller


def head_box(joints: Mapping[str, tuple[float, float]], body: Box | None) -> Box | None:
    """A square that holds the whole head with chin and hair, cut off where ``body`` ends.

    joints: the marked ones by COCO's names, x and y in pixels. None where none of the head's is marked.
    """
    points = {name: np.array(joints[name], dtype=float) for name in HEAD if name in joints}
    if not points:
        return None
    # eyes and ears lie half-way between chin and crown; the nose only where it is all there is
    level = [points[name] for name in HEAD[1:] if name in points] or [points["nose"]]
    middle = np.mean(level, axis=0)
    sure = {"left_eye", "right_eye"} <= points.keys() or {"left_ear", "right_ear"} <= points.keys()
    reach = (_REACH if sure else _REACH_UNSURE) * _height(joints, len(points), body)
    spread = np.array([*points.values(), middle])
    x0, y0 = np.minimum(spread.min(axis=0) - reach / 4, middle - reach)
    x1, y1 = np.maximum(spread.max(axis=0) + reach / 4, middle + reach)
    if body is None:
        return float(x0), float(y0), float(x1), float(y1)
    edge = reach / 4  # annotators' boxes and points disagree by a few pixels
    return (
        float(max(x0, min(body[0] - edge, spread[:, 0].min()))),
        float(max(y0, min(body[1] - edge, spread[:, 1].min()))),
        float(min(x1, max(body[2] + edge, spread[:, 0].max() + 1))),
        float(min(y1, max(body[3] + edge, spread[:, 1].max() + 1))),
    )


def _height(joints: Mapping[str, tuple[float, float]], marked: int, body: Box | None) -> float:
    """The head's height in pixels: the largest of what the distances and the body imply."""
    estimates = [
        _HEIGHTS[frozenset(pair)] * float(np.hypot(*np.subtract(joints[pair[0]], joints[pair[1]])))
        for pair in combinations(joints, 2)
        if frozenset(pair) in _HEIGHTS
    ]
    estimates.append(_neck(joints))
    if body is not None:
        shorter, longer = sorted((body[2] - body[0], body[3] - body[1]))
        estimates.append(_LEAST * longer)
        # a single point tells no size: as large as the body allows
        if marked == 1 and max(estimates[:-1]) == 0:
            estimates.append(shorter)
    return max(*estimates, 8.0)


def _neck(joints: Mapping[str, tuple[float, float]]) -> float:
    """From the middle of the shoulders to the nose it is about a head's height; 0 where they are not marked."""
    if not {"nose", "left_shoulder", "right_shoulder"} <= joints.keys():
        return 0.0
    shoulders = np.add(joints["left_shoulder"], joints["right_shoulder"]) / 2
    return float(np.hypot(*(np.array(joints["nose"]) - shoulders)))
