"""Verification on a release: LFW's own protocol where its pairs are there, all pairs of photos everywhere, and each
face against its very original, which needs nobody else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from dsanon.sources.lfw import Pair, parse_pairs
from dsanon_eval.attacks import lfw_protocol
from dsanon_eval.attacks.lfw_protocol import FAR, Vectors
from dsanon_eval.intervals import share_of_people
from dsanon_eval.measurement import IMPOSTORS, Curve, Measurement
from dsanon_eval.seeing.case import Case
from dsanon_eval.seeing.gathered import Gathered

ENOUGH = 50  # pairs of each kind in every fold: below, a threshold at 0.001 means nothing
_ALL_PAIRS = 40  # genuine pairs that one person adds at most
# Distances below which two photos pass for one person's at ``FAR``: of 709,836 pairs of 1,192 people of LFW, a photo of
# each, found by HOG (2026-11-30)
FIXED = {"dlib_resnet": 0.545, "faceres": 0.881}
OWN = "tar_at_far_all_pairs_own"
CLEAR = 48.0  # pixels of a face's shorter side; smaller ones are alike to a recogniser, whosever they are
Found = tuple[list[Measurement], list[Curve], list[str]]


def verification(case: Case, gathered: Gathered, name: str, model: str) -> Found:
    """TAR at FAR 0.001 with the second image of a pair as each control has it, by two thresholds: that of originals, as
    of an attacker who knows of no method, and that of original and control (``…_own``), as of one who does. And a note:
    what the first one's FAR is with the controls.
    """
    vectors = {control: picture.embeddings[name] for control, picture in gathered.pictures.items()}
    figures, curves, notes = _all_pairs(gathered, vectors, model)
    folds, _ = _folds(case, gathered)
    if folds:
        more, lines = _protocol(folds, gathered, vectors, model)
        figures += more
        curves = [curve for curve in curves if not curve.figure.startswith("roc")] + lines
    return figures, curves, notes


def own(gathered: Gathered, name: str, model: str) -> list[Measurement]:
    """``self_accepted``: the share of clear faces that pass for their very original by a threshold that is ``FIXED``.

    Neither labels nor a second person are needed: the other figures of a source that does not say who is who count
    another photo of somebody for a stranger's, and a video of one person has none. An unreadable face passes.
    """
    if name not in FIXED:
        return []
    boxes = [face.region.box for face in gathered.faces]
    aligned = [bool(face.region.landmarks) for face in gathered.faces]
    clear = np.array([min(x1 - x0, y1 - y0) >= CLEAR for x0, y0, x1, y1 in boxes]) & np.array(aligned)
    original, people, out = gathered.pictures["original"].embeddings[name], gathered.people, []
    for control, picture in gathered.pictures.items():
        rows = np.flatnonzero(clear & picture.looked)
        if len(rows):
            apart = np.linalg.norm(picture.embeddings[name][rows] - original[rows], axis=1)
            passes = ~(apart >= FIXED[name])
            interval = share_of_people(passes, [people[int(i)] for i in rows])
            out.append(Measurement("self_accepted", model, control, float(passes.mean()), interval, len(rows)))
    return out


def left_out(case: Case, gathered: Gathered) -> list[str]:
    """A note where LFW's protocol is of fewer pairs than pairs.txt has."""
    folds, every = _folds(case, gathered)
    count = sum(map(len, folds))
    if not folds or count == every:
        return []
    return [
        f"verification: LFW's protocol is of {count:,} of the {every:,} pairs of pairs.txt: of the others a photo was "
        "withheld, kept by consent, or is not in the sample"
    ]


def strangers(gathered: Gathered) -> list[str]:
    """A note where the pairs of different people are so few that a rate of ``FAR`` cannot be measured with them, or so
    many that they are of a sample.
    """
    people = Counter(face.person for face in gathered.faces if face.labelled and face.region.landmarks)
    count = sum(people.values())
    if count > lfw_protocol.MOST:
        return [f"verification: the pairs of different people are of {lfw_protocol.drawn_of(count)}"]
    pairs = (count**2 - sum(photos**2 for photos in people.values())) // 2
    if not pairs or pairs * FAR >= 1:
        return []  # of none there is no figure either
    return [
        f"verification: {pairs} pairs of different people cannot show a false accept rate of {FAR}: "
        "the threshold is simply that of the most alike of them"
    ]


def _folds(case: Case, gathered: Gathered) -> tuple[list[list[Pair]], int]:
    """LFW's folds with those pairs whose photos are both measured, and how many pairs pairs.txt has; none where there
    is no such file, or too few are left.
    """
    path = case.source / "pairs.txt"
    if case.dataset != "lfw" or not path.is_file():
        return [], 0
    there, every = {key for key in _keys(gathered) if key}, parse_pairs(path)
    folds = [[p for p in fold if _sides(p) <= there] for fold in every]
    fewest = min(sum(p.same == same for p in fold) for same in (True, False) for fold in folds)
    return ([], 0) if len(folds) < 2 or fewest < ENOUGH else (folds, sum(map(len, every)))


def _keys(gathered: Gathered) -> list[tuple[str, int] | None]:
    """Of every row: LFW's person and number, None for who is not named."""
    return [_image(file) if face.labelled else None for file, face in zip(gathered.files, gathered.faces, strict=True)]


