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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsanon.durable import write_json
from dsanon.errors import DsanonError, UsageError
from dsanon.models import store
from dsanon.models.weights import read_card
from dsanon.plan import Control
from dsanon.sources.lfw import parse_pairs
from dsanon_eval.attacks import control as identity_control
from dsanon_eval.attacks.disjoint import refuse_trained_on
from dsanon_eval.attacks.lfw_protocol import drawn_of
from dsanon_eval.crew import Crew
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import recognisers
from dsanon_eval.reproduce import figures, rows, worst_results
from dsanon_eval.reproduce.bench import ORIGINAL, PAINTED, Bench, Look, embeddings
from dsanon_eval.reproduce.rows import Row
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.known_faces import KnownFace, celeba_samples, lfw_samples


def measure(
    data: Path,
    weights: Path,
    people: int,
    vectors: int,
    each: int,
    folds: int,
    out: Path,
    cache: Cache,
    crew: Crew | None = None,
) -> dict[str, Any]:
    """All figures, as the object that is written; the pages of the worst faces are written beside ``out``.

    Raises UsageError where DATA lacks the datasets, and for a number below 0.
    """
    began = time.perf_counter()
    for option, value in (("--people", people), ("--vectors", vectors), ("--each", each), ("--folds", folds)):
        if value < 0:
            raise UsageError(f"{option} {value}: expected 0 or more")
    bench = Bench(cache, crew)
    identities = read_card(weights).config.identities
    release = Row("release", "", "", weights)
    measurements: list[Measurement] = []
    celeba: list[KnownFace] = []
    lfw: list[KnownFace] = []
    pairs: list[Any] = []
    if (data / "celeba").is_dir() and people:
        celeba = bench.find("celeba", data / "celeba", celeba_samples(data / "celeba", 2, people))
    if (data / "lfw" / "pairs.txt").is_file() and folds:
        pairs = parse_pairs(data / "lfw" / "pairs.txt")[:folds]
        lfw = bench.find("lfw", data / "lfw", lfw_samples(data / "lfw", pairs))
    refuse_trained_on(weights, {face.person for face in celeba + lfw})  # control paints first images of pairs, too
    if not celeba and not lfw:
        raise UsageError(f"--data {data}: no faces in celeba/ or lfw/: expected both datasets, and --people or --folds")
    if celeba:
        shown = [*rows.controls(ORIGINAL, "blur9"), release]
        seen = {row.name: bench.see(row.name, row.looks(celeba)) for row in shown}
        found = figures.looks(celeba, seen) + figures.recalls(bench.recognisers, celeba, seen)
        measurements += [replace(m, name=f"celeba_{m.name}") for m in found]
    if lfw:
        measurements += _lfw(bench, lfw, pairs, release)
    measurements += _control(bench, celeba + lfw, weights, min(vectors, identities), each)
    worst = worst_results.pages(
        worst_results.judge(bench, release.looks(celeba + figures.second_images(pairs, lfw))), out
    )
    return {
        "schema": 1,
        "weights": store.sha256(weights),
        "people": {"celeba": len({f.person for f in celeba}), "lfw": len({f.person for f in lfw})},
        "photos": {"celeba": len(celeba), "lfw": len(lfw)},
        "folds": len(pairs),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.platform()}",
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.perf_counter() - began, 1),
        "notes": bench.notes,
        "worst": [path.name for path in worst],
        "measurements": [m.as_dict() for m in measurements],
    }


def _lfw(bench: Bench, faces: list[KnownFace], folds: list[Any], release: Row) -> list[Measurement]:
    """TAR at FAR 0.001 with the second image anonymized, detection and distances on these second images."""
    second = figures.second_images(folds, faces)
    originals = bench.see(ORIGINAL, [Look(face, ORIGINAL) for face in faces])
    seen = {row.name: bench.see(row.name, row.looks(second)) for row in (*rows.controls(ORIGINAL), release)}
    out = [replace(m, name=f"lfw_{m.name}") for m in figures.looks(second, seen)]
    if len(folds) < 2:
        bench.notes.append("LFW's TAR: one fold has no other to take the threshold from (--folds 2 or more)")
        return out
    bench.notes.append(f"LFW's TAR by all pairs: the impostors are of {drawn_of(len(faces))}")
    return out + figures.verification(bench.recognisers, folds, faces, originals, second, seen)


def _control(bench: Bench, faces: list[KnownFace], weights: Path, vectors: int, each: int) -> list[Measurement]:
    """Identity control over ``vectors`` one-hot vectors, ``each`` patterns and probes of each, and mixes of two.

    None, and a note, where there is nothing to control or nobody to control it on.
    """
    faces = [face for face in faces if face.region.transform]  # the others are masked, whatever their vector
    people = [face.person for face in faces]
    if min(vectors, each) < 1 or len(set(people)) < 2:
        bench.notes.append(
            f"identity control was not measured: {vectors} vectors, {each} faces of each, {len(set(people))} people "
            "whose face could be aligned (expected 1, 1 and 2 at least; some generators take no vector)"
        )
        return []
    chosen = np.linspace(0, read_card(weights).config.identities - 1, vectors).round().astype(int).tolist()
    trials = identity_control.trials(people, chosen, each)
    looks = [Look(faces[trial.source], PAINTED, weights, Control((trial.vector,), (1.0,))) for trial in trials]
    seen = bench.see("control", looks, bench.recognition)
    blends = identity_control.blends(trials)
    halves = [Look(faces[b.source], PAINTED, weights, Control(b.parents, (0.5, 0.5))) for b in blends]
    mixed = bench.see("mixes", halves, bench.recognition)
    out = []
    for name in bench.recognisers:
        embedded, model = embeddings(seen, name), recognisers.label(name)
        out += identity_control.recall(embedded, trials, people, model)
        out += identity_control.distances(embedded, trials, people, model)
        if blends:
            out += identity_control.mixes(embedded, trials, embeddings(mixed, name), blends, people, model)
    return out


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
    parser.add_argument("--workers", type=int, default=0, help="Ray actors; 0 works in this process [0]")
    options = parser.parse_args(arguments)
    import torch

    torch.set_flush_denormal(True)
    try:
        kept = options.cache or options.out.with_name(options.out.name + ".cache")
        with Cache(kept) as cache, Crew(max(0, options.workers)) as crew:
            report = measure(
                options.data,
                options.weights,
                options.people,
                options.vectors,
                options.each,
                options.folds,
                options.out,
                cache,
                crew,
            )
        write_json(options.out, report)
    except DsanonError as error:
        print(f"generator_figures: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        torch.set_flush_denormal(False)
    pages = (f"to look at: {options.out.with_name(name)}" for name in report["worst"])
    print(*lines(report["measurements"]), *report["notes"], *pages, sep="\n")
    return 0


def lines(measurements: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A line for each, as :meth:`Measurement.as_dict` has them."""
    for m in measurements:
        interval = "" if m["ci95"] is None else f"[{m['ci95'][0]:.4f}, {m['ci95'][1]:.4f}]"
        yield f"{m['name']:<36} {m['model']:<32} {m['control']:<14} {m['value']:9.4f} {interval:<18} n={m['n']}"


if __name__ == "__main__":
    sys.exit(main())
