"""The values that travel between the stages: samples, people, photos, regions.

All are frozen and cheap to pickle; pixels live only in :class:`Photo`, which stays inside one process.
Coordinates are pixels of the decoded sample, x to the right, y down; boxes are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]  # (h, w, 3), RGB
Mask = npt.NDArray[np.bool_]  # (h, w)
Box = tuple[float, float, float, float]  # x0 y0 x1 y1, half-open
Kind = Literal["face", "body"]
TRACK = "track"  # the "detector" of a face that nobody saw in that frame: the neighbouring ones tell of it
Status = Literal["anonymized", "fallback", "kept", "empty", "quarantined"]


@dataclass(frozen=True, slots=True)
class Rle:
    """A silhouette as COCO's compressed run lengths: ``height, width`` and ``counts`` (pycocotools' bytes)."""

    height: int
    width: int
    counts: bytes

    def as_coco(self) -> dict[str, Any]:
        """The dict that ``pycocotools.mask`` takes."""
        return {"size": [self.height, self.width], "counts": self.counts}


@dataclass(frozen=True, slots=True)
class Person:
    """One person as the source annotates them in one sample; everything but the fact may be unknown.

    subject: the source's label of the person (None: unlabelled, so a subject of their own)
    body: box of the whole visible person · head: box of the head, where the source knows or implies it
    head_share: the same in shares of the picture's sides, where they tell it: LFW centres its faces
    points: left eye, right eye, nose, left and right mouth corner, left as the viewer sees it (CelebA)
    silhouette: the person's pixels · many: the region stands for several people (COCO crowd, MOTS ignore)
    aside: treated like everybody else, but benchmarks don't score it (MOT's distractors, static people, reflections)
    """

    subject: str | None = None
    body: Box | None = None
    head: Box | None = None
    head_share: Box | None = None
    points: tuple[tuple[float, float], ...] = ()
    silhouette: Rle | None = None
    many: bool = False
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One image, or one frame of a video, before it is read.

    id: unique in the source (relative path, with ``#000012`` behind it for a frame) and ascending in source order; but
    frames that are files of their own come by their numbers, 2.jpg before 10.jpg
    file: path relative to SOURCE, with forward slashes · frame: index of the frame in a video file
    sequence: the sequence it belongs to (None: a still) · size: (width, height) that the annotation states
    someone: the source promises at least one person (LFW, CelebA): never released as ``empty``
    problem: why it can be quarantined unread (a symbolic link, a missing file)
    time: seconds since its sequence began, where the source tells (None: its frames are taken to be evenly spaced)
    bodies: the source tells where people are, head to foot, as no detector here does: who is not in ``people`` is taken
    not to be there
    """

    id: str
    file: str
    people: tuple[Person, ...] = ()
    frame: int | None = None
    sequence: str | None = None
    size: tuple[int, int] | None = None
    someone: bool = False
    problem: str | None = None
    time: float | None = None
    bodies: bool = False

    @property
    def located(self) -> bool:
        """Whether the source says in pixels where somebody is; where its pictures mostly have a head says nothing."""
        return any(p.body or p.head or p.points or p.silhouette for p in self.people)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the sample was stored, so that the release stores it alike (and nothing of its metadata).

    format: Pillow's name (JPEG, PNG, …) · grey: one channel · qtables, subsampling: of a JPEG, so that
    blocks that nobody touched survive re-encoding almost unchanged
    """

    format: str
    grey: bool = False
    qtables: tuple[tuple[int, ...], ...] = ()
    subsampling: int = -1
    progressive: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A decoded sample. sha256: hex digest of the source file's bytes (of a video: of the whole file)."""

    pixels: Pixels
    encoding: Encoding
    sha256: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A sample that could not be decoded: it travels as a value, and ends as a quarantined row."""

    reason: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    """One person's face or body in one sample, as the first pass found it.

    box: of the face or body · label: the source's label (None: a subject of its own)
    landmarks: 68 × 2 source pixels, () where the face could not be aligned
    transform: 2 × 3, row by row, source pixels to the crop that is painted, () where none can be: of a body, where
    its silhouette is not known, or is that of several people
    detector: names that found it, joined by ``+`` (``annotation`` among them), or ``TRACK`` · score: the best of theirs
    reason: why it cannot be aligned, so that ``--on-miss`` decides ('' where it can)
    silhouette: of a body, where it is known
    look: appearance of a detected face in a sequence (:func:`dsanon.appearance.look`), so that it is told from others
    track: of somebody unlabelled in a sequence: a name for all of their regions in it
    note: what the manifest says of a region that was filled in from other frames
    oval: the ellipse in the box is covered, not its corners: a head whose place is guessed from somebody who stands
    """

    kind: Kind
    box: Box
    label: str | None = None
    landmarks: tuple[float, ...] = ()
    transform: tuple[float, ...] = ()
    detector: str = ""
    score: float = 0.0
    reason: str = ""
    silhouette: Rle | None = None
    look: bytes = b""
    track: str = ""
    note: str = ""
    oval: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What the first pass knows of one sample: its size, its regions, or why it is quarantined.

    thumbnail: of a frame of a sequence (:func:`dsanon.appearance.thumbnail`), so that cuts are seen
    """

    sample: str
    width: int = 0
    height: int = 0
    regions: tuple[Region, ...] = field(default=())
    problem: str = ""
    sha256: str = ""
    thumbnail: bytes = b""
