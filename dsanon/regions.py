"""The first pass for one sample: who is or may be in the picture, and where. Nobody known to be there is skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.align import Floats, anchors, face_transform
from dsanon.detectors import Detector
from dsanon.detectors.union import FaceCandidate, landmark_square, unite
from dsanon.landmarks import Landmarker
from dsanon.sample import Box, Person, Pixels, Region, Sample

NO_FACE = "no face found: turned away, occluded or missed"
GROUP = "a group: heads are not annotated"
NOBODY = "a person must be here, but none was found"
_TINY = 14.0  # narrower faces, in pixels, are not aligned
_AGREE = 0.16  # eyes and mouth may lie so far (in box sides) from the detector's five points
_GROW = 1.35  # a face that cannot be aligned is covered with its box grown so much
_SURE = 0.6  # HOG alone sees faces on sleeves and in foliage up to such scores: covered, but not painted
_LEAST_FACE = 0.28  # of the head's box; something smaller is a sleeve or a pattern, and must not stand for the head
_COVERED = 0.9  # a face of which so much lies in treated bodies needs no treatment of its own


class RegionFinder:
    """Detectors and landmarks, loaded once. regions: ``face``, ``body`` or ``both`` · kept: labels left as they are."""

    def __init__(
        self,
        detectors: Sequence[Detector],
        landmarker: Landmarker,
        regions: str,
        kept: frozenset[str] = frozenset(),
    ) -> None:
        self.detectors, self.landmarker, self.regions, self.kept = detectors, landmarker, regions, kept

    def __call__(self, sample: Sample, pixels: Pixels) -> tuple[Region, ...]:
        """Every region of ``pixels`` (h, w, 3): bodies first, then faces, small before large."""
        height, width = pixels.shape[:2]
        candidates = unite([d for detector in self.detectors for d in detector(pixels)])
        faces = [self._face(pixels, candidate) for candidate in candidates]
        regions = assemble(sample, faces, width, height, self.regions, self.kept)
        return tuple(ordered(regions))

    def _face(self, pixels: Pixels, candidate: FaceCandidate) -> Region:
        square = next((m.box for m in candidate.members if m.detector == "hog"), None)
        square = square or landmark_square(candidate.members[0])
        points = self.landmarker(pixels, square)
        reason = implausible(points, square, candidate.points)
        if not reason and candidate.detectors == ("hog",) and candidate.score < _SURE:
            reason = "seen by one detector only, and weakly"
        detector = "+".join(candidate.detectors)
        if reason:
            box = as_box(boxes.expand(candidate.box, _GROW)[0])
            return Region("face", box, detector=detector, score=candidate.score, reason=reason)
        low, high = points.min(0), points.max(0)
        box = as_box(boxes.hull([candidate.box, (low[0], low[1], high[0], high[1])])[0])
        transform = tuple(float(v) for v in face_transform(points).ravel())
        landmarks = tuple(float(v) for v in points.ravel())
        return Region("face", box, None, landmarks, transform, detector, candidate.score)


def implausible(points: Floats, square: Box, five: Sequence[tuple[float, float]]) -> str:
    """Why 68 landmarks found in ``square`` cannot be a face's, '' where they can. five: the detector's points."""
    side = square[2] - square[0]
    if side < _TINY:
        return "too small to align"
    left, right, mouth = anchors(points)
    eyes = right - left
    span = float(np.hypot(*eyes))
    drop = mouth - (left + right) / 2
    below = float(eyes[0] * drop[1] - eyes[1] * drop[0]) / max(span, 1e-6)  # the mouth's distance under the eye line
    along = abs(float(eyes @ drop)) / max(span, 1e-6)
    if span < 0.18 * side or span > 0.75 * side or below < 0.2 * side or below > 0.9 * side or along > 0.45 * side:
        return "landmarks implausible"
    outside = boxes.expand(square, 2.0)[0]
    if (points < outside[:2]).any() or (points > outside[2:]).any():
        return "landmarks implausible"
    if five:
        seen = np.array([five[0], five[1], np.mean(five[3:5], axis=0)])
        if float(np.abs(np.stack([left, right, mouth]) - seen).max()) > _AGREE * side:
            return "turned too far: landmarks disagree with the detector"
    return ""


def assemble(
    sample: Sample,
    faces: Sequence[Region],
    width: int,
    height: int,
    wanted: str,
    kept: frozenset[str] = frozenset(),
) -> list[Region]:
    """Detected ``faces`` and the source's annotation made one list. wanted: ``face``, ``body`` or ``both``.

    kept: labels of people who are left as they are, so that their bodies hide nobody else's face.
    """
    singles = [person for person in sample.people if not person.many]
    owners = match(faces, singles)
    named = [_owned(face, singles[owners[i]]) if i in owners else face for i, face in enumerate(faces)]
    taken = set(owners.values())
    missed = [_head_region(person, width, height) for j, person in enumerate(singles) if j not in taken]
    groups = [
        Region(
            "face",
            _extent(p) or p.head or (0, 0, width, height),
            p.subject,
            (),
            (),
            "annotation",
            1.0,
            GROUP,
            p.silhouette,
        )
        for p in sample.people
        if p.many
    ]
    out = [*named, *missed, *groups]
    if wanted != "face":
        treated = [_body_region(person, width, height) for person in sample.people]
        hiding = [body for body in treated if body.label not in kept]
        out = [*treated, *(out if wanted == "both" else [f for f in named if not covered(f, hiding)])]
    clipped = [piece for piece in (_clipped(region, width, height) for region in out) if piece is not None]
    if not clipped and sample.someone:
        return [Region("face", (0.0, 0.0, float(width), float(height)), reason=NOBODY, detector="annotation")]
    return clipped


def match(faces: Sequence[Region], people: Sequence[Person]) -> dict[int, int]:
    """Face index → index of the person whose face it is; each at most once, the best total fit."""
    from scipy.optimize import linear_sum_assignment

    if not faces or not people:
        return {}
    cost = np.full((len(faces), len(people)), 1e6)
    for j, person in enumerate(people):
        head = head_box(person)
        if head is None:
            continue
        for i, face in enumerate(faces):
            cost[i, j] = misfit(face.box, head, person.body)
    rows, columns = linear_sum_assignment(cost)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if cost[i, j] < 1e6}


def misfit(face: Box, head: Box, body: Box | None) -> float:
    """How badly a face's box fits an expected head's: distance and size; 1e6 where it cannot be it."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    w, h = head[2] - head[0], head[3] - head[1]
    dx, dy = (x - (head[0] + head[2]) / 2) / max(w, 1e-6), (y - (head[1] + head[3]) / 2) / max(h, 1e-6)
    ratio = max(face[2] - face[0], face[3] - face[1]) / max(w, h, 1e-6)
    inside = body is None or (body[0] <= x <= body[2] and body[1] - 0.1 * h <= y <= body[3])
    if not inside or abs(dx) > 0.55 or abs(dy) > 0.55 or ratio > 2.5 or ratio < _LEAST_FACE:
        return 1e6
    return float(np.hypot(dx, dy) + 0.3 * abs(np.log(max(ratio, 1e-3) / 0.7)))


