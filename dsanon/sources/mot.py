"""MOT17, MOT20 and their forerunners: ``[train|test/]SEQUENCE/{img1,gt/gt.txt,det/det.txt,seqinfo.ini}``."""

from __future__ import annotations

import math
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from dsanon.boxes import area, clip, iou
from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Box, Person, Sample
from dsanon.sources.sequences import (
    frame_rate,
    frames_of,
    public_folder,
    public_path,
    publish_seqinfo,
    refuse_twice,
    sentences,
    sequence_names,
    stated_size,
)
from dsanon.sources.stills import (
    StillSource,
    check_targets,
    is_annotation,
    link_problem,
    printable,
    walk,
    write_aside,
)

# pedestrian, person on vehicle, static person, distractor (statues, but people half hidden, too), reflection, crowd
PEOPLE = frozenset({1, 2, 7, 8, 12, 13})
CROWD = 13  # MOT20's, as COCO's crowds and MOTS' regions to ignore: several people in one box
CLASSES = range(1, 14)  # the others are vehicles and what hides people (TrackEval's table)
PEDESTRIAN = 1  # what the benchmark scores, where the row's confidence is not 0
_GT, _DET = "gt/gt.txt", "det/det.txt"
# frame id x y w h conf [class [visibility]]; MOT15 has ten: world coordinates behind conf, all are pedestrians
_FIELDS: dict[str, Container[int]] = {_GT: range(7, 11), _DET: range(6, 11)}
_MOT15 = 10
# Intersection over union from which a detection is of an annotated person, as the benchmark matches them. Of 256
# detections in 12 frames of MOT17 two have less; a child before somebody larger has.
_SAME = 0.5
# somebody of whom det.txt alone tells: no label, and nobody whom the benchmark scores
_DETECTED = Person(aside=True)


class _Row(NamedTuple):
    number: int
    text: str
    values: list[float]

    @property
    def frame(self) -> int:
        return int(self.values[0])


