"""Source faces and bodies found again in a release: where they were, moved, or in places that nobody treated.

The thresholds stand between two distributions of 3,246 face regions of ciagan releases (LFW 1,934, CelebA 207, COCO
498, MOT17 607; 1,982 painted, the others masked). Against their release: at most 0.78 in place and 0.92 anywhere: no
false alarm. Against their own photo as a JPEG of quality 75: all 2,425 are found whose inner part has 24 pixels or
more, and 807 of the 821 smaller ones. Measured again on 1,348 (LFW 685, CelebA 158, COCO 505): all of 894 and 444 of
454; at quality 50 all of 894, and 377 of 454.

A body's: 201 people of COCO of 24 pixels or more, 184 of them with enough textured cells; the others are compared by
their light alone. Of these cells of the very photo as a JPEG of quality 50, lighter by 14 or not, or at 0.6 times the
contrast, at most 0.04 have another texture; at 1.3 times, which clips, less than 0.1 in four of five only. Covered:
0.27 and more. In a mosaic, 0.18 and more; blurred, likewise but for 2 small ones, whose texture the blur left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from dsanon import boxes
from dsanon.detectors import Detection, Detector
from dsanon.errors import BadImage
from dsanon.images import decode, read_regular
from dsanon.regions import as_box
from dsanon.sample import Box, Mask, Pixels, Unreadable
from dsanon.sources.clip import decoded, probe, to_rgb
from dsanon.sources.silhouettes import to_mask
from dsanon_eval.leaks.finding import Finding
from dsanon_eval.leaks.likeness import Searched, at_place, face_of, other_texture
from dsanon_eval.leaks.opened import Case, Seen, is_clip
from dsanon_eval.seeing.clips import ClipFrames

PLACE, PLACE_SMALL = 0.9, 0.8  # correlation of a face with what stands in its place; of one too small to search for
FOUND = 0.95  # … with the best place of the whole photo: there are many
CELLS = 16  # a body's box is compared in so many cells each way, for its outline is in neither manifest nor map
SAME_BODY, STEP = 0.02, 8  # one of which less than this share changed by more than STEP levels is untouched
SAME_TEXTURE = 0.1  # … as is one of whose textured cells less than this share has another texture
COVER = 1.3  # times a region's box: what its cover may reach
SLIGHT = 0.05  # share of a box that a silhouette takes up, below which it tells too little
SURE = {"hog": 0.5, "centerface": 0.6, "mmod": 0.9, "yunet": 0.8, "retinaface": 0.9}  # scores of what surely is a face
# … of what is no chance: below it, a detector that finds nothing there in the source has only seen the encoder's noise
STARK = {"hog": 0.73, "centerface": 0.8}
LEAST = 16  # pixels of a face that a detector can be sure of
STRIDE = 8  # frames of a clip between two looks with the detectors
SPREAD = 12  # levels of deviation that a frame of plain grey may have after encoding
# correlation of small pictures, and by how much another sample's source is nearer than the photo's own
SAME_PHOTO, NEARER = 0.97, 0.1
THUMB = 16  # pixels of the small picture by which whole photos are compared

Vector = npt.NDArray[np.float32]  # (THUMB * THUMB,), of length 1


@dataclass(frozen=True, slots=True)
class Looked:
    """compared: regions set against their source · release, original: small pictures of a still, None otherwise"""

    file: str
    findings: tuple[Finding, ...]
    compared: int = 0
    release: Vector | None = None
    original: Vector | None = None


def look(case: Case, detectors: Sequence[Detector]) -> Looked:
    """Everything that one released picture or clip shows of its source. Never raises for what is in a file."""
    if is_clip(case.file):
        return _look_at_clip(case, detectors)
    release = _read(case.path)
    if release is None:
        return Looked(case.file, (Finding("file", case.file, "cannot be decoded: nobody knows what it shows"),))
    original = _read(case.original) if case.original else None
    findings, compared = _look(case, case.regions, original, release, detectors, "")
    thumb = None if original is None else _small(original)
    return Looked(case.file, tuple(findings), compared, _small(release), thumb)


def strangers(seen: Sequence[Looked]) -> Iterator[Finding]:
    """Pictures that show another sample's source instead of their own: whole photos, exchanged or pasted in."""
    stills = [look for look in seen if look.release is not None and look.original is not None]
    if not stills:
        return
    originals = np.stack([look.original for look in stills if look.original is not None])
    for start in range(0, len(stills), 128):
        piece = stills[start : start + 128]
        likeness = np.stack([look.release for look in piece if look.release is not None]) @ originals.T
        for row, look in enumerate(piece):
            best, own = likeness[row].max(), likeness[row, start + row]
            if best > SAME_PHOTO and best - own > NEARER:
                yield Finding("pixels", look.file, "shows the source of another sample, not its own")


