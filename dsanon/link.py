"""The stage between finding and rendering, for one sequence: regions of frames become regions of tracks.

First all frames are associated in order, which needs little of each; then windows of frames are steadied and filled,
each with its neighbours on both sides, so that memory is flat and no joint is to be seen between windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from dsanon import boxes
from dsanon.body_tracks import steadied
from dsanon.errors import DsanonError
from dsanon.filling import SURE, View, lasting, whole
from dsanon.footprint import footprint
from dsanon.found import read_found, read_thumbnails
from dsanon.heads import extent
from dsanon.missed import anywhere, covers
from dsanon.regions import NO_FACE, clipped, covered, hiding, ordered
from dsanon.sample import TRACK, Box, Found, Region, Rle, Sample
from dsanon.smoothing import RATE
from dsanon.tracks import GAP, NONE, Tracks, associate, scenes

WINDOW, MARGIN = 240, 90  # frames that are decided at once, and that are looked at (at least) on either side
_BRIEF = 0.2  # seconds for which a face is believed to go on although the source has a person whose face nobody saw
_SEEN = 0.8  # share of a guess that lies in what was seen: it adds nothing


@dataclass(slots=True)
class _Frame:
    """A frame on its way through the windows.

    regions: those of no track · own, bodies: faces, and bodies of unlabelled people, by track, as they were found
    """

    sample: Sample
    found: Found
    time: float
    scene: int
    regions: list[Region] = field(default_factory=list)
    own: dict[int, Region] = field(default_factory=dict)
    bodies: dict[int, Region] = field(default_factory=dict)


def link(
    samples: Sequence[Sample], paths: Sequence[Path], wanted: str, kept: Set[str], painted: bool = False
) -> Iterator[Found]:
    """The rows of the second pass, from those of the first at ``paths``, which are read two or three times.

    wanted: ``face``, ``body`` or ``both`` · kept: labels of people who are left as they are
    painted: a generator paints the bodies
    """
    times = _times(samples)
    scene = scenes(read_thumbnails(*paths))
    tracks = associate(read_found(*paths), times, scene, kept)
    strangers = Tracks([[NONE] * len(numbers) for numbers in tracks.numbers])
    if wanted != "face":
        strangers = associate(read_found(*paths), times, scene, kept, _is_stranger)
    frames = _frames(samples, read_found(*paths), times, scene, tracks, strangers)
    margin = _margin(times)
    window = deque(islice(frames, WINDOW + margin))
    decided = 0  # of the window's frames, the first ones
    while len(window) > decided:
        stop = min(decided + WINDOW, len(window))
        hides = partial(hiding, wanted=wanted, kept=kept, painted=painted)
        yield from _decided(list(window), decided, stop, tracks, hides, wanted == "body")
        decided = min(stop, margin)
        for _ in range(stop - decided):
            window.popleft()
        window.extend(islice(frames, decided + WINDOW + margin - len(window)))


def _times(samples: Sequence[Sample]) -> list[float]:
    """Seconds of each frame, ascending; frames that do not tell are taken to be evenly spaced. Raises DsanonError."""
    known = [sample.time for sample in samples if sample.time is not None]
    if not all(a < b for a, b in pairwise(known)):
        raise DsanonError("the frames of a sequence are not in the order of their times: nothing is linked across them")
    if len(known) == len(samples):
        return known
    return [number / RATE for number in range(len(samples))]


def _margin(times: Sequence[float]) -> int:
    """Frames on either side of a window that can have a say in it: as many as a gap and an extension may span."""
    at = np.asarray(times)
    return max(MARGIN, int((np.searchsorted(at, at + GAP + SURE, side="right") - np.arange(len(at))).max(initial=0)))


def _frames(
    samples: Iterable[Sample],
    rows: Iterable[Found],
    times: Iterable[float],
    scene: Iterable[int],
    tracks: Tracks,
    strangers: Tracks,
) -> Iterator[_Frame]:
    for sample, found, time, now, numbers, others in zip(
        samples, rows, times, scene, tracks.numbers, strangers.numbers, strict=True
    ):
        frame = _Frame(sample, found, time, now)
        for number, other, region in zip(numbers, others, found.regions, strict=True):
            if other != NONE:
                frame.bodies[other] = replace(region, track=strangers.names[other])
                continue
            if number == NONE:
                frame.regions.append(region)
                continue
            label = tracks.labels[number]
            track = tracks.names[number] if label is None else ""
            frame.own[number] = replace(region, label=label, track=track, look=b"")
        yield frame


def _decided(
    frames: Sequence[_Frame],
    start: int,
    stop: int,
    tracks: Tracks,
    hides: Callable[[Sequence[Region]], list[Region]],
    bodies_alone: bool,
) -> Iterator[Found]:
    """The rows of ``frames[start:stop]``; the others are their neighbours. hides: see :func:`_row`, of these bodies"""
    view = View(
        np.array([frame.time for frame in frames]),
        [frame.scene for frame in frames],
        [(frame.found.width, frame.found.height) for frame in frames],
        frozenset(i for i, frame in enumerate(frames) if frame.found.problem),
    )
    rest = [list(frame.regions) for frame in frames]
    tracked: list[dict[int, Region]] = [{} for _ in frames]
    heads, bodies = _heads(view, frames, rest)
    for number, seen in _by_track(frame.own for frame in frames).items():
        label = tracks.labels[number] or ""
        missed = heads.get(label, {})
        faces = whole(view, seen, set(missed))
        for i in missed.keys() & faces.keys() - seen.keys():
            if not _goes_on(view, i, seen, faces[i], missed[i]):
                del faces[i]
        for i, region in faces.items():
            tracked[i][number] = region
        sure = {i: faces[i] for i, face in seen.items() if i in faces and "annotation" in face.detector.split("+")}
        told = covers(view, bodies.get(label, {}), sure, missed)
        for i, head in missed.items():
            better = told.get(i, head)
            if i in faces.keys() - seen.keys():
                better = tracked[i].pop(number)  # in the head's stead, whatever else is there
            rest[i] = [other for other in rest[i] if other is not head] + [better]
    _steady_bodies(view, rest)
    _keep_strangers(view, frames, rest)
    for i in range(start, stop):
        under = hides([region for region in rest[i] if region.kind == "body"])
        yield _row(frames[i].found, rest[i], tracked[i], under, bodies_alone)


def _steady_bodies(view: View, rest: Sequence[list[Region]]) -> None:
    """Give the bodies in ``rest`` steady crops, each person's along the frames."""
    bodies: dict[str, dict[int, Region]] = {}
    for i, regions in enumerate(rest):
        for region in regions:
            if region.kind == "body" and region.label is not None:
                bodies.setdefault(region.label, {})[i] = region
    for person in bodies.values():
        for i, body in steadied(view, person).items():
            rest[i][:] = [body if region is person[i] else region for region in rest[i]]