class MotSource(StillSource):
    """Crowds with boxes and tracks."""

    dataset = "mot"
    scope = "sequence"
    regions = "face"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        if not self._folders():
            raise SourceError(
                f"no SEQUENCE/img1 in {os.fspath(root)!r}: --dataset mot expects the folder that holds the sequences,"
                " or train/ and test/ above them"
            )

    def inputs(self) -> list[Path]:
        """gt.txt, det.txt and seqinfo.ini of each sequence."""
        paths = [folder / name for folder in self._folders() for name in (_GT, _DET, "seqinfo.ini")]
        return [path for path in paths if is_annotation(self.root, path)]

    def samples(self) -> list[Sample]:
        """Every frame that is there, with the people that gt.txt and det.txt tell of. Raises SourceError.

        det.txt has the public detections, all that a sequence without gt.txt tells of people, and who published them
        has left out what was too unsure: so each is taken for somebody, whatever its confidence, unless it is one of
        those that gt.txt has (which is complete only for the people that the benchmark considers). Nothing tells of
        bodies in a frame of which gt.txt has no row and that is before det.txt's first frame or behind its last: it may
        be one at which nobody looked.
        """
        sequences = _sequences(walk(self.root)[0])
        if not sequences:
            raise SourceError(f"no frame in {os.fspath(self.root)!r}: expected SEQUENCE/img1/000001.jpg")
        names = sequence_names(sequences)
        samples = [s for folder, frames in sequences.items() for s in self._scan(folder, names[folder], frames)]
        check_targets(sample.file for sample in samples)
        return samples

    def target(self, sample: Sample, names: Names) -> str:
        """Its own path, with a token where the name of the sequence may be somebody's."""
        return public_path(sample.file, names)

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Write gt.txt, det.txt and seqinfo.ini for the frames that are released."""
        dropped, shortened, renamed = 0, False, 0
        for folder, frames in _sequences(sample.file for sample in released).items():
            public = public_folder(folder, names)
            renamed += public != folder
            for name in (_GT, _DET):
                if not is_annotation(self.root, self.root / folder / name):
                    continue  # else an empty file would be made
                rows = list(self._rows(folder, name))
                kept = [row.text for row in rows if row.frame in frames]
                dropped += len(rows) - len(kept)
                write_aside(data, f"{public}/{name}", "".join(f"{text}\n" for text in kept).encode())
            shortened |= publish_seqinfo(self.root, data, folder, frames, names)
        images, others = walk(self.root)
        used = set(self.inputs()) | {
            self.root / file for frames in _sequences(images).values() for file in frames.values()
        }
        left = sum(self.root / file not in used for file in [*images, *others])
        detected = sum(person == replace(_DETECTED, body=person.body) for s in released for person in s.people)
        return [*sentences(renamed, dropped, shortened, left), *_of_detections(detected)]

    def _folders(self) -> list[Path]:
        return sorted(folder.parent for pattern in ("*/img1", "*/*/img1") for folder in self.root.glob(pattern))

    def _scan(self, folder: str, sequence: str, frames: Mapping[int, str]) -> Iterator[Sample]:
        size = stated_size(self.root / folder / "seqinfo.ini")
        people: dict[int, list[Person]] = {}
        seen: set[tuple[int, str]] = set()
        annotated: set[int] = set()
        for row in self._rows(folder, _GT):
            annotated.add(row.frame)
            where = f"{folder}/{_GT} line {row.number}"
            for person in _people(row.values, sequence, size, where):
                people.setdefault(row.frame, []).append(person)
                refuse_twice(seen, row.frame, person.subject, where)
        detections: dict[int, list[Box]] = {}
        for row in self._rows(folder, _DET):
            detections.setdefault(row.frame, []).append(_box(row.values, size))
        _check_count(annotated, frames.keys(), f"{folder}/{_GT}")
        _check_count(detections.keys(), frames.keys(), f"{folder}/{_DET}")
        for frame in detections.keys() & frames.keys():
            people.setdefault(frame, []).extend(_others(detections[frame], people.get(frame, ())))
        detected = range(min(detections), max(detections) + 1) if detections else range(0)
        rate = frame_rate(self.root / folder / "seqinfo.ini")
        for frame, image in frames.items():
            yield Sample(
                printable(image),
                image,
                people=tuple(people.get(frame, ())),
                sequence=sequence,
                size=size,
                problem=link_problem(self.root, image),
                time=frame / rate,
                bodies=frame in annotated or frame in detected,
            )

    def _rows(self, folder: str, name: str) -> Iterator[_Row]:
        """The rows of gt.txt or det.txt that are not empty, if there is any. Raises SourceError with file and line."""
        if not is_annotation(self.root, self.root / folder / name):
            return
        try:
            lines = (self.root / folder / name).read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            raise SourceError(
                f"{folder}/{name} cannot be read as rows of numbers: expected frame,id,x,y,w,h,…"
            ) from None
        for number, line in enumerate(lines, start=1):
            text = line.strip().rstrip(",")
            if not text:
                continue
            where = f"{folder}/{name} line {number}"
            parts = text.split(",")
            if len(parts) not in _FIELDS[name]:
                raise SourceError(f"{where} has {len(parts)} fields: expected frame,id,x,y,w,h,conf,class,visibility")
            try:
                values = [float(part) for part in parts]
            except ValueError:
                values = [math.nan]
            if not all(map(math.isfinite, values)) or values[0] != int(values[0]):
                raise SourceError(f"{where} is {text[:60]!r}: expected numbers, first that of a frame")
            yield _Row(number, text, values)


def _sequences(files: Iterable[str]) -> dict[str, dict[int, str]]:
    """Folder of a sequence → frame number → file, of what is in ``FOLDER/img1/``. Raises SourceError."""
    inside = (file for file in files if PurePosixPath(file).parent.name == "img1" and file.count("/") in (2, 3))
    return {folder.removesuffix("/img1"): frames for folder, frames in frames_of(inside).items()}


def _check_count(told: Set[int], frames: Set[int], file: str) -> None:
    """Raises SourceError where the frames that ``file`` tells of are counted otherwise than the images are.

    Each box would lie where its person is a frame earlier or later.
    """
    if not told:
        return
    if min(told) < 1 and min(told) not in frames:
        raise SourceError(
            f"{file} counts frames from {min(told)}, img1 from {min(frames)}: expected frame 1 for 000001.jpg; renumber"
            " its rows"
        )
    if not told & frames:
        raise SourceError(
            f"{file} has no row of any frame in img1: expected frame 1 for 000001.jpg; number its rows so, or remove it"
        )
    if 0 in frames and 0 not in told:
        raise SourceError(
            f"{file} counts frames from 1, img1 from 0: expected frame 1 for 000001.jpg; rename the images"
        )


def _people(values: Sequence[float], sequence: str, size: tuple[int, int] | None, where: str) -> Iterator[Person]:
    """The person or people of a row; nobody for other classes, and for a box that is wholly outside the image."""
    kind = values[7] if 8 <= len(values) < _MOT15 else PEDESTRIAN
    if kind not in CLASSES:
        raise SourceError(
            f"{where}: class {kind:g} is unknown: expected 1 (pedestrian) to {CLASSES[-1]}; correct or remove the row"
        )
    if kind not in PEOPLE:
        return
    width, height = values[4:6]
    if width <= 0 or height <= 0:
        raise SourceError(f"{where}: the box is {width:g} x {height:g} pixels: correct or remove the row")
    box = _box(values, size)
    if box[0] < box[2] and box[1] < box[3]:
        scored = values[6] != 0 if len(values) > 6 else True
        if kind == CROWD:
            yield Person(body=box, many=True)
        else:
            if values[1] < 0:  # nobody's number, and so no track of a benchmark
                yield Person(body=box)
                return
            subject = f"{sequence}/{int(values[1])}"
            yield Person(subject=subject, body=box, aside=not (scored and kind == PEDESTRIAN))


def _box(values: Sequence[float], size: tuple[int, int] | None) -> Box:
    """The box of a row, within the image where its size is known."""
    x, y, width, height = values[2:6]
    box: Box = (x - 1, y - 1, x - 1 + width, y - 1 + height)  # MOT counts pixels from 1
    if size:
        x0, y0, x1, y1 = clip([box], *size)[0].tolist()
        box = x0, y0, x1, y1
    return box


def _others(detections: Sequence[Box], people: Iterable[Person]) -> Iterator[Person]:
    """Those of the detections in a frame that are none of its annotated people; who is not in the image is nobody."""
    known = [person.body for person in people if person.body is not None]
    with np.errstate(all="ignore"):  # of a box beyond floating point nothing is known: it is somebody
        alike, areas = iou(detections, known).max(axis=1, initial=0), area(detections)
    for box, visible, best in zip(detections, areas, alike, strict=True):
        if visible > 0 and not best >= _SAME:
            yield replace(_DETECTED, body=box)


def _of_detections(number: int) -> Iterator[str]:
    """What CARD.md says of people whom only det.txt tells of."""
    if number:
        yield (
            f"{number} people are known from det.txt alone, its public detections (every box, whatever its confidence,"
            f" whose intersection over union with those of gt.txt is below {_SAME:g}). Where gt.txt is missing,"
            " the body of whoever was missed by that detector is in the pictures as it was."
        )
