"""``dsanon audit``: attack a release before anyone else does, hold the figures against gates, write them down."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import dsanon
from dsanon.errors import UsageError
from dsanon.manifest import read_rows
from dsanon.models import store
from dsanon.nodes import Fact, facts
from dsanon.sample import Kind
from dsanon_eval import gates, trained
from dsanon_eval.attacks import disjoint, parrot, subgroups
from dsanon_eval.crew import Crew
from dsanon_eval.figures import measure
from dsanon_eval.leaks import scanner as leaks
from dsanon_eval.leaks.finding import Finding
from dsanon_eval.measurement import Measurement
from dsanon_eval.report import curves as lines
from dsanon_eval.report.audit_files import write_audit
from dsanon_eval.report.page import draw, write_report
from dsanon_eval.review import queue as review_queue
from dsanon_eval.seeing.case import Case, open_case, pick
from dsanon_eval.seeing.gathered import Gathered
from dsanon_eval.seeing.pictures import Means
from dsanon_eval.suites import SUITES, UNREADABLE, Plan, everything, generator_of, look
from dsanon_eval.utility import people as whole_people
from dsanon_eval.utility import temporal
from dsanon_eval.utility.frames import SEQUENCES


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
    ray_address: str | None = None,
) -> Audit:
    """Attack a release and write RELEASE/audit, and the review queue beside the key.

    workers: Ray actors; 0 works in this process · ray_address: of a cluster whose nodes see the same files
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
    case, flattered, void = disjoint.told_apart(case, generator_of(case))
    seconds: dict[str, float] = {}

    def lap(stage: str) -> None:
        seconds[stage] = round(time.perf_counter() - began - sum(seconds.values()), 3)

    lap("open")
    with Crew(workers, ray_address, _needed(case)) as crew:
        scanned = leaks.examine(case.paths.release, source, private, key=key, crew=crew)
        lap("scan")
        gathered, notes = look(case, SUITES[suite], means, crew)
        lap("look")
        figures, curves, more = measure(case, gathered, known, means)
        lap("measure")
        if case.mapped and SUITES[suite].restored:
            networks, about = _trained(case, SUITES[suite], means, crew)
            figures, more = figures + networks, more + about
            lap("train")
        if case.mapped and case.dataset in SEQUENCES:
            figures += temporal.measure(case.paths.release, case.source, case.paths.private, key=key)
            lap("watch")
        if case.mapped:
            plan = SUITES[suite]
            chosen = pick(case, plan.faces, plan.each) | pick(case, plan.faces, plan.each, "body")
            some, without = whole_people.measure(case, chosen, plan.frames, plan.each, key)
            figures, notes = figures + some, notes + without + whole_people.sampled(case, chosen)
            if case.dataset in SEQUENCES:
                notes.append(
                    f"of each sequence the first {temporal.FRAMES} frames were watched for steadiness, and the first "
                    f"{plan.frames} for people, their tracks and the background"
                )
            lap("people")
            _queue(case, gathered)
        figures += leaks.as_measurements(scanned.findings, scanned.scanned)
        people = {kind: len(set(case.people(kind)[1])) for kind in get_args(Kind)}
        rules, waived = gates.owed(rules, people, alone=case.mapped and case.dataset == "video")
        notes += attackers_notes + more + flattered + waived
        figures, missing = gates.apply(rules, figures, UNREADABLE if not case.mapped else "", parrot.lacking(means))
        failed = gates.failures(figures) + missing + void
        notes += (
            gates.surroundings(figures)
            + gates.unheld(rules, figures)
            + gates.unasked([rule for rule in rules if people[rule.region]], figures)
        )
        lap("judge")
        drawn = draw(figures, lines.by_figure(curves), case.paths.release, crew)
        lap("draw")
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
        "figures": [lines.about(curve) for curve in curves],
        "notes": notes,
        "seconds": seconds,
        "versions": {"dsanon": dsanon.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    folder = case.paths.release / "audit"
    write_audit(folder, report, figures, curves, scanned.findings)
    show = partial(write_report, case.paths.release, source, case.paths.private, key, drawn=drawn)
    page = show()
    return Audit(folder, report, failed, scanned.findings, page, show(with_source=True) if with_source else None)


def _needed(case: Case) -> tuple[Fact, ...]:
    """What every worker must see: the source, the release, the private side, and the weights that were added."""
    weights = [("the weights", store.path(m["name"])) for m in store.describe() if m["source"] == "registered"]
    private = [("the private side", case.paths.private)] if case.mapped else []
    return facts([("SOURCE", case.source), ("the release", case.paths.release), *private, *weights])


def _queue(case: Case, gathered: Gathered) -> None:
    """The regions in the order in which somebody should look at them, on the private side."""
    original, released = (gathered.pictures.get(name) for name in ("original", "release"))
    near = {}
    if original is not None and released is not None:
        pairs = [(original.embeddings[name], released.embeddings[name]) for name in original.embeddings]
        near = review_queue.likenesses(gathered.places, gathered.people, pairs)
    manifest = read_rows(case.paths.release / "manifest.parquet")
    review_queue.write_queue(case.paths.private, review_queue.build(manifest, case.rows, near))


def _trained(case: Case, plan: Plan, means: Means, crew: Crew) -> tuple[list[Measurement], list[str]]:
    chosen = pick(case, plan.faces, plan.each)
    suite = everything(case)[0]
    return trained.measure(case, chosen, plan.restored, plan.pairs, plan.seeds, suite, means, crew)