def _is_stranger(region: Region) -> bool:
    """Whether it is the box of a body, of somebody whom the source has no label for."""
    return region.kind == "body" and region.label is None and region.silhouette is None


def _keep_strangers(view: View, frames: Sequence[_Frame], rest: Sequence[list[Region]]) -> None:
    """Add the bodies of unlabelled people to ``rest``, those as well that were missed between others and about them."""
    for i, frame in enumerate(frames):
        rest[i] += frame.bodies.values()
    for seen in _by_track(frame.bodies for frame in frames).values():
        for i in (there := lasting(view, seen, seen)).keys() - seen.keys():
            if not _shares(there[i].box, [body.box for body in frames[i].bodies.values()]):
                rest[i].append(there[i])


def _by_track(frames: Iterable[Mapping[int, Region]]) -> dict[int, dict[int, Region]]:
    """Of each track: the regions in which it was seen, by frame."""
    seen: dict[int, dict[int, Region]] = {}
    for i, frame in enumerate(frames):
        for number, region in frame.items():
            seen.setdefault(number, {})[i] = region
    return seen


def _heads(
    view: View, frames: Sequence[_Frame], rest: Sequence[list[Region]]
) -> tuple[dict[str, dict[int, Region]], dict[str, dict[int, Box]]]:
    """Of each annotated person, by frame: (the covers of heads whose face was missed, the boxes of their bodies).

    The covers in ``rest`` grow to whole bodies where :func:`dsanon.missed.anywhere` says so.
    """
    heads: dict[str, dict[int, Region]] = {}
    bodies: dict[str, dict[int, Box]] = {}
    silhouettes: dict[str, dict[int, Rle]] = {}
    for i, frame in enumerate(frames):
        for region in frame.regions:
            if region.reason == NO_FACE and region.label is not None:
                heads.setdefault(region.label, {})[i] = region
        for person in frame.sample.people:
            body = extent(person)
            if person.subject is not None and body is not None and not person.many:
                bodies.setdefault(person.subject, {})[i] = body
                if person.silhouette is not None:
                    silhouettes.setdefault(person.subject, {})[i] = person.silhouette
    for label, missed in heads.items():
        for i, whole_body in anywhere(view, bodies.get(label, {}), silhouettes.get(label, {}), missed).items():
            rest[i][:] = [whole_body if region is missed[i] else region for region in rest[i]]
            missed[i] = whole_body
    return heads, bodies


