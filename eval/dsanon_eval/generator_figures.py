"""``python -m dsanon_eval.generator_figures``: what a generator's weights are worth, on people they never saw.

CelebA's partition 2 and LFW's pairs: identity control, recognition, detection, distance to real faces. Every person
gets one control vector, as in a release; the faces of a second run with other weights come from the cache.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dsanon import shape_model
from dsanon.durable import write_json
from dsanon.errors import DsanonError, UsageError
from dsanon.methods.ciagan import Painter
from dsanon.models import store
from dsanon.models.weights import read_card
from dsanon.naming import Names
from dsanon.plan import Control, assign
from dsanon.progress import Progress
from dsanon.render import Strength, Treatment, render
from dsanon.sample import Pixels
from dsanon.sources.lfw import parse_pairs
from dsanon_eval.attacks import control as identity_control
from dsanon_eval.attacks import lfw_protocol, reidentification
from dsanon_eval.attacks.disjoint import refuse_trained_on
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import recognisers
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.code import PAINTING, digest
from dsanon_eval.seeing.faces import control, place
from dsanon_eval.seeing.known_faces import KnownFace, celeba_test_samples, find, lfw_samples
from dsanon_eval.seeing.observation import Instruments, Observation, Suite, fingerprint, picture_key, usable
from dsanon_eval.utility import detection, frechet

KEY = b"which vectors the figures use: fixed, so that two generators are asked for the same people"
DETECTORS = ("hog", "centerface", "yunet", "retinaface")


class Bench:
    """Instruments, cache and generator: what it takes to observe a face as it was, as a control and as painted."""

    def __init__(self, weights: Path, cache: Cache) -> None:
        self.detectors, missing = usable(DETECTORS)
        self.recognisers, more = usable(recognisers.RECOGNISERS)
        self.notes = missing + more
        self.cache, self.weights = cache, store.sha256(weights)
        self.painter = Painter(weights, "cpu", 1)
        self._opened: dict[Suite, Instruments] = {}

    def suite(self, everything: bool) -> Suite:
        """All instruments, or the recognisers alone."""
        return Suite(tuple(self.detectors) if everything else (), tuple(self.recognisers), features=everything)

    def paint(self, face: KnownFace, vector: Control) -> Pixels:
        """The photo with the person's face painted over."""
        plan = [Treatment(face.region, "ciagan", vector)]
        return render([face.pixels()], [plan], Strength(9, 16), self.painter)[0]

    def originals(self, faces: Sequence[KnownFace]) -> list[Observation]:
        """Every face as it was."""
        return self._all("original", [(f, "original", f.pixels) for f in faces], self.suite(True))

    def controls(self, faces: Sequence[KnownFace], name: str) -> list[Observation]:
        """Every face as the control ``name`` has it."""

        def make(face: KnownFace) -> Pixels:
            return control(face.pixels(), [face.region], name)

        return self._all(name, [(f, name, partial(make, f)) for f in faces], self.suite(True))

    def painted(self, faces: Sequence[tuple[KnownFace, Control]], suite: Suite) -> list[Observation]:
        """Every face under its vector."""
        made_by = f"{self.weights} {store.sha256(store.path(shape_model.NAME))} {digest(*PAINTING)}"
        jobs = [(f, f"{made_by} {vector}", partial(self.paint, f, vector)) for f, vector in faces]
        return self._all("painted", jobs, suite)

    def _all(
        self, stage: str, jobs: Sequence[tuple[KnownFace, str, Callable[[], Pixels]]], suite: Suite
    ) -> list[Observation]:
        """What the suite sees in each job's picture: of a face, under a name, made by a function if need be."""
        out = []
        with Progress(stage, len(jobs)) as progress:
            for done, (face, kind, make) in enumerate(jobs, 1):
                out.append(self._observe(face, kind, suite, make))
                progress.add({"samples": 1, "faces": 1})
                if done % 50 == 0 or done == len(jobs):
                    self.cache.commit()
        return out

    def _observe(self, face: KnownFace, kind: str, suite: Suite, make: Callable[[], Pixels]) -> Observation:
        key = picture_key(face.sha256, kind, [face.region], fingerprint(suite))
        if (stored := self.cache.get(key)) is not None:
            return Observation.decode(stored)
        if suite not in self._opened:
            self._opened[suite] = Instruments(suite)
        points = np.array(face.region.landmarks).reshape(1, 68, 2)
        seen = self._opened[suite].observe(make(), [face.region], list(points))
        self.cache.put(key, seen.encode())
        return seen