def _look_at_clip(case: Case, detectors: Sequence[Detector]) -> Looked:
    findings: list[Finding] = []
    compared = 0
    regions: dict[int | None, list[Seen]] = {}
    for region in case.regions:
        regions.setdefault(region.frame, []).append(region)
    originals = None if case.original is None else ClipFrames(case.original)
    try:
        clip = probe(case.path)
        for index, frame in decoded(case.path, clip):
            release = to_rgb(frame, clip)
            if release is None or index >= len(clip.times):
                findings.append(Finding("file", case.file, f"frame {index} cannot be decoded, or is not in the index"))
                continue
            if index in case.withheld:
                if release.std() > SPREAD:
                    findings.append(Finding("pixels", case.file, f"frame {index} was withheld, and is not plain grey"))
                continue
            looking = detectors if index % STRIDE == 0 else ()
            original = originals.at(index) if originals else None
            found, count = _look(case, regions.get(index, ()), original, release, looking, f"frame {index}, ")
            findings += found
            compared += count
    except (BadImage, FFmpegError, OSError) as error:
        findings.append(Finding("file", case.file, f"cannot be decoded as a video ({type(error).__name__})"))
    return Looked(case.file, tuple(findings), compared)


def _look(
    case: Case,
    regions: Sequence[Seen],
    original: Pixels | None,
    release: Pixels,
    detectors: Sequence[Detector],
    where: str,
) -> tuple[list[Finding], int]:
    cv2.setNumThreads(1)
    findings, compared = [], 0
    height, width = release.shape[:2]
    regions = [replace(region, box=as_box(boxes.clip([region.box], width, height)[0])) for region in regions]
    if any(boxes.area([region.box])[0] <= 0 for region in regions):
        findings.append(Finding("manifest", case.file, f"{where}a region lies outside of the picture"))
        regions = [region for region in regions if boxes.area([region.box])[0] > 0]
    if original is not None and original.shape != release.shape:
        findings.append(Finding("pixels", case.file, f"{where}another size than its source: it cannot be compared"))
    elif original is not None:
        searched = Searched(original, release)
        for region in regions:
            if region.status not in ("anonymized", "fallback"):
                continue
            compared += 1
            if message := _survives(region, original, release, searched):
                findings.append(Finding("pixels", case.file, f"{where}region {region.number}: {message}"))
    same = original if original is not None and original.shape == release.shape else None
    for box, inside in _untreated(regions, release, same, detectors):
        x, y = round((box[0] + box[2]) / 2), round((box[1] + box[3]) / 2)
        place = "in the region of a body or of a cover" if inside else "where no region is"
        message = f"{where}an untouched face around ({x}, {y}), {place}: treat it, or withhold the sample"
        findings.append(Finding("pixels", case.file, message))
    return findings, compared


def _survives(region: Seen, original: Pixels, release: Pixels, searched: Searched) -> str:
    """What of the source is left of a region, '' for nothing."""
    if region.kind == "body":
        (x0, y0), (x1, y1) = np.floor(region.box[:2]).astype(int), np.ceil(region.box[2:]).astype(int)
        before, after = original[y0:y1, x0:x1], release[y0:y1, x0:x1]
        untouched = _changed(before, after) < SAME_BODY or other_texture(before, after) < SAME_TEXTURE
        return "the source's body is untouched: treat it, or withhold the sample" if untouched else ""
    face = face_of(region.box, region.landmarks, region.transform)
    weak = f" ({region.method} is a control, not protection)" if region.method in ("blur", "pixelate") else ""
    within = _covered(region, original.shape[:2])
    here = at_place(original, release, face, within)
    found = searched.find(face.core)
    if here >= (PLACE_SMALL if found is None else PLACE):
        return f"the source's face is still there, correlation {here:.2f}{weak or ': treat it, or withhold the sample'}"
    if found is None or found[0] < FOUND:
        return ""
    dx, dy = round(found[1]), round(found[2])
    size = max(face.core[2] - face.core[0], face.core[3] - face.core[1])
    if max(abs(dx), abs(dy)) <= 0.15 * size:
        if within is not None:  # what stands around a covered silhouette is the source's, and was looked at above
            return ""
        return f"the source's face is still there, correlation {found[0]:.2f}{weak}"
    return f"the source's face is found again ({dx:+d}, {dy:+d}) pixels away, correlation {found[0]:.2f}"


