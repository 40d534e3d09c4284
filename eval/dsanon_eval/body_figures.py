"""``python -m dsanon_eval.body_figures``: what the weights of a generator of bodies are worth, on unseen people.

Everybody with a silhouette in DATA's COCO folders and mots/ whom training only looks at. Does the control vector decide
who a body is, by a network that took no part (OSNet)? Does a detector of pedestrians find whom it found before? The
audit of a release tells the rest.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dsanon.bodies import body_transform
from dsanon.durable import write_json
from dsanon.errors import DsanonError, UsageError
from dsanon.images import decode
from dsanon.methods.ciagan import Painter
from dsanon.models import store
from dsanon.models.weights import read_card
from dsanon.plan import Control
from dsanon.progress import Progress
from dsanon.render import Strength, Treatment, render
from dsanon.sample import Person, Pixels, Region
from dsanon.sources.silhouettes import box_of, to_mask
from dsanon_eval.attacks import control as identity_control
from dsanon_eval.attacks.disjoint import refuse_trained_on
from dsanon_eval.generator_figures import lines
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks.recognisers import Osnet
from dsanon_eval.utility.pedestrians import Pedestrians, Shot, recall

Paint = Callable[[int, Control], Pixels]  # the photo of a body, by its index, with that body under a vector


class Unseen:
    """Bodies that no generator of ours trains on. labels: whose · regions: where · each in the photo of ``pixels``."""

    def __init__(self, data: Path, weights: Path) -> None:
        from dsanon_training.body_crops import body, instances

        people = [person for person in instances(data) if person.held_out and body(person) is not None]
        if len({person.label for person in people}) < 2:
            raise UsageError(
                f"--data {data}: {len(people)} people whom training only looks at: expected two or more, with "
                "silhouettes, in COCO folders or mots/"
            )
        refuse_trained_on(weights, {person.label for person in people})
        self.labels = [person.label for person in people]
        self._paths = [Path(person.path) for person in people]
        self.regions = [
            Region(
                "body",
                box_of(person.silhouette),
                silhouette=person.silhouette,
                transform=tuple(body_transform(to_mask(person.silhouette)).ravel().tolist()),
            )
            for person in people
        ]

    def pixels(self, index: int) -> Pixels:
        """The photo of the ``index``-th body."""
        return decode(self._paths[index].read_bytes())[0]


def measure(data: Path, weights: Path, vectors: int, each: int) -> dict[str, Any]:
    """All figures, as the object that is written. Raises UsageError for too few people, and for a number below 1."""
    began = time.perf_counter()
    for option, value in (("--vectors", vectors), ("--each", each)):
        if value < 1:
            raise UsageError(f"{option} {value}: expected 1 or more")
    unseen, painter = Unseen(data, weights), Painter(weights, "cpu", 1)
    identities = read_card(weights).config.identities

    def painted(index: int, control: Control) -> Pixels:
        plan = [Treatment(unseen.regions[index], "ciagan", control)]
        return render([unseen.pixels(index)], [plan], Strength(9, 16), None, body_painter=painter)[0]

    measurements = _control(unseen, painted, identities, vectors, each) + _pedestrians(unseen, painted, identities)
    return {
        "schema": 1,
        "weights": store.sha256(weights),
        "people": len(set(unseen.labels)),
        "bodies": len(unseen.labels),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.platform()}",
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.perf_counter() - began, 1),
        "measurements": [m.as_dict() for m in measurements],
    }


def _control(unseen: Unseen, painted: Paint, identities: int, vectors: int, each: int) -> list[Measurement]:
    """Over ``vectors`` one-hot vectors, ``each`` patterns and probes of each, and mixes of two."""
    network = Osnet()
    chosen = np.linspace(0, identities - 1, min(vectors, identities)).round().astype(int).tolist()
    trials = identity_control.trials(unseen.labels, chosen, each)
    blends = identity_control.blends(trials)

    def seen(index: int, control: Control) -> np.ndarray:
        return np.asarray(network.embed([network.crop(painted(index, control), unseen.regions[index].box)])[0])

    wanted = [(t.source, Control((t.vector,), (1.0,))) for t in trials]
    wanted += [(b.source, Control(b.parents, (0.5, 0.5))) for b in blends]
    embedded = []
    with Progress("control", len(wanted)) as bar:
        for index, vector in wanted:
            embedded.append(seen(index, vector))
            bar.add({"samples": 1})
    shown, mixed = embedded[: len(trials)], embedded[len(trials) :]
    out = identity_control.recall(shown, trials, unseen.labels, network.name)
    out += identity_control.distances(shown, trials, unseen.labels, network.name)
    return out + (identity_control.mixes(shown, trials, mixed, blends, unseen.labels, network.name) if blends else [])


def _pedestrians(unseen: Unseen, painted: Paint, identities: int) -> list[Measurement]:
    """Everybody painted once, under a vector drawn by chance."""
    detector, rng, shots = Pedestrians(), np.random.default_rng(0), []
    for index, (label, region) in enumerate(zip(unseen.labels, unseen.regions, strict=True)):
        photo = unseen.pixels(index)
        before = detector(photo)
        after = detector(painted(index, Control((int(rng.integers(identities)),), (1.0,))))
        shots.append(Shot(label, label, (Person(label, body=region.box),), before, after, detector.moved(photo)))
    return recall(shots)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the JSON file and print the figures; 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m dsanon_eval.body_figures", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with COCO folders, mots/ or both")
    parser.add_argument("--weights", type=Path, required=True, help="a .safetensors file of a generator of bodies")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--vectors", type=int, default=20, help="control vectors to tell apart [20]")
    parser.add_argument("--each", type=int, default=10, help="patterns, and probes, of each vector [10]")
    options = parser.parse_args(arguments)
    try:
        report = measure(options.data, options.weights, options.vectors, options.each)
        write_json(options.out, report)
    except DsanonError as error:
        print(f"body_figures: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{report['bodies']} bodies of {report['people']} people")
    print(*lines(report["measurements"]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
