"""The 68 landmarks of one detected face, or why they cannot be trusted.

dlib's predictor always answers, with the landmarks of *some* face. It is believed where it answers alike from several
starts, and where its eyes, nose and mouth are those that the detector saw. Distances are in sides of the landmark
square (:func:`dsanon.detectors.union.landmark_square`). The limits were set by looking at 1,400 faces of at least 16
pixels (500 photos of LFW, 300 of CelebA, 91 of COCO, 12 frames of MOT17, 30 of a MOTS crowd).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dsanon.align import Floats, Transform, anchors, apply, invert, similarity, warp
from dsanon.detectors.union import FaceCandidate, landmark_square
from dsanon.sample import Box, Pixels

Predictor = Callable[[Pixels, Box], Floats]  # pixels, landmark square → (68, 2)

# ArcFace's five points (eyes, tip of the nose, mouth corners) on 112 × 112
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
SMALLEST = 16.0  # pixels: in a narrower square the predictor guesses
_WEAK = {"hog": 0.6}  # a face that one detector alone saw, with less than this, is mostly a sleeve or a shadow
_WEAK_OTHERS = 0.5
_GAP = 0.105  # mean distance from the detector's five points, plus _FAR of the farthest start's distance
_FAR = 0.2
_NEAR = 0.08  # another start must answer so much alike: mean distance of the 68
_LOOSE = 0.08  # the same for all starts, where the detector gave no points
_AT_ONCE = 0.05  # gap of a first start that needs no other, where two detectors saw the face (none of 736 was wrong)
_SOON = (0.06, 0.03)  # gap and distance of the first two starts with which it is not tried any further
_UPRIGHT = 20.0  # degrees of roll up to which the detectors' own squares are good starts
_INSIDE = 0.75  # share of the landmarks that must lie in the photo

TINY = "too small to align"
TURNED = "landmarks disagree with the detector: turned, covered or blurred"
UNSTABLE = "landmarks depend on where they are looked for"
IMPOSSIBLE = "landmarks implausible"
CUT = "cut off by the photo's edge"
FEEBLE = "seen by one detector only, and weakly"

# eyes, nose, mouth corners in the landmark square: mean of 249 faces of CelebA's training partition
_FIVE = np.array([[0.282, 0.289], [0.718, 0.289], [0.5, 0.53], [0.318, 0.729], [0.682, 0.729]])
# edges moved by shares of the side: starts for detectors without points
_SHAKEN = np.array([[0, 0, 0, 0], [-0.06, -0.06, 0.06, 0.06], [0.04, -0.06, 0.04, -0.06], [-0.04, 0.05, -0.04, 0.05]])


def fit(pixels: Pixels, candidate: FaceCandidate, predictor: Predictor) -> tuple[Floats | None, str]:
    """((68, 2) float32 source pixels, '') of ``candidate``, or (None, why it cannot be aligned)."""
    squares = _squares(candidate)
    side = float(np.median([square[2] - square[0] for square in squares]))
    if len(candidate.detectors) == 1 and candidate.score < _WEAK.get(candidate.detectors[0], _WEAK_OTHERS):
        return None, FEEBLE
    if side < SMALLEST:
        return None, TINY
    if candidate.points:
        points, reason = _led(pixels, squares, side, np.array(candidate.points, dtype=np.float64), predictor)
    else:
        points, reason = _shaken(pixels, squares[0], predictor)
    reason = reason or implausible(points, side, candidate.points, pixels.shape[1], pixels.shape[0])
    return (None, reason) if reason else (points, "")


def five_of(points: npt.ArrayLike) -> Transform:
    """Eyes, tip of the nose and mouth corners (5, 2) of 68 landmarks, as detectors give them."""
    p = np.asarray(points, dtype=np.float64).reshape(68, 2)
    return np.stack([p[36:42].mean(0), p[42:48].mean(0), p[30], p[48], p[54]])


def implausible(points: Floats, side: float, five: Sequence[tuple[float, float]], width: int, height: int) -> str:
    """Why 68 landmarks of a face with a square of ``side`` cannot be a face's, '' where they can.

    five: the detector's points, or (); a face without them is taken to be upright.
    """
    left, right, mouth = anchors(points)
    eyes, drop = right - left, mouth - (left + right) / 2
    span = float(np.hypot(*eyes))
    if not np.isfinite(points).all() or span < 0.18 * side or span > 0.75 * side:
        return IMPOSSIBLE
    below = float(eyes[0] * drop[1] - eyes[1] * drop[0]) / span  # distance of the mouth under the line of the eyes
    along = abs(float(eyes @ drop)) / span
    seen = np.subtract(five[1], five[0]) if five else np.array([1.0, 0.0])
    if not 0.2 * side < below < 0.9 * side or along > 0.45 * side or float(eyes @ seen) <= 0:
        return IMPOSSIBLE
    extent = points.max(0) - points.min(0)
    if extent.min() < 0.5 * side or extent.max() > 2.0 * side:
        return IMPOSSIBLE
    if ((points >= 0) & (points < (width, height))).all(axis=1).mean() < _INSIDE:
        return CUT
    return ""


def _squares(candidate: FaceCandidate) -> list[Box]:
    """Landmark squares of the best two detectors: HOG's, which the predictor was trained on, and the best other."""
    first = sorted(candidate.members, key=lambda m: m.detector != "hog")
    best = {member.detector: landmark_square(member) for member in reversed(first)}
    return [best[name] for name in dict.fromkeys(member.detector for member in first)][:2]


