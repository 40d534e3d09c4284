"""``dsanon audit``: attack a release before anyone else does, hold the figures against gates, write them down."""

from __future__ import annotations

import csv
import io
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import dsanon
from dsanon.durable import aside, explained, write_json
from dsanon.errors import UsageError
from dsanon.manifest import read_rows
from dsanon.models import store
from dsanon_eval import gates, trained
from dsanon_eval.attacks import disjoint, outside, parrot, reidentification, subgroups, worst
from dsanon_eval.attacks import landmarks as landmark_attack
from dsanon_eval.attacks import verification as lfw_release
from dsanon_eval.attacks.linkage import linkage
from dsanon_eval.leaks import scanner as leaks
from dsanon_eval.leaks.finding import Finding
from dsanon_eval.measurement import Curve, Measurement
from dsanon_eval.networks import inception, recognisers
from dsanon_eval.report.page import write_report
from dsanon_eval.review import queue as review_queue
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.case import Case, Scene, open_case, pick
from dsanon_eval.seeing.faces import CONTROLS
from dsanon_eval.seeing.gathered import Gathered, Picture, gather
from dsanon_eval.seeing.observation import FEATURES, Suite, usable
from dsanon_eval.seeing.pictures import REPAINTED, Means
from dsanon_eval.seeing.watch import Look, observe
from dsanon_eval.utility import detection, frechet, temporal
from dsanon_eval.utility import people as whole_people