def _protocol(
    folds: list[list[Pair]], gathered: Gathered, vectors: dict[str, npt.NDArray[np.float32]], model: str
) -> tuple[list[Measurement], list[Curve]]:
    keys = _keys(gathered)
    figures: list[Measurement] = []
    curves: list[Curve] = []
    originals = _named(keys, vectors["original"])
    everybody = lfw_protocol.all_pairs_impostors(originals)
    whose = [pair.first for fold in folds for pair in fold if pair.same]
    for control in ("original", "release"):
        second = _named(keys, vectors[control])
        scores = lfw_protocol.fold_scores(folds, originals, second)
        figures += [m for m in lfw_protocol.measure(scores, model, control, everybody) if "all_pairs" not in m.name]
        genuine = np.concatenate([fold.genuine for fold in scores])
        impostor = everybody if control == "original" else lfw_protocol.own_impostors(originals, second)
        if impostor.size:
            curves.append(lfw_protocol.roc(genuine, whose, model, control, impostor))
    count = [sum(not pair.same for pair in fold) for fold in folds]
    luck = float(np.mean([lfw_protocol.guessed(sum(count) - mine) for mine in count]))
    figures.append(Measurement("tar_at_far_own", model, "chance", luck, None, len(whose)))
    return figures, curves + lfw_protocol.guessing(curves)


def _all_pairs(gathered: Gathered, vectors: dict[str, npt.NDArray[np.float32]], model: str) -> Found:
    """Ordered pairs of two photos of one person (``_ALL_PAIRS`` at most), the second as the control has it.

    Impostors: all pairs of different people who are named and could be aligned, of originals, and (``…_own``) of an
    original and that control; without any there is no threshold, and no figure. A face that could not be read counts as
    accepted.
    """
    rows: dict[str, list[int]] = {}
    for i, face in enumerate(gathered.faces):
        if face.labelled:
            rows.setdefault(face.person, []).append(i)
    pairs = [pair for mine in rows.values() for pair in islice(_each_in_turn(mine), _ALL_PAIRS)]
    if not pairs or len(rows) < 2:
        return [], [], []
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    original = vectors["original"]
    # a stranger's blurred face in the background is near to everybody's: it would spoil the threshold
    clear = [i for mine in rows.values() for i in mine if gathered.faces[i].region.landmarks]
    known = {(gathered.faces[i].person, i): original[i] for i in clear if np.isfinite(original[i]).all()}
    everybody = lfw_protocol.all_pairs_impostors(known)
    if not everybody.size:
        return [], [], []
    threshold = lfw_protocol.threshold_at(everybody, FAR)
    figures: list[Measurement] = []
    lines: list[Curve] = []
    curves: list[Curve] = []
    passing: dict[str, float] = {}
    for control, embedded in vectors.items():
        looked = gathered.pictures[control].looked
        asked = looked[second]
        if not asked.any():
            continue
        apart = np.linalg.norm(original[first[asked]] - embedded[second[asked]], axis=1)
        scores = np.where(np.isfinite(apart), -apart, np.inf).astype(np.float64)
        people = [gathered.faces[int(i)].person for i in second[asked]]
        figures.append(_confirmed("tar_at_far_all_pairs", model, control, scores >= threshold, people))
        curves.append(lfw_protocol.similarity(scores, model, control))
        impostor = everybody
        if control != "original":
            shown = {(gathered.faces[i].person, i): embedded[i] for i in clear if looked[i]}
            impostor = lfw_protocol.own_impostors(known, shown)
        if not impostor.size:
            continue
        hits = scores >= lfw_protocol.threshold_at(impostor, FAR)
        figures.append(_confirmed(OWN, model, control, hits, people))
        if control == "release":
            figures.append(Measurement(OWN, model, "chance", lfw_protocol.guessed(impostor.size), None, len(hits)))
        lines.append(lfw_protocol.roc(scores, people, model, control, impostor))
        curves.append(lfw_protocol.similarity(impostor, model, control + IMPOSTORS))
        passing[control] = float((impostor >= threshold).mean())
    return figures, curves + lines + lfw_protocol.guessing(lines), _realised(passing, model)


def _confirmed(name: str, model: str, control: str, hits: npt.NDArray[np.bool_], people: list[str]) -> Measurement:
    return Measurement(name, model, control, float(hits.mean()), share_of_people(hits, people), len(hits))


def _realised(passing: dict[str, float], model: str) -> list[str]:
    """A note: how many pairs of different people pass the threshold of originals, the second as each control has it.

    passing: that share, by control
    """
    shares = {control: f"{100 * share:.2g} %" for control, share in passing.items()}
    strangers = shares.pop("original")
    told = ", ".join(f"of {control} {share}" for control, share in shares.items())
    if not told:
        return []
    return [
        f"verification by {model}: {strangers} of the pairs of different people's originals reach the threshold of "
        f"tar_at_far_all_pairs, with the second picture {told}: where that is less, the figure flatters, and "
        f"{OWN} counts"
    ]


def _each_in_turn(photos: list[int]) -> Iterator[tuple[int, int]]:
    """Every ordered pair of two of them, so that the first few are of all photos on either side."""
    for apart in range(1, len(photos)):
        for i, photo in enumerate(photos):
            yield photo, photos[(i + apart) % len(photos)]


def _image(file: str) -> tuple[str, int] | None:
    match = re.search(r"([^/]+)/\1_(\d{4,})\.[^./]+$", file)
    return (match[1], int(match[2])) if match else None


def _sides(pair: Pair) -> set[tuple[str, int]]:
    return {(pair.first, pair.i), (pair.second, pair.j)}


def _named(keys: list[tuple[str, int] | None], vectors: npt.NDArray[np.float32]) -> Vectors:
    return {key: row for key, row in zip(keys, vectors, strict=True) if key and np.isfinite(row).all()}