def _covered(region: Seen, shape: tuple[int, ...]) -> Mask | None:
    """(h, w) what of the region's box was covered, where that is the person's silhouette; None: all of it."""
    if region.silhouette is None:
        return None
    mask = to_mask(region.silhouette)
    (x0, y0), (x1, y1) = np.floor(region.box[:2]).astype(int), np.ceil(region.box[2:]).astype(int)
    return mask if mask.shape == shape and mask[y0:y1, x0:x1].mean() >= SLIGHT else None


def _changed(one: Pixels, other: Pixels) -> float:
    """Share of CELLS × CELLS mean brightnesses that differ, and not as most do.

    A JPEG's noise is gone in them, a person's cover is not.
    """
    a, b = (
        cv2.resize(p, (CELLS, CELLS), interpolation=cv2.INTER_AREA).mean(axis=2, dtype=np.float32) for p in (one, other)
    )
    difference = a - b
    return float((np.abs(difference - np.median(difference)) > STEP).mean())


def _untreated(
    regions: Sequence[Seen], release: Pixels, original: Pixels | None, detectors: Sequence[Detector]
) -> list[tuple[Box, bool]]:
    """Faces that a detector is sure of, in no painted face's region; each once, and whether another region holds it.

    Where no region is nothing was painted: they are the source's. What of a body's region was painted nobody knows, nor
    what of a cover's, which may be a silhouette or an oval: there they are only if they show the source's pixels.
    """
    shown = [region.status == "kept" or (region.kind == "face" and region.status != "fallback") for region in regions]
    known = [region.box for region, face in zip(regions, shown, strict=True) if face]
    others = [region.box for region, face in zip(regions, shown, strict=True) if not face]
    alone: list[tuple[Box, bool]] = []
    for detector in detectors:
        before: list[Detection] | None = None
        for face in detector(release):
            if face.score < SURE.get(face.detector, 1.0) or min(_sides(face.box)) < LEAST:
                continue
            if _lies_in(face.box, known):
                continue
            inside = _lies_in(face.box, others)
            if inside and (original is None or at_place(original, release, face_of(face.box, (), ())) < PLACE):
                continue
            stark = face.score >= STARK.get(face.detector, 0.0)
            if original is not None and not stark and not _altered(face.box, original, release, regions):
                before = detector(original) if before is None else before
                if not before or boxes.iou([face.box], [other.box for other in before]).max() < 0.3:
                    continue
            known.append(face.box)
            alone.append((face.box, inside))
    return alone


def _lies_in(box: Box, others: Sequence[Box]) -> bool:
    """Whether ``box`` and one of the ``others`` share three tenths of the smaller one."""
    return bool(others) and bool(boxes.intersection_over_smaller([box], others).max() >= 0.3)


def _altered(box: Box, original: Pixels, release: Pixels, regions: Sequence[Seen]) -> bool:
    """Whether what stands in a box is not what stood there, but for the edges of covers that reach into it."""
    height, width = release.shape[:2]
    x0, y0, x1, y1 = (round(v) for v in as_box(boxes.clip([box], width, height)[0]))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)  # a face that the edge cuts may show less than half a pixel
    place = slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))
    before, after = original[place], release[place].copy()
    for region in regions:
        left, top, right, bottom = (round(v) for v in as_box(boxes.expand([region.box], COVER)[0]))
        edge = slice(max(0, top - y0), max(0, bottom - y0)), slice(max(0, left - x0), max(0, right - x0))
        after[edge] = before[edge]
    return _changed(before, after) >= SAME_BODY


def _sides(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _read(path: Path) -> Pixels | None:
    data = read_regular(path)
    if isinstance(data, Unreadable):
        return None
    try:
        return decode(data)[0]
    except (BadImage, MemoryError):
        return None


def _small(pixels: Pixels) -> Vector:
    """The photo at THUMB × THUMB grey values, without its mean, of length 1."""
    grey = cv2.cvtColor(cv2.resize(pixels, (THUMB, THUMB), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    vector = grey.astype(np.float32).ravel()
    vector -= vector.mean()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), np.float32)
