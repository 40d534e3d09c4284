"""Is a release as steady as its source? Four measurements of sequences, each of release and original.

Landmark jitter, warping error, identity along a track, flicker at the mask's border. Motion is the source's own:
optical flow is computed on the original frames, and landmarks of both start from the same square. Intervals are
bootstrapped over blocks of half a second, since neighbouring frames are not independent trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dsanon.sample import Box
from dsanon_eval.intervals import Interval, stretched
from dsanon_eval.measurement import Gate, Measurement
from dsanon_eval.networks.recognisers import DlibResnet
from dsanon_eval.utility.frames import BLOCK, Face, Frame, Pair, face_pairs

Floats = npt.NDArray[np.float64]

FRAMES = 300  # of a sequence that are watched
JITTER = 1.1  # the release's landmark jitter is at most so many times the source's
_DRAWS = 1000
_FLOW_SIDE = 480  # pixels of the longer side at which motion is measured
_LOST = 1.0  # pixels by which forward and backward flow may disagree: beyond, something was covered or uncovered
_BORDER = 0.12  # of a face's width: half the width of the border that is watched for flicker
_EMBEDDED = 5  # every so many frames of a track a face is embedded
# sides by which its square is moved and grown
_STARTS = [(x, y, g) for x in (-0.04, 0.0, 0.04) for y in (-0.04, 0.0, 0.04) for g in (-0.03, 0.0, 0.03)]
_SMALLEST = 32.0  # pixels: in smaller faces landmarks and embeddings are noise


def second_differences(points: npt.ArrayLike, span: npt.ArrayLike) -> Floats:
    """(t - 2,) mean length of x[t+1] - 2 x[t] + x[t-1] over the points, in eye distances; 0 for steady motion.

    points: (t, n, 2) · span: (t,) eye distance in the same unit.
    """
    p, s = np.asarray(points, dtype=np.float64), np.asarray(span, dtype=np.float64)
    bend = p[2:] - 2 * p[1:-1] + p[:-2]
    return np.asarray(np.hypot(bend[..., 0], bend[..., 1]).mean(axis=1) / s[1:-1])


def located(pixels: Frame, square: Box, predictor: Callable[[Frame, Box], npt.NDArray[np.float32]]) -> Floats:
    """(68, 2) landmarks: the mean of the predictor's answers from 27 squares about ``square``.

    A cascade of trees answers in leaps; of one square alone most of the jitter is its own, not the picture's.
    """
    side = square[2] - square[0]
    starts = [np.array(square) + side * np.array([x - g, y - g, x + g, y + g]) for x, y, g in _STARTS]
    found = [predictor(pixels, (float(a), float(b), float(c), float(d))) for a, b, c, d in starts]
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


def spread(embeddings: npt.ArrayLike) -> float:
    """Mean squared distance of unit embeddings (n, d) of one track from their mean: 0 for one and the same face.

    Raises ValueError for fewer than two.
    """
    e = np.asarray(embeddings, dtype=np.float64)
    if len(e) < 2:
        raise ValueError(f"a track needs two embeddings, found {len(e)}")
    e = e / np.linalg.norm(e, axis=1, keepdims=True)
    return float(((e - e.mean(axis=0)) ** 2).sum(axis=1).mean())


def flow(before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(h, w, 2) where each pixel of ``before`` is in ``after``, relative, and (h, w) where that can be believed.

    Dense inverse search (Kroeger et al., 2016) both ways; pixels that do not come back are not believed.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    there, back = search.calc(grey[0], grey[1], None), search.calc(grey[1], grey[0], None)
    apart = there + warped(back, there)
    return np.asarray(there, dtype=np.float64), np.hypot(apart[..., 0], apart[..., 1]) <= _LOST


def warped(after: npt.NDArray[Any], motion: npt.ArrayLike) -> npt.NDArray[Any]:
    """``after`` (h, w, …) seen from the frame before, by the motion (h, w, 2) of :func:`flow`."""
    m = np.asarray(motion, dtype=np.float32)
    y, x = np.indices(m.shape[:2], dtype=np.float32)
    return np.asarray(cv2.remap(after, x + m[..., 0], y + m[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def warping_error(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8], motion: npt.ArrayLike, where: npt.NDArray[np.bool_]
) -> float:
    """Mean absolute difference, in grey levels, of a frame and the next one moved back, over the pixels ``where``."""
    difference = np.abs(warped(after, motion).astype(np.float64) - before)
    return float(difference[where].mean()) if where.any() else float("nan")


@dataclass(slots=True)
class Blocks:
    """Sums of trials by block: trials of one block are not independent."""

    sums: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)

    def add(self, who: tuple[str, str], frame: int, release: float, original: float) -> None:
        """One trial, of a track (sequence, subject) in a frame. What is not a number is left out."""
        if np.isfinite(release) and np.isfinite(original):
            total = self.sums.setdefault((*who, frame // BLOCK), [0.0, 0.0, 0.0])
            for place, value in enumerate((release, original, 1.0)):
                total[place] += value

    def measurements(self, name: str, model: str, gate: Gate | None = None) -> Iterator[Measurement]:
        """Means of release and original and, with a gate for it, their ratio; nothing without trials."""
        if not self.sums:
            return
        table = np.array([self.sums[key] for key in sorted(self.sums)])
        drawn = np.random.default_rng(0).integers(len(table), size=(_DRAWS, len(table)))
        totals, draws = table.sum(axis=0), table[drawn].sum(axis=1)
        n = int(totals[2])
        for control, place in (("release", 0), ("original", 1)):
            mean = float(totals[place] / n)
            yield Measurement(name, model, control, mean, _ci95(mean, draws[:, place] / draws[:, 2], len(table)), n)
        if gate is not None and totals[1] > 0:
            ratios = draws[:, 0] / np.maximum(draws[:, 1], 1e-12)
            ratio = float(totals[0] / totals[1])
            interval = _ci95(ratio, ratios, len(table))
            yield Measurement(f"{name}_ratio", model, "release", ratio, interval, n, gate=gate)


def measure(
    release: Path, source: Path, private: Path, frames: int = FRAMES, key: Path | None = None
) -> list[Measurement]:
    """All temporal measurements of a release of sequences, none of one of stills. frames: looked at in a sequence.

    key: of the private map, by default the one the release was made with.

    Raises KeyFileError and ReleaseError where the private map cannot be read.
    """
    watch = _Watch()
    for pairs in face_pairs(release, source, private, frames, key=key):
        watch.sequence(pairs)
    return watch.measurements()


class _Watch:
    """Looks at pairs of frames in order, and keeps sums."""

    def __init__(self) -> None:
        from dsanon.landmarks import Landmarker
        from dsanon.models import store

        self._landmarks = Landmarker(store.path("landmarks68"))
        self._embed = _embedder()
        self._jitter, self._inside, self._outside, self._border, self._identity = (Blocks() for _ in range(5))

    def sequence(self, pairs: Iterable[Pair]) -> None:
        before: Pair | None = None
        points: dict[str, list[tuple[int, Floats, Floats]]] = {}
        embedded: dict[str, list[tuple[Floats, Floats]]] = {}
        name = ""
        for pair in pairs:
            name = pair.sequence
            if before is not None and before.number + 1 == pair.number:
                self._motion(before, pair)
            for face in pair.faces:
                if face.span < _SMALLEST:
                    continue
                seen = [located(frame, face.square, self._landmarks) for frame in pair.frames]
                track = points.setdefault(face.subject, [])
                if track and track[-1][0] + 1 != pair.number:
                    self._bends(name, face.subject, track)
                    track.clear()
                track.append((pair.number, seen[0], seen[1]))
                if pair.number % _EMBEDDED == 0:
                    embedded.setdefault(face.subject, []).append(
                        (self._embed(pair.release, seen[0]), self._embed(pair.original, seen[1]))
                    )
            before = pair
        for subject, track in points.items():
            self._bends(name, subject, track)
        for subject, both in embedded.items():
            if len(both) > 1:
                self._identity.add((name, subject), 0, *(spread([e[k] for e in both]) for k in (0, 1)))

    def _bends(self, sequence: str, subject: str, track: Sequence[tuple[int, Floats, Floats]]) -> None:
        """Jitter of one unbroken run of a track."""
        if len(track) < 3:
            return
        span = [float(np.hypot(*(o[36:42].mean(0) - o[42:48].mean(0)))) for _, _, o in track]
        release = second_differences(np.stack([points for _, points, _ in track]), span)
        original = second_differences(np.stack([points for *_, points in track]), span)
        for (number, *_), ours, theirs in zip(track[1:-1], release, original, strict=True):
            self._jitter.add((sequence, subject), number, float(ours), float(theirs))

    def _motion(self, before: Pair, after: Pair) -> None:
        """Warping errors from one frame to the next: inside of the faces, at their borders, and elsewhere."""
        scale = min(1.0, _FLOW_SIDE / max(before.original.shape[:2]))
        small = [_shrunk(frame, scale) for frame in (*before.frames, *after.frames)]
        motion, believed = flow(small[1], small[3])
        inside, border = _zones(before.faces, after.faces, motion.shape[:2], scale)
        for sums, zone in ((self._inside, inside), (self._border, border), (self._outside, ~inside & ~border)):
            errors = [warping_error(small[k], small[k + 2], motion, zone & believed) for k in (0, 1)]
            sums.add((before.sequence, ""), before.number, errors[0], errors[1])

    def measurements(self) -> list[Measurement]:
        """What was seen."""
        rows: list[tuple[Blocks, str, str, Gate | None]] = [
            (self._jitter, "temporal_jitter", "dlib 68 landmarks", Gate("max", JITTER)),
            (self._inside, "temporal_warping_inside", "DIS optical flow", None),
            (self._border, "temporal_flicker_border", "DIS optical flow", None),
            (self._outside, "temporal_warping_outside", "DIS optical flow", None),
            (self._identity, "temporal_identity_spread", "dlib ResNet", None),
        ]
        return [m for blocks, name, model, gate in rows for m in blocks.measurements(name, model, gate)]


def _zones(
    before: Sequence[Face], after: Sequence[Face], shape: tuple[int, ...], scale: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(inside of the faces, their borders), each (h, w), of two frames together."""
    inside, outer = np.zeros(shape[:2], np.uint8), np.zeros(shape[:2], np.uint8)
    for face in (*before, *after):
        width = face.box[2] - face.box[0]
        for plane, grow in ((outer, _BORDER), (inside, -_BORDER)):
            polygon = face.outline + np.sign(face.outline - face.outline.mean(axis=0)) * grow * width
            cv2.fillConvexPoly(plane, cv2.convexHull(np.rint(polygon * scale).astype(np.int32)), 1)
    return inside > 0, (outer > 0) & (inside == 0)


def _shrunk(frame: Frame, scale: float) -> Frame:
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _embedder() -> Callable[[Frame, Floats], Floats]:
    """dlib's ResNet (128-d), which takes no part in making or guiding a release."""
    network = DlibResnet()
    return lambda frame, points: network.embed([network.chip(frame, points)])[0].astype(np.float64)


def _ci95(value: float, draws: Floats, blocks: int) -> Interval | None:
    """None where there is one block only: of that no interval can be told."""
    if blocks < 2:
        return None
    low, high = np.percentile(draws, [2.5, 97.5])
    return stretched(value, (float(low), float(high)), blocks, (0.0, np.inf))
