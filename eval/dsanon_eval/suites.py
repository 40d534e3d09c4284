"""What a suite looks at: which faces of a release, in which pictures, with which instruments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dsanon.config import GENERATORS
from dsanon.models import store
from dsanon_eval.attacks import disjoint, outside, parrot
from dsanon_eval.crew import Crew
from dsanon_eval.networks import inception
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.case import Case, Scene, pick
from dsanon_eval.seeing.faces import CONTROLS
from dsanon_eval.seeing.gathered import Gathered, gather
from dsanon_eval.seeing.observation import FEATURES, Suite, usable
from dsanon_eval.seeing.pictures import REPAINTED, Means
from dsanon_eval.seeing.watch import Look, observe

UNREADABLE = "the private map cannot be read (its key was destroyed, or the private side is elsewhere: --private)"
UNMAPPED = (
    f"{UNREADABLE}, so no original is known: re-identification, verification, landmarks, controls and distances "
    "were not measured"
)
FAST_DETECTORS = ("hog", "centerface", "yunet", "retinaface")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a suite does. faces: about so many at most, of people drawn by name, ``each`` photos of one at most

    controls: pictures made beside original and release, of ``controlled`` faces at most; of these only, too, what lies
    outside a face is looked at, and distances of whole pictures are measured
    slow: detectors that look at originals and releases of ``slowly`` faces at most
    frames: of a sequence in which people are looked for and tracked
    repaints: how often an attacker paints each photo that he knows · restored, pairs: faces that reversal is measured
    on and learnt from, 0 for none · seeds: trainings of every detector
    """

    faces: int
    each: int
    controls: tuple[str, ...]
    controlled: int
    slow: tuple[str, ...]
    slowly: int
    frames: int
    repaints: int
    restored: int = 0
    pairs: int = 0
    seeds: int = 0


SUITES = {
    "quick": Plan(400, 6, ("blackout", "blur9", "pixelate16"), 200, (), 0, 100, 1),
    "full": Plan(14_000, 1000, tuple(CONTROLS), 1000, ("mmod", "ssh"), 400, 1000, 2, 400, 1000, 3),
}


def everything(case: Case) -> tuple[Suite, list[str]]:
    """All instruments whose weights are here, and a line for each that is not."""
    fast, notes = usable(FAST_DETECTORS)
    _, people, labelled = case.people()
    named = {person for person, known in zip(people, labelled, strict=True) if known}
    generator = generator_of(case)
    attackers, without = disjoint.attackers(named, [generator] if generator else [])
    features, without_features = usable((FEATURES,))
    suite = Suite(tuple(fast), tuple(attackers), features=bool(features), landmarks=True)
    return suite, notes + without + without_features + usable((inception.NAME,))[1]


def look(case: Case, plan: Plan, means: Means, crew: Crew) -> tuple[Gathered, list[str]]:
    """See the chosen scenes with every instrument whose weights are here; and notes on what is missing."""
    if not case.mapped:
        fast, notes = usable(FAST_DETECTORS)
        bare = Suite(tuple(fast))
        chosen = pick(case, plan.faces, plan.each)
        return _seen(case, chosen, lambda _: (("release", bare),), crew), [*notes, UNMAPPED]
    suite, notes = everything(case)
    slow, without_slow = usable(plan.slow)
    notes += without_slow
    if kept := case.about.get("counts", {}).get("regions", {}).get("face", {}).get("kept"):
        notes.append(f"{kept} faces were kept with their owners' consent and are not measured")
    chosen = pick(case, plan.faces, plan.each)
    controlled, slowly = (
        chosen if some >= plan.faces else chosen & pick(case, some, plan.each)
        for some in (plan.controlled, plan.slowly)
    )
    if len(chosen) < len(set(case.rows["sample"].to_pylist())):
        notes.append(f"measured on a sample of people: {len(chosen)} samples, drawn by their names")
    if len(controlled) < len(chosen):
        notes.append(f"controls, and what lies outside of the faces, were looked at in {len(controlled)} of them")

    learnt = parrot.learnt_from(case, chosen) if means.generator else set()
    repaints = plan.repaints if means.keyed else 1  # without a key every one is the same
    if slow and len(slowly) < len(chosen):
        notes.append(f"{' and '.join(slow)} looked at {len(slowly)} of them")

    faces_only = replace(suite, image=False)
    around = Suite(recognisers=suite.recognisers, features=suite.features, wide=outside.WIDE, image=False)
    painted = Suite(recognisers=suite.recognisers, features=suite.features, image=False)

    def looks(scene: Scene) -> tuple[Look, ...]:
        both = suite if scene.sample in controlled else faces_only
        pictures: list[Look] = [("original", both), ("release", both)]
        if scene.sample in learnt:
            pictures += [(f"{REPAINTED} {turn}", painted) for turn in range(repaints)]
        if scene.sample in controlled:
            pictures += [(kind, around) for kind in outside.KINDS]
            pictures += [(name, suite) for name in plan.controls]
        if slow and scene.sample in slowly:
            pictures += [(name, Suite(tuple(slow))) for name in ("original", "release")]
        return tuple(pictures)

    return _seen(case, chosen, looks, crew, means), notes


def _seen(
    case: Case,
    chosen: set[str],
    looks: Callable[[Scene], tuple[Look, ...]],
    crew: Crew,
    means: Means | None = None,
) -> Gathered:
    scenes = ((scene, looks(scene)) for scene in case.scenes(chosen))
    with Cache(case.paths.audit if case.mapped else None) as cache:
        data = case.paths.release / "data"
        return gather(observe(scenes, len(chosen), case.root, data, crew, cache, means))


def generator_of(case: Case) -> Path | None:
    """The file of the generator that painted the release's faces, where it is here."""
    name = GENERATORS.get(str(case.about.get("configuration", {}).get("method", "")))
    digest = case.about.get("weights", {}).get(name)
    here = [model for model in store.describe() if model["name"] == name and model["sha256"] == digest]
    return store.path(here[0]["name"]) if here else None
