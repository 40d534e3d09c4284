"""The first pass for one sample: who is or may be in the picture, and where. Nobody known to be there is skipped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.align import face_transform
from dsanon.detectors import Detection, Detector
from dsanon.detectors.union import FaceCandidate, landmark_square, unite
from dsanon.errors import BadImage
from dsanon.footprint import Footprint, footprint
from dsanon.heads import certain, extent, head_box, is_oval, match
from dsanon.sample import Box, Mask, Person, Pixels, Region, Sample
from dsanon.shapes import Predictor, fit

NO_FACE = "no face found: turned away, occluded or missed"
GROUP = "a group: heads are not annotated"
NOBODY = "a person must be here, but none was found"
BESIDE = "the landmarks lie beside what detectors saw"
# what a face that cannot be aligned is covered with: its box, and so much of it more on the left, above, on the right
# and below, for forehead, ears and chin; boxes of HOG and of dlib's CNN begin at the brows
_GROW = {"hog": (0.2, 0.45, 0.2, 0.2), "mmod": (0.2, 0.45, 0.2, 0.2)}
_GROW_OTHERS = (0.2, 0.2, 0.2, 0.2)
_HIDDEN = 0.6  # share of what a detector saw (brows to chin) that a face's outline covers, where it saw that face
_COVERED = 0.9  # a face of which so much lies in treated bodies needs no treatment of its own


class RegionFinder:
    """Detectors and landmarks, loaded once. regions: ``face``, ``body`` or ``both`` · kept: labels left as they are

    painted: a generator paints the bodies.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        landmarker: Predictor,
        regions: str,
        kept: frozenset[str] = frozenset(),
        painted: bool = False,
    ) -> None:
        self.detectors, self.landmarker = detectors, landmarker
        self.regions, self.kept, self.painted = regions, kept, painted

    def __call__(self, sample: Sample, pixels: Pixels) -> tuple[Region, ...]:
        """Every region of ``pixels`` (h, w, 3), in the order of :func:`ordered`. Raises BadImage."""
        height, width = pixels.shape[:2]
        refuse_outside(sample, width, height)
        candidates = unite([d for detector in self.detectors for d in detector(pixels)])
        faces = [face for candidate in candidates for face in self._faces(pixels, candidate)]
        regions = assemble(sample, faces, width, height, self.regions, self.kept, self.painted)
        return tuple(ordered(regions))

    def _faces(self, pixels: Pixels, candidate: FaceCandidate) -> list[Region]:
        """The candidate's face, and those of its detections that are another's: a child's before its parent's."""
        face = self._face(pixels, candidate)
        if face.reason:
            return [face]
        outline = footprint(face, pixels.shape[1], pixels.shape[0], soft=True)
        beside = [member for member in candidate.members if _hidden(member, outline, pixels) < _HIDDEN]
        if not beside:
            return [face]
        if len(beside) == len(candidate.members):
            cover = as_box(boxes.hull([face.box, *(grown(member) for member in beside)])[0])
            return [Region("face", cover, detector=face.detector, score=face.score, reason=BESIDE)]
        own = [member for member in candidate.members if member not in beside]
        return [more for part in (*unite(own), *unite(beside)) for more in self._faces(pixels, part)]

    def _face(self, pixels: Pixels, candidate: FaceCandidate) -> Region:
        points, reason = fit(pixels, candidate, self.landmarker)
        detector = "+".join(candidate.detectors)
        if points is None:
            box = as_box(boxes.hull([grown(member) for member in candidate.members])[0])
            return Region("face", box, detector=detector, score=candidate.score, reason=reason)
        low, high = points.min(0), points.max(0)
        box = as_box(boxes.hull([candidate.box, (low[0], low[1], high[0], high[1])])[0])
        transform = tuple(float(v) for v in face_transform(points).ravel())
        landmarks = tuple(float(v) for v in points.ravel())
        return Region("face", box, None, landmarks, transform, detector, candidate.score)