def head_box(person: Person) -> Box | None:
    """Where the person's head is: annotated, or the top of the silhouette or body; err large."""
    if person.head is not None:
        return person.head
    if person.silhouette is not None:
        head = _top_of_silhouette(person)
        if head is not None:
            return head
    if person.body is None:
        return None
    x0, y0, x1, y1 = person.body
    w, h = x1 - x0, y1 - y0
    if h < 12 or w < 5:
        return person.body
    tall = max(0.24 * h, min(h, 0.35 * w))
    if w > h:  # sitting, lying or cut: the head may be anywhere along the top
        return x0, y0, x1, y0 + 0.6 * h
    half = min(w, max(0.75 * w, tall)) / 2
    centre = (x0 + x1) / 2
    return centre - half, y0 - 0.02 * h, centre + half, y0 + tall


def _top_of_silhouette(person: Person) -> Box | None:
    from dsanon.sources.silhouettes import to_mask

    assert person.silhouette is not None
    mask = to_mask(person.silhouette)
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask.any(axis=0))
    wide = int(columns[-1]) + 1 - int(columns[0])
    tall = max(0.22 * (bottom - top), min(bottom - top, 0.3 * wide), 6)
    across = np.flatnonzero(mask[top : top + round(tall)].any(axis=0))
    x0, x1 = float(across[0]), float(across[-1]) + 1
    grow = max(0.0, (0.8 * tall - (x1 - x0)) / 2) + 2
    return x0 - grow, top - 2.0, x1 + grow, top + float(tall)