def _goes_on(view: View, i: int, seen: Mapping[int, Region], face: Region, head: Region) -> bool:
    """Whether a face filled into frame ``i`` may stand for the annotated head there, whose face nobody saw.

    Only where it was missed for a moment and lies where the head may be: who turns away for longer shows another side.
    """
    before, after = max((j for j in seen if j < i), default=None), min((j for j in seen if j > i), default=None)
    if before is None or after is None or view.times[after] - view.times[before] > _BRIEF:
        return False
    inside = boxes.intersection([face.box], [head.box])[0, 0]
    return bool(inside >= _SEEN * boxes.area([face.box])[0])


def _row(
    found: Found, rest: Sequence[Region], tracked: Mapping[int, Region], under: Sequence[Region], bodies_alone: bool
) -> Found:
    """The frame's row with its regions clipped and in order.

    under: bodies in which no face that is a guess is covered · bodies_alone: nor painted
    """
    if found.problem:
        return replace(found, regions=(), thumbnail=b"")
    seen = [region for region in tracked.values() if region.detector != TRACK]
    regions = list(rest)
    for region in tracked.values():
        if region.detector == TRACK:
            under_body = (bodies_alone or region.reason) and covered(region, under)
            if under_body or _hidden(region, seen, found.width, found.height):
                continue
        regions.append(region)
    inside = [clipped(region, found.width, found.height) for region in regions]
    return replace(found, regions=tuple(ordered([region for region in inside if region])), thumbnail=b"")


def _hidden(guess: Region, seen: Sequence[Region], width: int, height: int) -> bool:
    """Whether what is hidden of faces that detectors saw hides a guess as well: a person lost and found again."""
    near = [region for region in seen if _shares(guess.box, [region.box])]
    if not near:
        return False
    hidden = np.zeros((height, width), bool)
    for region in near:
        area = footprint(region, width, height, soft=True)
        hidden[area.window] |= area.hard
    own = footprint(guess, width, height, soft=True)
    return bool(hidden[own.window][own.hard].mean() >= _SEEN)


def _shares(box: Box, seen: Sequence[Box]) -> bool:
    """Whether a guess lies in one of the boxes of what a detector saw."""
    return bool(seen) and bool(boxes.intersection([box], seen).max() >= _SEEN * boxes.area([box])[0])
