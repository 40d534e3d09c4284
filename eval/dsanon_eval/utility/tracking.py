"""Can people still be tracked? HOTA, CLEAR and IDF1 of one simple tracker on release and original.

The figures are TrackEval's (Luiten and Hoffhues), its boxes prepared as MOTChallenge does: people whom the benchmark
does not score count neither way. The tracker is the same for both pictures, so that what differs is the release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.boxes import Boxes, Floats
from dsanon.sample import Person
from dsanon_eval.intervals import ROUNDS, Interval, stretched
from dsanon_eval.measurement import Measurement
from dsanon_eval.utility.pedestrians import NAME, SAME, Shot, annotated_boxes, pairs

MODEL = f"{NAME} + IoU tracker"
MASKS = "the annotation's masks"
SURE = 0.5  # margin of a detection that is tracked
CONTINUES = 0.3  # IoU of a box with the one that it continues
PATIENCE = 10  # frames that a track may go unseen
_INTERVAL = 3  # sequences, of which an interval can be told

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One frame as TrackEval takes it. truth, tracks: (n,) and (m,) numbers · similarity: (n, m) in [0, 1]"""

    truth: Ids
    tracks: Ids
    similarity: Floats


def track(frames: Sequence[Boxes]) -> list[Ids]:
    """A track's number for every box of every frame: the best total IoU with the open tracks' last boxes.

    No motion is predicted and no appearance compared (as in Bochinski et al., AVSS 2017, but matched globally).
    """
    out: list[Ids] = []
    opened: list[Any] = []  # number, when it was seen last, its box then
    number = 0
    for time, found in enumerate(frames):
        opened = [one for one in opened if time - one[1] <= PATIENCE + 1]
        ids = np.full(len(found), -1, np.int64)
        for new, old in pairs(found, [one[2] for one in opened], CONTINUES):
            ids[new] = opened[old][0]
        for index in np.flatnonzero(ids < 0):
            ids[index], number = number, number + 1
        now = {int(i) for i in ids}
        opened = [one for one in opened if one[0] not in now]
        opened += [(int(i), time, box) for i, box in zip(ids, found, strict=True)]
        out.append(ids)
    return out


def scored(people: Sequence[Person], numbers: Mapping[str, int], found: Boxes, ids: Ids) -> Scored:
    """One frame's tracks against its annotation, prepared as MOTChallenge does.

    A box that fits somebody whom the benchmark does not score is left out, and so is one that fits nobody and lies
    mostly in a region of many. numbers: of the subjects
    """
    known = [person for person in people if person.subject is not None and not person.many]
    crowds = [person.body for person in people if person.many and person.body is not None]
    overlap = boxes.iou(annotated_boxes(known), found)
    matched = {j: known[i] for i, j in pairs(annotated_boxes(known), found)}
    inside = np.zeros(len(found))
    if crowds and len(found):
        inside = boxes.intersection(found, crowds).max(axis=1) / np.maximum(boxes.area(found), 1e-9)
    kept = [j for j in range(len(found)) if (not matched[j].aside if j in matched else inside[j] <= SAME)]
    rows = [i for i, person in enumerate(known) if not person.aside]
    truth = np.array([numbers[str(known[i].subject)] for i in rows], np.int64)
    return Scored(truth, ids[kept], overlap[np.ix_(rows, kept)])


def measure(shots: Sequence[Shot]) -> list[Measurement]:
    """HOTA, its DetA and AssA, MOTA, identity switches and IDF1, of original and release; none without annotation.

    shots: of sequences, in order · n: annotated boxes
    """
    sequences: dict[str, list[Shot]] = {}
    for shot in shots:
        sequences.setdefault(shot.sequence, []).append(shot)
    out = []
    for control in ("release", "original"):
        frames = {name: _frames(group, control) for name, group in sequences.items()}
        out += figures(frames, MODEL, control)
    return out


def _frames(shots: Sequence[Shot], control: str) -> list[Scored]:
    numbers: dict[str, int] = {}
    for shot in shots:
        for person in shot.annotated:
            if person.subject is not None:
                numbers.setdefault(person.subject, len(numbers))
    seen = [shot.found(control) for shot in shots]
    sure = [people.boxes[people.scores >= SURE] for people in seen]
    tracks = track(sure)
    return [scored(s.annotated, numbers, b, ids) for s, b, ids in zip(shots, sure, tracks, strict=True)]