def _hidden(detection: Detection, outline: Footprint, pixels: Pixels) -> float:
    """Share of the square of a detected face, within the photo, that ``outline`` covers; 1 where none of it is."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = boxes.clip([landmark_square(detection)], width, height)[0].round().astype(int)
    if x1 <= x0 or y1 <= y0:
        return 1.0
    inside = outline.hard[
        max(0, y0 - outline.y0) : max(0, y1 - outline.y0), max(0, x0 - outline.x0) : max(0, x1 - outline.x0)
    ]
    return float(inside.sum() / ((x1 - x0) * (y1 - y0)))


def grown(detection: Detection) -> Box:
    """A detector's box, enlarged to hold forehead, ears and chin."""
    x0, y0, x1, y1 = detection.box
    left, above, right, below = _GROW.get(detection.detector, _GROW_OTHERS)
    w, h = x1 - x0, y1 - y0
    return x0 - left * w, y0 - above * h, x1 + right * w, y1 + below * h


def assemble(
    sample: Sample,
    faces: Sequence[Region],
    width: int,
    height: int,
    wanted: str,
    kept: frozenset[str] = frozenset(),
    painted: bool = False,
) -> list[Region]:
    """Detected ``faces`` and the source's annotation made one list. wanted: ``face``, ``body`` or ``both``.

    kept: labels of people who are left as they are. Their bodies hide nobody else's face, and a face that may be
    theirs or somebody else's is treated like a stranger's.
    painted: a generator paints the bodies.
    """
    people = [_placed(person, width, height) for person in sample.people]
    singles = [person for person in people if not person.many]
    owners = match(faces, singles)
    taken = set(owners.values())
    if kept:
        sure = certain(faces, singles)
        owners = {i: j for i, j in owners.items() if singles[j].subject not in kept or sure.get(i) == j}
    named = [_owned(face, singles[owners[i]]) if i in owners else face for i, face in enumerate(faces)]
    missed = [_head_region(person, width, height) for j, person in enumerate(singles) if j not in taken]
    groups = [
        Region(
            "face",
            extent(p) or p.head or (0, 0, width, height),
            p.subject,
            (),
            (),
            "annotation",
            1.0,
            GROUP,
            p.silhouette,
        )
        for p in people
        if p.many
    ]
    out = [*named, *missed, *groups]
    if wanted != "face":
        treated = [_body_region(person, width, height) for person in people]
        hides = hiding(treated, wanted, kept, painted)
        rest = [
            n
            for n, f in zip(named, faces, strict=True)
            if (wanted == "both" and not n.reason) or not (covered(n, hides) or _held(n, f, hides))
        ]
        if wanted == "both":
            outlines = {body.silhouette for body in hides}
            rest += [m for m in missed if m.silhouette not in outlines and not covered(m, hides)]
            rest += groups
        out = [*treated, *rest]
    inside = [piece for piece in (clipped(region, width, height) for region in out) if piece is not None]
    if not inside and sample.someone:
        return [Region("face", (0.0, 0.0, float(width), float(height)), reason=NOBODY, detector="annotation")]
    return inside


def _placed(person: Person, width: int, height: int) -> Person:
    """The person with their head in pixels."""
    if person.head_share is None:
        return person
    x0, y0, x1, y1 = person.head_share
    return replace(person, head=(x0 * width, y0 * height, x1 * width, y1 * height), head_share=None)


def _owned(face: Region, person: Person) -> Region:
    """A face under its person's label; where it is masked and the head is known, all of the head is masked with it."""
    box = as_box(boxes.hull([face.box, person.head])[0]) if face.reason and person.head else face.box
    return replace(face, label=person.subject, detector=f"{face.detector}+annotation", box=box)


def _head_region(person: Person, width: int, height: int) -> Region:
    """Where the head may be; where that is a guess, what of the silhouette lies there, or the middle of the box."""
    box, body = head_box(person), extent(person)
    if body is not None and (box is None or not _visible(box, width, height)) and _visible(body, width, height):
        # the guess lies beyond the border although part of the person is visible: the top of that part
        box = head_box(Person(body=as_box(boxes.clip([body], width, height)[0])))
    box = box or (0.0, 0.0, float(width), float(height))
    silhouette, oval = person.silhouette if person.head is None else None, is_oval(person, width, height)
    return Region("face", box, person.subject, (), (), "annotation", 1.0, NO_FACE, silhouette, oval=oval)


def _body_region(person: Person, width: int, height: int) -> Region:
    """Somebody of whom nothing is known but that they are there may be anywhere: the whole picture."""
    from dsanon.bodies import body_transform
    from dsanon.sources.silhouettes import to_mask

    box = extent(person) or person.head or (0.0, 0.0, float(width), float(height))
    transform: tuple[float, ...] = ()
    rle = person.silhouette
    if rle is not None and not person.many and (rle.height, rle.width) == (height, width):
        mask = to_mask(rle)
        transform = tuple(body_transform(mask).ravel().tolist()) if mask.any() else ()
    return Region("body", box, person.subject, (), transform, "annotation", 1.0, "", rle)