def measure(
    data: Path, weights: Path, people: int, vectors: int, each: int, folds: int, cache: Cache
) -> dict[str, Any]:
    """All figures, as the object that is written. Raises UsageError where DATA lacks the datasets."""
    began = time.perf_counter()
    bench = Bench(weights, cache)
    identities = read_card(weights).config.identities
    measurements: list[Measurement] = []
    celeba: list[KnownFace] = []
    lfw: list[KnownFace] = []
    pairs: list[Any] = []
    if (data / "celeba").is_dir() and people:
        celeba = list(find("celeba", data / "celeba", celeba_test_samples(data / "celeba", people), cache))
    if (data / "lfw" / "pairs.txt").is_file() and folds:
        pairs = parse_pairs(data / "lfw" / "pairs.txt")[:folds]
        lfw = list(find("lfw", data / "lfw", lfw_samples(data / "lfw", pairs), cache))
    if not celeba and not lfw:
        raise UsageError(f"--data {data}: no faces in celeba/ or lfw/: expected both datasets, and --people or --folds")
    refuse_trained_on(weights, {face.person for face in celeba + lfw})
    given = assign(Names(KEY), "dataset", {face.person for face in celeba + lfw}, identities)
    if celeba:
        measurements += _celeba(bench, celeba, given)
    if lfw:
        measurements += _lfw(bench, lfw, pairs, given)
    measurements += _control(bench, celeba + lfw, min(vectors, identities), each, identities)
    return {
        "schema": 1,
        "weights": bench.weights,
        "people": {"celeba": len({f.person for f in celeba}), "lfw": len({f.person for f in lfw})},
        "photos": {"celeba": len(celeba), "lfw": len(lfw)},
        "folds": len(pairs),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.platform()}",
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.perf_counter() - began, 1),
        "notes": bench.notes,
        "measurements": [m.as_dict() for m in measurements],
    }


def _celeba(bench: Bench, faces: list[KnownFace], given: dict[str, Control]) -> list[Measurement]:
    """Recall@1 in the gallery of originals, detection and distances, with blur 9×9 beside."""
    who = [face.person for face in faces]
    seen = {"original": bench.originals(faces), "blur9": bench.controls(faces, "blur9")}
    seen["release"] = bench.painted([(face, given[face.person]) for face in faces], bench.suite(True))
    out = _looks(bench, "celeba", faces, seen)
    for name in bench.recognisers:
        model = recognisers.label(name)
        gallery = np.concatenate([o.embeddings[name] for o in seen["original"]])
        for kind, observed in seen.items():
            probes = np.concatenate([o.embeddings[name] for o in observed])
            for figure, own in (("celeba_recall_at_1", False), ("celeba_self_recall_at_1", True)):
                found = reidentification.ranks(probes, gallery, who, own)
                out += reidentification.measure(found, figure, model, kind)
                if kind == "original":
                    out += reidentification.chance(found, figure, model)
    return out


def _lfw(bench: Bench, faces: list[KnownFace], folds: list[Any], given: dict[str, Control]) -> list[Measurement]:
    """TAR at FAR 0.001 with the second image anonymized, detection and distances on these second images."""
    wanted = {(f"lfw/{p.second}", p.j) for fold in folds for p in fold}
    second = [face for face in faces if (face.person, face.number) in wanted]
    originals = bench.originals(faces)
    painted = bench.painted([(face, given[face.person]) for face in second], bench.suite(True))
    first = {id(face): seen for face, seen in zip(faces, originals, strict=True)}
    out = _looks(bench, "lfw", second, {"original": [first[id(face)] for face in second], "release": painted})
    if len(folds) < 2:
        bench.notes.append("LFW's TAR: one fold has no other to take the threshold from (--folds 2 or more)")
        return out
    for name in bench.recognisers:
        was = _vectors(faces, originals, name)
        everybody = lfw_protocol.all_pairs_impostors(was)
        for kind, now in (("original", was), ("release", _vectors(second, painted, name))):
            scores = lfw_protocol.fold_scores(folds, was, now)
            out += lfw_protocol.measure(scores, recognisers.label(name), kind, everybody)
    return out


