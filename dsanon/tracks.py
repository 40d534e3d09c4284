"""Association: the faces that detectors saw in one sequence become tracks, a person each; unlabelled bodies likewise.

An annotated person's label is their track. Everybody else is followed from frame to frame: each face goes to the track
whose predicted place, size and appearance it fits, the best total fit (Hungarian matching). Frames are taken in order
and only open tracks are held, so that memory does not grow with the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsanon.appearance import is_cut, is_seen, likeness
from dsanon.sample import Found, Region

GAP = 1.0  # seconds that a track may go unseen: such gaps are filled
NONE = -1
_NEVER = 1e6
# Distances are in sides of the face. At 30 frames a second heads move 0.1 to 0.3 sides between frames, dancers 0.6.
_REACH, _REACH_GROWS, _REACH_MOST = (
    0.8,
    6.0,
    2.5,
)  # how far a face may be from where it was expected: at first, a second
_RATIO = 2.0  # how much larger or smaller it may be
_ALIKE = 0.55  # appearance that it must have, unless it is where it was expected
_CLOSE = 0.3
_LOOK = 4.0  # weight of appearance: who cross each other's way are told apart by it
_FADE = 0.3  # seconds for which a motion is believed to go on


@dataclass(slots=True)
class _Open:
    """A track that may go on. centre, speed: pixels, pixels a second · side: pixels."""

    number: int
    label: str | None
    centre: npt.NDArray[np.float64]
    speed: npt.NDArray[np.float64]
    side: float
    time: float
    look: bytes


@dataclass(slots=True)
class Tracks:
    """numbers: of each frame, a track for each region (``NONE``: it has no part in any) · labels: of each track,
    where the source knows the person · names: of each track, by its first region, the same on every run
    """

    numbers: list[list[int]] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def scenes(thumbnails: Iterable[bytes]) -> list[int]:
    """The scene of each frame, numbered from 0 (:func:`dsanon.appearance.is_cut`)."""
    frames = list(thumbnails)
    out: list[int] = []
    start = 0
    for index in range(len(frames)):
        if index > start and is_cut(frames[max(start, index - 2) : index], frames[index : index + 2]):
            start = index
            out.append(out[-1] + 1)
        else:
            out.append(out[-1] if out else 0)
    return out


def associate(
    rows: Iterable[Found],
    times: Iterable[float],
    scene: Iterable[int],
    kept: Set[str] = frozenset(),
    which: Callable[[Region], bool] = is_seen,
) -> Tracks:
    """Tracks of a sequence's faces, or of the regions that ``which`` is true of.

    kept: labels of people who are left as they are, who have no part in any
    """
    tracks = Tracks()
    opened: list[_Open] = []
    owned: dict[str, int] = {}
    last = 0
    for found, time, now in zip(rows, times, scene, strict=True):
        opened = [track for track in opened if time - track.time <= GAP and now == last]
        last = now
        faces = [i for i, r in enumerate(found.regions) if which(r) and (r.label is None or r.label not in kept)]
        here = {region.label for region in found.regions if region.label is not None}
        pairs = _match([found.regions[i] for i in faces], opened, owned, here, time)
        numbers = [NONE] * len(found.regions)
        for position, index in enumerate(faces):
            region = found.regions[index]
            track = pairs.get(position) or _begin(tracks, owned, region, f"{found.sample}#{index}", time)
            if position in pairs:
                _go_on(track, region, time)
            elif track.number not in (other.number for other in opened):
                opened.append(track)
            if region.label is not None and track.label is None:
                track.label = tracks.labels[track.number] = region.label
                owned[region.label] = track.number
            if track.number not in numbers:  # one label on two faces: the second one is hidden where it was seen
                numbers[index] = track.number
        tracks.numbers.append(numbers)
    return tracks


def _begin(tracks: Tracks, owned: dict[str, int], region: Region, name: str, time: float) -> _Open:
    """A new track; or, of somebody whom the source knows, the one they had before they were out of sight."""
    number = owned.get(region.label, NONE) if region.label is not None else NONE
    if number == NONE:
        number = len(tracks.names)
        tracks.names.append(name)
        tracks.labels.append(region.label)
        if region.label is not None:
            owned[region.label] = number
    centre, side = _place(region)
    return _Open(number, region.label, centre, np.zeros(2), side, time, region.look)


def _go_on(track: _Open, region: Region, time: float) -> None:
    centre, side = _place(region)
    elapsed = max(time - track.time, 1e-6)
    track.speed = 0.5 * track.speed + 0.5 * (centre - track.centre) / elapsed
    track.centre, track.side, track.time = centre, side, time
    if region.look:
        track.look = region.look


def _match(
    faces: list[Region], opened: list[_Open], owned: dict[str, int], here: set[str], time: float
) -> dict[int, _Open]:
    """Face → its track. here: labels of the people that are annotated in this frame."""
    from scipy.optimize import linear_sum_assignment

    if not faces or not opened:
        return {}
    cost = np.array([[_misfit(face, track, owned, here, time) for track in opened] for face in faces])
    rows, columns = linear_sum_assignment(cost)
    return {int(i): opened[j] for i, j in zip(rows, columns, strict=True) if cost[i, j] < _NEVER}


def _misfit(face: Region, track: _Open, owned: dict[str, int], here: set[str], time: float) -> float:
    """How badly a face continues a track; ``_NEVER`` where it cannot."""
    if face.label is not None:
        if owned.get(face.label, track.number) != track.number:
            return _NEVER
        if track.label == face.label:
            return -_NEVER  # the source says so
    if track.label is not None and (face.label is not None or track.label in here):
        return _NEVER  # somebody else, or the source knows where this person is, and it is not here
    centre, side = _place(face)
    elapsed = time - track.time
    away = float(np.hypot(*(centre - track.centre - track.speed * min(elapsed, _FADE)))) / np.sqrt(side * track.side)
    ratio = abs(float(np.log(side / track.side)))
    reach = min(_REACH + _REACH_GROWS * max(0.0, elapsed - 1 / 30), _REACH_MOST)
    if away > reach or ratio > np.log(_RATIO):
        return _NEVER
    alike = likeness(face.look, track.look)
    if alike < _ALIKE and away > _CLOSE:
        return _NEVER
    return float(away + ratio + _LOOK * (1 - alike))


def _place(region: Region) -> tuple[npt.NDArray[np.float64], float]:
    """(centre, side) of a face's box, in pixels."""
    x0, y0, x1, y1 = region.box
    side = float(np.sqrt(max(x1 - x0, 1.0) * max(y1 - y0, 1.0)))
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2]), side