def _led(
    pixels: Pixels, squares: Sequence[Box], side: float, five: Transform, predictor: Predictor
) -> tuple[Floats, str]:
    """The start that comes closest to the detector's points, if it does and others agree."""
    found: list[Floats] = []
    for points in _starts(pixels, squares, side, five, predictor):
        found.append(points)
        gap = min(_distance(five_of(p), five) for p in found) / side
        if len(found) == 1 and len(squares) == 2 and gap <= _AT_ONCE:
            return points, ""
        if len(found) == 2 and gap <= _SOON[0] and _distance(*found) <= _SOON[1] * side:
            break
    gaps = [_distance(five_of(p), five) / side for p in found]
    best = found.pop(int(np.argmin(gaps)))
    others = [_distance(best, p) / side for p in found]
    if min(others) > _NEAR:
        return best, UNSTABLE
    return best, "" if min(gaps) + _FAR * max(others) <= _GAP else TURNED


def _starts(
    pixels: Pixels, squares: Sequence[Box], side: float, five: Transform, predictor: Predictor
) -> Iterator[Floats]:
    """Landmarks from the detectors' squares, and from crops turned upright about what the five points imply."""
    frame = similarity(_FIVE, five) if np.ptp(five, axis=0).max() > 0 else np.array([[side, 0, 0], [0, side, 0.0]])
    roll = float(np.degrees(np.arctan2(frame[1, 0], frame[0, 0])))
    centre = apply(frame, [[0.5, 0.5]])[0]
    upright = list(squares) if abs(roll) <= _UPRIGHT else []
    if upright:
        yield predictor(pixels, upright[0])
    yield _turned(pixels, centre, side, roll, predictor)
    for square in upright[1:]:
        yield predictor(pixels, square)
    yield _turned(pixels, centre, 0.88 * side, roll, predictor)


def _turned(pixels: Pixels, centre: Transform, side: float, roll: float, predictor: Predictor) -> Floats:
    """Landmarks of the face whose square of ``side`` about ``centre`` is rolled by ``roll`` degrees, clockwise."""
    half, angle = 48.0, np.radians(-roll)
    turn = 2 * half / side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = np.hstack([turn, (2 * half - turn @ centre)[:, None]])
    points = predictor(warp(pixels, upright, round(4 * half)), (half, half, 3 * half, 3 * half))
    return np.asarray(apply(invert(upright), points), dtype=np.float32)


def _shaken(pixels: Pixels, square: Box, predictor: Predictor) -> tuple[Floats, str]:
    """Landmarks without the help of five points: they must come out alike from four starts."""
    side = square[2] - square[0]
    starts = np.array(square) + _SHAKEN * side
    best, *others = [predictor(pixels, (float(a), float(b), float(c), float(d))) for a, b, c, d in starts]
    far = max(_distance(best, other) for other in others)
    return best, "" if far <= _LOOSE * side else UNSTABLE


def _distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Mean distance of two sets of points (n, 2)."""
    d = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return float(np.sqrt((d * d).sum(axis=1)).mean())