def _vectors(faces: Sequence[KnownFace], seen: Sequence[Observation], name: str) -> lfw_protocol.Vectors:
    return {
        (face.person.removeprefix("lfw/"), face.number): o.embeddings[name][0]
        for face, o in zip(faces, seen, strict=True)
    }


def _looks(
    bench: Bench, dataset: str, faces: Sequence[KnownFace], seen: dict[str, list[Observation]]
) -> list[Measurement]:
    """Detection and Fréchet distances of all that was observed of ``faces``."""
    who = [face.person for face in faces]
    places = [place(face.region) for face in faces]
    out = []
    for detector in bench.detectors:
        before = [o.found(detector, p) for o, p in zip(seen["original"], places, strict=True)]
        for kind, observed in seen.items():
            after = [o.found(detector, p) for o, p in zip(observed, places, strict=True)]
            out += detection.measure(detector, kind, before, after, who) if kind != "original" else []
    real = np.concatenate([o.face_features for o in seen["original"]])
    for kind, observed in seen.items():
        out += frechet.measure("face", kind, real, np.concatenate([o.face_features for o in observed]), who)
    return [_renamed(m, f"{dataset}_{m.name}") for m in out]


def _control(bench: Bench, faces: list[KnownFace], vectors: int, each: int, identities: int) -> list[Measurement]:
    """Identity control over ``vectors`` one-hot vectors, ``each`` patterns and probes of each."""
    people = [face.person for face in faces]
    chosen = np.linspace(0, identities - 1, vectors).round().astype(int).tolist()
    trials = identity_control.trials(people, chosen, each)
    jobs = [(faces[trial.source], Control((trial.vector,), (1.0,))) for trial in trials]
    rows = bench.painted(jobs, bench.suite(False))
    out = []
    for name in bench.recognisers:
        embedded = np.concatenate([o.embeddings[name] for o in rows])
        out += identity_control.recall(embedded, trials, people, recognisers.label(name))
        out += identity_control.distances(embedded, trials, people, recognisers.label(name))
    return out


def _renamed(m: Measurement, name: str) -> Measurement:
    return Measurement(name, m.model, m.control, m.value, m.ci95, m.n, m.paper, m.gate)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the JSON file and print the figures; 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m dsanon_eval.generator_figures", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with celeba/ and lfw/")
    parser.add_argument("--weights", type=Path, required=True, help="a generator's .safetensors file")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--people", type=int, default=30, help="of CelebA's partition 2 [30]")
    parser.add_argument("--vectors", type=int, default=20, help="control vectors to tell apart [20]")
    parser.add_argument("--each", type=int, default=10, help="patterns, and probes, of each vector [10]")
    parser.add_argument("--folds", type=int, default=2, help="of LFW's ten; 0 leaves LFW out [2]")
    parser.add_argument("--cache", type=Path, help="remembers what was seen of real faces [OUT.cache, mode 0700]")
    options = parser.parse_args(arguments)
    import torch

    torch.set_flush_denormal(True)
    try:
        with Cache(options.cache or options.out.with_name(options.out.name + ".cache")) as cache:
            report = measure(
                options.data, options.weights, options.people, options.vectors, options.each, options.folds, cache
            )
        write_json(options.out, report)
    except DsanonError as error:
        print(f"generator_figures: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        torch.set_flush_denormal(False)
    for m in report["measurements"]:
        interval = "" if m["ci95"] is None else f"[{m['ci95'][0]:.4f}, {m['ci95'][1]:.4f}]"
        print(f"{m['name']:<36} {m['model']:<32} {m['control']:<9} {m['value']:9.4f} {interval:<18} n={m['n']}")
    for note in report["notes"]:
        print(note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