def refuse_outside(sample: Sample, width: int, height: int) -> None:
    """Raises BadImage for a still of which the source says that somebody is outside of it: they are somewhere in it.

    Of sequences people leave the picture.
    """
    people = [_placed(person, width, height) for person in sample.people]
    if sample.sequence is None and not all(_inside(person, width, height) for person in people):
        raise BadImage("an annotated person is outside of the picture: are the coordinates those of another size?")


def _inside(person: Person, width: int, height: int) -> bool:
    """Whether anything that is known of the person is in the picture; so is somebody of whom nothing is known."""
    places = [box for box in (extent(person), person.head) if box is not None]
    return not places or any(_visible(box, width, height) for box in places)


def _visible(box: Box, width: int, height: int) -> bool:
    return bool(boxes.area(boxes.clip([box], width, height))[0] > 0)


def hiding(bodies: Sequence[Region], wanted: str, kept: Collection[str], painted: bool) -> list[Region]:
    """Those ``bodies`` under which a face that cannot be painted, or was not found, needs no cover of its own.

    Where faces are wanted too (``both``) only bodies that are painted anew: of a blurred one a head is left to see.
    """
    own = [body for body in bodies if body.label not in kept]
    return own if wanted == "body" else [body for body in own if painted and body.transform]


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


def _held(named: Region, face: Region, bodies: Sequence[Region]) -> bool:
    """Whether a silhouette holds a face that would be covered by a box: the ellipse in what the detector saw.

    Corners are no face, nor is the room that :func:`grown` gave. Only where the box is that one, as it was ``face``'s:
    not where a head that the source knows was joined to it.
    """
    from dsanon.sources.silhouettes import to_mask

    if not face.reason or named.box != face.box:
        return False
    x0, y0, x1, y1 = face.box
    left, above, right, below = _GROW_OTHERS  # no more than any detector's
    w, h = (x1 - x0) / (1 + left + right), (y1 - y0) / (1 + above + below)
    seen = (x0 + left * w, y0 + above * h, x1 - right * w, y1 - below * h)
    for body in bodies:
        if body.silhouette is not None:
            mask = to_mask(body.silhouette)
            inside = _ellipse(seen, mask.shape)
            if inside.any() and mask[inside].mean() >= _COVERED:
                return True
    return False


def _ellipse(box: Box, shape: tuple[int, ...]) -> Mask:
    """The pixels (h, w) whose middle lies in the ellipse that touches the box's sides."""
    x0, y0, x1, y1 = box
    y, x = np.ogrid[: shape[0], : shape[1]]
    along, down = (2 * x + 1 - x0 - x1) / (x1 - x0), (2 * y + 1 - y0 - y1) / (y1 - y0)
    return np.asarray(along**2 + down**2 <= 1)


def ordered(regions: Sequence[Region]) -> list[Region]:
    """Bodies first, then what is covered, last the faces that are painted: a neighbour's cover must not hide them.

    Small before large, ties by box: back to front, the same on every run.
    """
    return sorted(regions, key=lambda r: (r.kind != "body", not r.reason, float(boxes.area([r.box])[0]), r.box))


def subject_of(sample: Sample, index: int, region: Region) -> str:
    """The source's label of a region's person; of somebody unlabelled a name for their track, or for this region."""
    return region.label if region.label is not None else f"unlabelled:{region.track or f'{sample.id}#{index}'}"


def as_box(values: npt.ArrayLike) -> Box:
    """Four plain floats."""
    x0, y0, x1, y1 = (float(v) for v in np.asarray(values))
    return x0, y0, x1, y1


def clipped(region: Region, width: int, height: int) -> Region | None:
    """The region within the photo, at least a pixel each way; None where nothing of it is visible."""
    x0, y0, x1, y1 = as_box(boxes.clip([region.box], width, height)[0])
    if x1 <= x0 or y1 <= y0:
        if region.landmarks or region.detector != "annotation":  # seen, so a sliver of it is visible
            x0, y0 = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
            return replace(region, box=(x0, y0, x0 + 1, y0 + 1))
        return None
    return replace(region, box=(x0, y0, min(float(width), max(x1, x0 + 1)), min(float(height), max(y1, y0 + 1))))
