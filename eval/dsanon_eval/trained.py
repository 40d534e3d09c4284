"""The part of a full audit that trains networks: to undo the anonymization, and to find faces.

Half of the people are learnt from, the others measured; nobody is on both sides.
"""

from __future__ import annotations

from collections import Counter

import pyarrow.compute as pc

from dsanon.config import GENERATORS
from dsanon.models import store
from dsanon.models.weights import read_card
from dsanon_eval.attacks import parrot, reversal
from dsanon_eval.crew import Crew, arithmetic
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import undo
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.case import Case
from dsanon_eval.seeing.gathered import gather
from dsanon_eval.seeing.observation import Suite
from dsanon_eval.seeing.pictures import Means
from dsanon_eval.seeing.watch import observe
from dsanon_eval.utility import training

UNDONE = ("blur9", "pixelate16")  # controls that are undone beside the release
TAUGHT = ("original", "blackout", "blur9")  # pictures that a detector learns from beside the release


def means_of(case: Case) -> tuple[Means, list[str]]:
    """What an attacker of this release has, and a note where the generator is not the one that painted it."""
    configuration = case.about.get("configuration", {})
    method, on_miss = str(configuration.get("method", "")), str(configuration.get("on_miss", "mask"))
    networks = str(case.paths.audit / "networks")
    if method not in GENERATORS:
        return Means(method, on_miss, networks=networks), []
    name = GENERATORS[method]
    model = next((m for m in store.describe() if m["name"] == name), None)
    if model is None or not model["usable"] or model["sha256"] != case.about.get("weights", {}).get(name):
        note = (
            f"{name} is not here as it painted the release: no attacker could run the method under a key of his own, "
            f"so {parrot.NAME} of the release was not measured"
        )
        return Means(method, on_miss, networks=networks), [note]
    file = store.path(name)
    identities = read_card(file).config.identities
    return Means(method, on_miss, str(file), identities, networks, crowded(case, identities)), []


def crowded(case: Case, identities: int) -> tuple[tuple[str, int], ...]:
    """Scopes with more pseudonyms of painted faces than ``identities``, above 0, and with how many: all public."""
    painted = case.rows.filter(pc.equal(case.rows["status"], "anonymized"))
    pairs = set(zip(painted["scope"].to_pylist(), painted["subject"].to_pylist(), strict=True))
    counts = Counter(scope for scope, _ in pairs)
    return tuple(sorted(item for item in counts.items() if 0 < identities < item[1]))


def measure(
    case: Case, chosen: set[str], measured: int, pairs: int, seeds: int, suite: Suite, means: Means, crew: Crew
) -> tuple[list[Measurement], list[str]]:
    """Reversal and training on the release, over the ``chosen`` samples; and notes.

    measured, pairs: faces that are restored, and learnt from, at most · seeds: trainings of every detector
    """
    learnt, asked = reversal.sides(case, chosen, measured, pairs)
    if not asked:
        return [], ["no network was trained: nobody would be left to measure it on"]
    kinds = ("release", *UNDONE)
    notes: list[str] = []
    with arithmetic(crew.threads):
        names, count = reversal.learn(case, learnt, kinds, means, case.paths.audit / "networks", undo.STEPS)
    if not names:
        notes.append(f"no network was trained: {count} faces to learn from, at least {reversal.LEAST} are needed")
        return [], notes
    restoring = Suite(recognisers=suite.recognisers)
    looks = [("original", suite), ("release", suite), *((control, suite) for control in UNDONE)]
    looks += [(reversal.kind_of(control, network), restoring) for control, network in names.items()]
    scenes = ((scene, tuple(looks)) for scene in case.scenes(asked))
    with Cache(case.paths.audit) as cache:
        data = case.paths.release / "data"
        gathered = gather(observe(scenes, len(asked), case.root, data, crew, cache, means))
    figures = reversal.reversal(gathered, names)
    with arithmetic(crew.threads):
        taught = training.windows(case, learnt, ("release", *TAUGHT), means)
        figures += training.measure(taught, training.windows(case, asked, ("original",), means), seeds)
    notes.append(
        f"networks were trained on {count} faces of half of the people, and measured on {len(gathered.faces)} of others"
    )
    return figures, notes