MEASUREMENTS = pa.schema(
    [
        ("name", pa.string()),
        ("model", pa.string()),
        ("control", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("paper", pa.float64()),
        ("gate", pa.string()),
        ("bound", pa.float64()),
        ("passed", pa.bool_()),
    ],
    metadata={"dsanon.schema": "1"},
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a suite does. faces: about so many at most, of people drawn by name, ``each`` photos of one at most

    controls: pictures made beside original and release, of ``controlled`` faces at most
    slow: detectors that look at the originals and releases of these only · frames: of a sequence in which people are
    looked for and tracked
    repaints: how often an attacker paints each photo that he knows · restored, pairs: faces that reversal is measured
    on and learnt from, 0 for none · seeds: trainings of every detector
    """

    faces: int
    each: int
    controls: tuple[str, ...]
    controlled: int
    slow: tuple[str, ...]
    frames: int
    repaints: int
    restored: int = 0
    pairs: int = 0
    seeds: int = 0


SUITES = {
    "quick": Plan(400, 6, ("blackout", "blur9", "pixelate16"), 400, (), 100, 1),
    "full": Plan(14_000, 1000, tuple(CONTROLS), 1000, ("mmod", "ssh"), 1000, 2, 400, 1000, 3),
}
UNMAPPED = (
    "the private map cannot be read (its key was destroyed, or the private side is elsewhere: --private), so no "
    "original is known: re-identification, verification, landmarks, controls and distances were not measured"
)
SEQUENCES = ("mots", "mot", "video")
CLIPS = "frames of video files are scanned and watched, but not shown to recognisers: extract them for that"
LENGTHS = {FEATURES: frechet.Features.length, inception.NAME: inception.InceptionFeatures.length}
FAST_DETECTORS = ("hog", "centerface", "yunet", "retinaface")


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What was found. failed: a line for each gate that failed, or was required and has no figure.

    findings: of the leak scanner · page: report.html · source_page: the one that shows the source, if asked for
    """

    folder: Path
    report: dict[str, Any]
    failed: list[str]
    findings: tuple[Finding, ...]
    page: Path
    source_page: Path | None = None


def audit(
    release: Path,
    source: Path,
    private: Path | None = None,
    key: Path | None = None,
    suite: str = "quick",
    gates_file: Path | None = None,
    workers: int = 0,
    attributes: Path | None = None,
    with_source: bool = False,
) -> Audit:
    """Attack a release and write RELEASE/audit, and the review queue beside the key. workers: processes; 0: this one.

    attributes: of people, by their photo, in CelebA's format: subgroups of the report
    with_source: write the page with crops of the source, too, on the private side
    Raises UsageError, ReleaseError, KeyFileError and WeightsError for what the user can mend.
    """
    began = time.perf_counter()
    if suite not in SUITES:
        raise UsageError(f"--suite {suite!r} is unknown: choose one of {', '.join(SUITES)}")
    case = open_case(release, source, private, key)
    if with_source and not case.mapped:
        raise UsageError("--with-source needs the private map: without it no original is known (--private, --key)")
    rules = gates.read_rules(gates_file or gates.SHIPPED, case.dataset)
    known = subgroups.read_attributes(attributes) if attributes else {}
    means, attackers_notes = trained.means_of(case)
    seconds: dict[str, float] = {}

    def lap(stage: str) -> None:
        seconds[stage] = round(time.perf_counter() - began - sum(seconds.values()), 3)

    lap("open")
    scanned = leaks.examine(case.paths.release, source, private, key=key, workers=max(1, workers))
    lap("scan")
    clips = case.dataset == "video"
    gathered, notes = (gather(()), [CLIPS]) if clips else look(case, SUITES[suite], means, workers)
    lap("look")
    figures, curves, more = ([], [], []) if clips else measure(case, gathered, known)
    lap("measure")
    if case.mapped and SUITES[suite].restored and not clips:
        networks, about = _trained(case, SUITES[suite], means, workers)
        figures, more = figures + networks, more + about
        lap("train")
    if case.mapped and case.dataset in SEQUENCES:
        figures += temporal.measure(case.paths.release, case.source, case.paths.private)
        lap("watch")
    if case.mapped:
        plan = SUITES[suite]
        some, without = whole_people.measure(case, pick(case, plan.faces, plan.each), plan.frames, plan.each)
        figures, notes = figures + some, notes + without
        lap("people")
    figures += leaks.as_measurements(scanned.findings, scanned.scanned)
    notes += attackers_notes + more + _seen_in_training(case, gathered)
    figures, missing = gates.apply(rules, figures)
    shown = case.rows.num_rows and case.dataset != "video"  # no face is nothing to attack
    failed = gates.failures(figures) + (missing if shown else [])
    report = {
        "schema": 1,
        "release": case.paths.release.name,
        "dataset": case.dataset,
        "state": case.about.get("state"),
        "suite": suite,
        "audited": {
            "samples": len(gathered.leaders),
            "faces": len(gathered.faces),
            "people": len(set(gathered.people)),
            "of_faces": case.rows.num_rows,
        },
        "measurements": [figure.as_dict() for figure in figures],
        "gates": {"passed": sum(f.passed is True for f in figures), "failed": len(failed), "failures": failed},
        "figures": [_about(curve) for curve in curves],
        "notes": notes,
        "seconds": seconds,
        "versions": {"dsanon": dsanon.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    folder = case.paths.release / "audit"
    write(folder, report, figures, curves, scanned.findings)
    if case.mapped:
        _queue(case, gathered)
    page = write_report(case.paths.release, source, case.paths.private, key)
    shown_source = write_report(case.paths.release, source, case.paths.private, key, True) if with_source else None
    return Audit(folder, report, failed, scanned.findings, page, shown_source)


def _queue(case: Case, gathered: Gathered) -> None:
    """The regions in the order in which somebody should look at them, on the private side."""
    original, released = (gathered.pictures.get(name) for name in ("original", "release"))
    near = {}
    if original is not None and released is not None:
        pairs = [(original.embeddings[name], released.embeddings[name]) for name in original.embeddings]
        near = review_queue.likenesses(gathered.places, gathered.people, pairs)
    manifest = read_rows(case.paths.release / "manifest.parquet")
    review_queue.write_queue(case.paths.private, review_queue.build(manifest, case.rows, near))


def _trained(case: Case, plan: Plan, means: Means, workers: int) -> tuple[list[Measurement], list[str]]:
    chosen = pick(case, plan.faces, plan.each)
    suite = everything(case)[0]
    return trained.measure(case, chosen, plan.restored, plan.pairs, plan.seeds, suite, means, workers)


def everything(case: Case) -> tuple[Suite, list[str]]:
    """All instruments whose weights are here, and a line for each that is not."""
    fast, notes = usable(FAST_DETECTORS)
    _, people, labelled = case.people()
    named = {person for person, known in zip(people, labelled, strict=True) if known}
    attackers, without = disjoint.attackers(named, _generator(case))
    features, without_features = usable((FEATURES,))
    suite = Suite(tuple(fast), tuple(attackers), features=bool(features), landmarks=True)
    return suite, notes + without + without_features + usable((inception.NAME,))[1]


def look(case: Case, plan: Plan, means: Means, workers: int) -> tuple[Gathered, list[str]]:
    """See the chosen scenes with every instrument whose weights are here; and notes on what is missing."""
    if not case.mapped:
        fast, notes = usable(FAST_DETECTORS)
        bare = Suite(tuple(fast))
        chosen = pick(case, plan.faces, plan.each)
        return _seen(case, chosen, lambda _: (("release", bare),), workers), [*notes, UNMAPPED]
    suite, notes = everything(case)
    slow, without_slow = usable(plan.slow)
    notes += without_slow
    if kept := case.about.get("counts", {}).get("regions", {}).get("face", {}).get("kept"):
        notes.append(f"{kept} faces were kept with their owners' consent and are not measured")
    chosen = pick(case, plan.faces, plan.each)
    controlled = chosen if plan.controlled >= plan.faces else chosen & pick(case, plan.controlled, plan.each)
    if len(chosen) < len(set(case.rows["sample"].to_pylist())):
        notes.append(f"measured on a sample of people: {len(chosen)} samples, drawn by their names")
    if len(controlled) < len(chosen):
        notes.append(f"controls were made of {len(controlled)} of them")

    learnt = parrot.learnt_from(case, chosen) if means.generator else set()
    around = Suite(recognisers=suite.recognisers, features=suite.features, wide=outside.WIDE)
    painted = Suite(recognisers=suite.recognisers, features=suite.features)

    def looks(scene: Scene) -> tuple[Look, ...]:
        pictures: list[Look] = [("original", suite), ("release", suite)]
        pictures += [(kind, around) for kind in outside.KINDS]
        if scene.sample in learnt:
            pictures += [(f"{REPAINTED} {turn}", painted) for turn in range(plan.repaints)]
        if scene.sample in controlled:
            pictures += [(name, suite) for name in plan.controls]
            pictures += [(name, Suite(tuple(slow))) for name in ("original", "release") if slow]
        return tuple(pictures)

    return _seen(case, chosen, looks, workers, means), notes


def _seen(
    case: Case,
    chosen: set[str],
    looks: Callable[[Scene], tuple[Look, ...]],
    workers: int,
    means: Means | None = None,
) -> Gathered:
    scenes = ((scene, looks(scene)) for scene in case.scenes(chosen))
    with Cache(case.paths.audit if case.mapped else None) as cache:
        data = case.paths.release / "data"
        return gather(observe(scenes, len(chosen), case.source, data, workers, cache, means))


def measure(
    case: Case, gathered: Gathered, attributes: Mapping[str, Mapping[str, bool]]
) -> tuple[list[Measurement], list[Curve], list[str]]:
    """All attacks on what was seen: figures, curves, and notes on what could not be measured."""
    if not gathered.faces:
        return [], [], ["no face was treated in this release: there is nothing to attack"]
    figures: list[Measurement] = []
    curves: list[Curve] = []
    notes: list[str] = []
    if not case.mapped:
        for detector, found in gathered.pictures["release"].found.items():
            figures += detection.seen(detector, found, gathered.people)
        return figures, curves, notes
    if not any(face.labelled for face in gathered.faces):
        notes.append("the source does not say who is who: every face counts as a person of its own")
    original = gathered.pictures["original"]
    groups = subgroups.traits(gathered, attributes)
    for control, picture in gathered.pictures.items():
        figures += _detected(gathered, original, control, picture)
    for detector, again in gathered.pictures["release"].found.items():
        figures += subgroups.detected(original.found[detector], again, gathered.people, groups, detector)
    for name in original.embeddings:
        model = recognisers.label(name)
        parts: Iterable[tuple[list[Measurement], list[Curve]]] = (
            _recognised(gathered, name, model, groups),
            lfw_release.verification(case, gathered, name, model),
        )
        for some, lines in parts:
            figures += some
            curves += lines
        figures += linkage(gathered.pictures["release"].embeddings[name], gathered.faces, model)
        figures += parrot.parrot(gathered, gathered.vectors(name), model)
    if original.face_features.shape[1]:
        figures += parrot.parrot(gathered, gathered.vectors(FEATURES), FEATURES)
    figures += outside.outside(gathered)
    shapes = {control: picture.landmarks for control, picture in gathered.pictures.items()}
    figures += landmark_attack.measure(shapes, gathered.people)
    for control, picture in gathered.pictures.items():
        for where, network, real, made, people in (
            ("face", FEATURES, original.face_features, picture.face_features, gathered.people),
            ("image", FEATURES, original.image_features, picture.image_features, gathered.leaders),
            ("face", inception.NAME, original.face_fid, picture.face_fid, gathered.people),
            ("image", inception.NAME, original.image_fid, picture.image_fid, gathered.leaders),
        ):
            figures += _apart(where, control, real, made, people, network)
    if any(figure.n < LENGTHS.get(figure.model, 0) for figure in figures):
        notes.append(
            "distances of distributions are of fewer faces than features: mostly the scatter of so small a sample, "
            "only to be compared with the controls of this run"
        )
    return figures, curves, notes


def _detected(gathered: Gathered, original: Picture, control: str, picture: Picture) -> list[Measurement]:
    """Faces found again: of those that the method treated, of those that it could only cover, and of all."""
    if control == "original":
        return []
    treated = np.array([face.status == "anonymized" for face in gathered.faces], dtype=bool)
    parts = {"detection_rate": treated}
    if not treated.all():
        parts |= {"detection_rate_covered": ~treated, "detection_rate_all": np.ones_like(treated)}
    out = []
    for detector, again in picture.found.items():
        before = original.found[detector] & picture.looked
        for name, chosen in parts.items():
            out += detection.measure(detector, control, before & chosen, again, gathered.people, name)
    return out


def _recognised(
    gathered: Gathered, name: str, model: str, groups: subgroups.Traits
) -> tuple[list[Measurement], list[Curve]]:
    """Recall@1 with the probe's own photo left out and left in, of every picture, in the gallery of originals.

    Without it also of the people worst off, and for the auditors of original and release by subgroup.
    """
    gallery = gathered.pictures["original"].embeddings[name]
    people, figures, curves = gathered.people, [], []
    for figure, own in (("recall_at_1", False), ("self_recall_at_1", True)):
        for control, picture in gathered.pictures.items():
            found = reidentification.ranks(picture.embeddings[name], gallery, people, own, asked=picture.looked)
            figures += reidentification.measure(found, figure, model, control)
            if control == "original":
                figures += reidentification.chance(found, figure, model)
            if not own and len(found.rank):
                curves.append(reidentification.cmc(found, model, control))
                figures += worst.worst(found, model, control)
                figures += worst.luck(found, model) if control == "original" else []
                curves.append(worst.people(found, model, control))
                if name != recognisers.GUIDED and control in ("original", "release"):
                    figures += subgroups.recall(found, groups, model, control)
    return figures, curves


def _apart(
    where: str, control: str, real: np.ndarray, made: np.ndarray, people: Sequence[str], network: str
) -> list[Measurement]:
    rows = np.flatnonzero(np.isfinite(real).all(axis=1) & np.isfinite(made).all(axis=1))
    if not real.shape[1] or not made.shape[1] or len(rows) < 8:
        return []
    return frechet.measure(where, control, real[rows], made[rows], [people[int(i)] for i in rows], network)


def _generator(case: Case) -> Path | None:
    """The file of the generator that painted the release, where it is here."""
    weights: dict[str, str] = case.about.get("weights", {})
    for model in store.describe():
        if model["kind"] == "generator" and model["name"] in weights and model["sha256"] == weights[model["name"]]:
            return store.path(model["name"])
    return None


def _seen_in_training(case: Case, gathered: Gathered) -> list[str]:
    """A note where people are measured whom the generator was trained on: it knows them, so the figures flatter it."""
    generator = _generator(case)
    if generator is None:
        return []
    people = {f"{case.dataset}/{face.person}" for face in gathered.faces if face.labelled}
    known = len(disjoint.trained_on(generator, people))
    return (
        [f"{known} of {len(people)} people measured are among those {generator.stem} was trained on"] if known else []
    )


def write(
    folder: Path,
    report: dict[str, Any],
    figures: Sequence[Measurement],
    curves: Sequence[Curve],
    findings: Sequence[Finding],
) -> None:
    """report.json last, so that it is there only when the rest is. Raises ReleaseError."""
    with explained(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    order = attrgetter("figure")
    names = {f"{curve.figure}.csv" for curve in curves}
    for old in (folder / "figures").glob("*.csv"):
        if old.name not in names:  # of an earlier audit, by other instruments
            old.unlink()
    for name, lines in groupby(sorted(curves, key=order), order):
        with aside(folder / "figures" / f"{name}.csv") as file:
            file.write(_csv(lines).encode())
    with aside(folder / "measurements.parquet") as file:
        pq.write_table(_table(figures), file, compression="zstd")
    write_json(folder / "findings.json", [asdict(finding) for finding in findings])
    write_json(folder / "report.json", report)


def _csv(curves: Iterable[Curve]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("label", "x", "y", "low", "high"))
    for curve in curves:
        nothing = ("",) * len(curve.x)
        for row in zip(curve.x, curve.y, curve.low or nothing, curve.high or nothing, strict=True):
            rows.writerow((curve.label, *row))
    return out.getvalue()


def _about(curve: Curve) -> dict[str, Any]:
    """What the CSV does not say of a line."""
    names = ("figure", "label", "x_label", "y_label", "log_x")
    return {name: getattr(curve, name) for name in names}


def _table(figures: Sequence[Measurement]) -> pa.Table:
    rows = [
        {
            "name": f.name,
            "model": f.model,
            "control": f.control,
            "value": f.value,
            "low": f.ci95[0] if f.ci95 else None,
            "high": f.ci95[1] if f.ci95 else None,
            "n": f.n,
            "paper": f.paper,
            "gate": f.gate.kind if f.gate else None,
            "bound": f.gate.bound if f.gate else None,
            "passed": f.passed,
        }
        for f in figures
    ]
    return pa.Table.from_pylist(rows, schema=MEASUREMENTS)