def figures(sequences: Mapping[str, Sequence[Scored]], model: str, control: str) -> list[Measurement]:
    """TrackEval's figures over all sequences with annotated people; an interval over them where there are three."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = {"PRINT_CONFIG": False}
    results = []
    count = 0
    for frames in sequences.values():
        data = _as_trackeval(frames)
        if data["num_gt_dets"]:
            count += data["num_gt_dets"]
            results.append([metric.eval_sequence(data) for metric in (HOTA(), CLEAR(quiet), Identity(quiet))])
    if not count:
        return []

    def combined(chosen: Sequence[int]) -> dict[str, float]:
        metrics = (HOTA(), CLEAR(quiet), Identity(quiet))
        hota, clear, identity = (
            metric.combine_sequences({k: results[i][m] for k, i in enumerate(chosen)})
            for m, metric in enumerate(metrics)
        )
        values = {"hota": hota["HOTA"].mean(), "deta": hota["DetA"].mean(), "assa": hota["AssA"].mean()}
        return values | {"mota": clear["MOTA"], "idsw": clear["IDSW"], "idf1": identity["IDF1"]}

    values = combined(range(len(results)))
    intervals = _intervals(combined, values, len(results))
    return [
        Measurement(f"utility_{name}", model, control, float(value), intervals.get(name), count)
        for name, value in values.items()
    ]


def _intervals(
    combined: Callable[[Sequence[int]], dict[str, float]], values: Mapping[str, float], count: int
) -> dict[str, Interval]:
    """Bootstrap over sequences, none where there are too few; nor of a count."""
    if count < _INTERVAL:
        return {}
    drawn = np.random.default_rng(0).integers(count, size=(ROUNDS // 5, count)).tolist()
    rounds = [combined(chosen) for chosen in drawn]
    return {
        name: stretched(values[name], (float(low), float(high)), count, (-np.inf if name == "mota" else 0.0, 1.0))
        for name in rounds[0]
        if name != "idsw"
        for low, high in [np.quantile([one[name] for one in rounds], (0.025, 0.975))]
    }


def masks(
    source: Mapping[str, Mapping[str, Sequence[Person]]], release: Mapping[str, Mapping[str, Sequence[Person]]]
) -> list[Measurement]:
    """MOTSA and sMOTSA (Voigtlaender et al., CVPR 2019) of the release's silhouettes against the source's.

    Each maps a sequence to its frames, in order, and their people. 1 where the annotation came through unchanged, as it
    must.
    """
    from pycocotools import mask
    from trackeval.metrics import CLEAR

    metric, results, count = CLEAR({"PRINT_CONFIG": False}), {}, 0
    for name, frames in source.items():
        numbers: dict[str, int] = {}
        rows = []
        for frame, before in frames.items():
            both = before, release.get(name, {}).get(frame, ())
            a, b = ([p for p in people if p.silhouette and p.subject and not p.many] for people in both)
            ids = [np.array([numbers.setdefault(str(p.subject), len(numbers)) for p in g], np.int64) for g in (a, b)]
            rle = [[p.silhouette.as_coco() for p in group if p.silhouette] for group in (a, b)]
            similar = np.asarray(mask.iou(*rle, [False] * len(b)), float).reshape(len(a), len(b))
            rows.append(Scored(ids[0], ids[1], similar))
            count += len(a)
        results[name] = metric.eval_sequence(_as_trackeval(rows))
    if not count:
        return []
    total = metric.combine_sequences(results)
    return [
        Measurement("utility_motsa", MASKS, "release", float(total["MOTA"]), None, count),
        Measurement("utility_smotsa", MASKS, "release", float(total["sMOTA"]), None, count),
    ]


def _as_trackeval(frames: Sequence[Scored]) -> dict[str, Any]:
    """Its dict of one sequence, with numbers from 0 without gaps, as it wants them."""
    data: dict[str, Any] = {"num_timesteps": len(frames), "similarity_scores": [f.similarity for f in frames]}
    for key, what in (("gt", [f.truth for f in frames]), ("tracker", [f.tracks for f in frames])):
        known, dense = np.unique(np.concatenate([*what, np.zeros(0, np.int64)]), return_inverse=True)
        ends = np.cumsum([len(ids) for ids in what])[:-1]
        data |= {f"{key}_ids": np.split(dense, ends), f"num_{key}_ids": len(known), f"num_{key}_dets": len(dense)}
    return data