def _owned(face: Region, person: Person) -> Region:
    """A face under its person's label; one that is masked anyway covers all of where the head is expected."""
    head = head_box(person)
    box = as_box(boxes.hull([face.box, head])[0]) if face.reason and head else face.box
    return replace(face, label=person.subject, detector=f"{face.detector}+annotation", box=box)


def _head_region(person: Person, width: int, height: int) -> Region:
    box = head_box(person)
    body = _extent(person)
    if body is not None and (box is None or not _visible(box, width, height)) and _visible(body, width, height):
        # the guess lies beyond the border although part of the person is visible: the top of that part
        box = head_box(Person(body=as_box(boxes.clip([body], width, height)[0])))
    box = box or body or (0.0, 0.0, float(width), float(height))
    return Region("face", box, person.subject, detector="annotation", score=1.0, reason=NO_FACE)


def _body_region(person: Person, width: int, height: int) -> Region:
    """Somebody of whom nothing is known but that they are there may be anywhere: the whole picture."""
    box = _extent(person) or person.head or (0.0, 0.0, float(width), float(height))
    return Region("body", box, person.subject, (), (), "annotation", 1.0, "", person.silhouette)


def _extent(person: Person) -> Box | None:
    """The person's box, or their silhouette's."""
    from dsanon.sources.silhouettes import box_of

    if person.body is not None or person.silhouette is None:
        return person.body
    return box_of(person.silhouette)


def _visible(box: Box, width: int, height: int) -> bool:
    return bool(boxes.area(boxes.clip([box], width, height))[0] > 0)


def covered(face: Region, bodies: Sequence[Region]) -> bool:
    """Whether one treated body hides (nearly) all of a face: its silhouette where known, else its box."""
    from dsanon.sources.silhouettes import to_mask

    x0, y0, x1, y1 = (round(v) for v in face.box)
    for body in bodies:
        if boxes.area([face.box])[0] <= 0:
            continue
        if boxes.intersection([face.box], [body.box])[0, 0] < _COVERED * boxes.area([face.box])[0]:
            continue
        if body.silhouette is None:
            return True
        part = to_mask(body.silhouette)[max(0, y0) : y1, max(0, x0) : x1]
        if part.size and part.mean() >= _COVERED:
            return True
    return False


def ordered(regions: Sequence[Region]) -> list[Region]:
    """Bodies first, then faces; small before large, ties by box: back to front, the same on every run."""
    return sorted(regions, key=lambda r: (r.kind != "body", float(boxes.area([r.box])[0]), r.box))


def subject_of(sample: Sample, index: int, region: Region) -> str:
    """The source's label of a region's person, or a name of its own for somebody unlabelled."""
    return region.label if region.label is not None else f"unlabelled:{sample.id}#{index}"


def as_box(values: npt.ArrayLike) -> Box:
    """Four plain floats."""
    x0, y0, x1, y1 = (float(v) for v in np.asarray(values))
    return x0, y0, x1, y1


def _clipped(region: Region, width: int, height: int) -> Region | None:
    """The region within the photo, at least a pixel each way; None where nothing of it is visible."""
    x0, y0, x1, y1 = as_box(boxes.clip([region.box], width, height)[0])
    if x1 <= x0 or y1 <= y0:
        if region.landmarks or region.detector != "annotation":  # seen, so a sliver of it is visible
            x0, y0 = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
            return replace(region, box=(x0, y0, x0 + 1, y0 + 1))
        return None
    return replace(region, box=(x0, y0, min(float(width), max(x1, x0 + 1)), min(float(height), max(y1, y0 + 1))))
