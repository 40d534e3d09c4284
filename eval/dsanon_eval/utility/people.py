"""Whole people in a release: detecting, tracking and recognising them, and the background that nobody touched.

Looks at each picture of release and source once, and hands what it saw to the modules that judge it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import cv2

from dsanon.sample import Person
from dsanon.sources import open_source
from dsanon_eval.attacks.bodies import Bodies
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks.recognisers import Osnet
from dsanon_eval.seeing.case import Case
from dsanon_eval.seeing.observation import usable
from dsanon_eval.utility import average_precision, background, pedestrians, tracking
from dsanon_eval.utility.frames import SEQUENCES, Pair, face_pairs, still_pairs

ANNOTATED = ("coco", "mots", "mot")  # datasets that tell where people's bodies are


def measure(
    case: Case, chosen: Iterable[str], frames: int, each: int, key: Path | None = None
) -> tuple[list[Measurement], list[str]]:
    """All of it, and notes on what is missing.

    chosen: samples of a dataset of stills that are looked at · frames: of a sequence · each: pictures of one body
    key: of the private map, by default the one the release was made with

    Raises KeyFileError and ReleaseError where the private map cannot be read.
    """
    release, private = case.paths.release, case.paths.private
    if case.dataset in SEQUENCES:
        sequences = face_pairs(release, case.source, private, frames, key=key)
        pairs: Iterable[Pair] = (pair for sequence in sequences for pair in sequence)
    else:
        pairs = still_pairs(release, case.source, private, case.dataset, case.files(set(chosen)), key)
    bodies: Bodies | None = None
    notes: list[str] = []
    if case.bodies.num_rows:
        there, notes = usable(("osnet",))
        bodies = Bodies(Osnet(), each) if there else None
    shots, seen = watch(pairs, case.dataset in ANNOTATED, bodies)
    out = bodies.measurements() if bodies else []
    out += background.measure(seen) + pedestrians.recall(shots) + average_precision.measure(shots)
    if case.dataset in SEQUENCES:
        out += tracking.measure(shots)
    if case.dataset == "mots":
        after = _annotation(release / "data")
        whole = _annotation(case.source)
        before = {
            name: {f: people for f, people in whole.get(name, {}).items() if f in frames}
            for name, frames in after.items()
        }
        out += tracking.masks(before, after)
    return out, notes


def sampled(case: Case, chosen: Collection[str]) -> list[str]:
    """A note where bodies of stills are asked in some pictures only, and how many were kept by consent."""
    pictures, notes = set(case.people("body")[0]), []
    if case.dataset not in SEQUENCES and not pictures <= set(chosen):
        count = len(pictures & set(chosen))
        notes.append(
            f"bodies were looked at in {count} of the {len(pictures)} pictures that show one, drawn by their names"
        )
    if kept := case.about.get("counts", {}).get("regions", {}).get("body", {}).get("kept"):
        notes.append(f"{kept} bodies were kept with their owners' consent and are not measured")
    return notes


def watch(
    pairs: Iterable[Pair], people: bool, bodies: Bodies | None = None
) -> tuple[list[pedestrians.Shot], list[background.Outside]]:
    """people: whether to look for them; else pictures are only compared · bodies: collects those that were treated"""
    cv2.setNumThreads(1)
    detector = pedestrians.Pedestrians() if people else None
    shots, seen = [], []
    for pair in pairs:
        if detector:
            found = detector(pair.original), detector(pair.release), detector.moved(pair.original)
            shots.append(pedestrians.Shot(pair.sequence, pair.block, pair.people, *found))
        if bodies:
            bodies.look(pair)
        if (one := background.look(pair)) is not None:
            seen.append(one)
    return shots, seen


def _annotation(root: Path) -> dict[str, dict[str, Sequence[Person]]]:
    """Sequence → file of a frame → its people."""
    out: dict[str, dict[str, Sequence[Person]]] = {}
    for sample in open_source("mots", root).samples():
        out.setdefault(str(sample.sequence), {})[sample.file] = sample.people
    return out
