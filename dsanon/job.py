"""``dsanon anonymize``: scan, find, link, plan, render, publish. Each is staged, so that a kill loses one shard."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dsanon
from dsanon import shape_model
from dsanon.assignment import assign_shards
from dsanon.card import CardWeights, write_card
from dsanon.config import GENERATORS, JobConfig
from dsanon.detectors import parse_detectors
from dsanon.durable import aside, explained, write_json
from dsanon.errors import DsanonError, ReleaseError, UsageError
from dsanon.executor import Call, Executor, open_executor
from dsanon.key import subkey
from dsanon.layout import ReleasePaths
from dsanon.manifest import Counts, merge
from dsanon.models import MODELS, store
from dsanon.models.painters import BODIES, Generators, generators_of, lacking
from dsanon.naming import Names
from dsanon.nodes import Fact, facts
from dsanon.objects import OWNER, Copy, sweep
from dsanon.private_map import QuarantineRow, read_map_rows, write_map, write_quarantine
from dsanon.progress import Progress
from dsanon.release import open_release, publish, release_json
from dsanon.revision import as_entries, decided, take_over
from dsanon.sample import Sample
from dsanon.seals import discard_damaged, require
from dsanon.shards import Shard, make_shards
from dsanon.sources import Source, open_source, refuse_objects
from dsanon.storage import Bucket
from dsanon.worker import Setup

COPIED = 256  # objects that a worker copies at a call
# packages on which the bits of a release may depend
COMPUTES = ("torch", "openvino", "onnxruntime", "numpy", "ray", "opencv-python", "dlib-bin", "pyarrow")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run did. seconds: by stage · warnings: what its user must know, a line each."""

    counts: Counts
    paths: ReleasePaths
    seconds: dict[str, float]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "state": "incomplete" if self.counts.quarantined else "complete",
            "counts": {"samples": self.counts.samples, **self.counts.by_status(), "regions": self.counts.regions},
            "seconds": {stage: round(s, 3) for stage, s in self.seconds.items()},
            "paths": {
                "release": self.paths.name,
                "manifest": f"{self.paths.name}/manifest.parquet",
                "card": f"{self.paths.name}/CARD.md",
                "private": str(self.paths.private),
                "key": str(self.paths.key),
            },
        }


def anonymize(
    config: JobConfig,
    paths: ReleasePaths,
    workers: int,
    ray_address: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    review: Path | None = None,
) -> Outcome:
    """Make the release. Raises UsageError for bad input, DsanonError for a fault; nothing is published then.

    review: decisions about the finished release, which is replaced by one that follows them
    """
    began = time.perf_counter()
    if paths.bucket:
        refuse_objects(config.dataset, paths.bucket)
    if workers and any(isinstance(p, Bucket) and p.here_only for p in (config.source, paths.bucket)):
        raise UsageError("memory:// lives in this process only: use --workers 0, or storage that workers reach as well")
    if paths.bucket and review:
        raise UsageError(
            f"--review works on a release in a folder, not on {paths.bucket}: review it before it goes there"
        )
    source = open_source(config.dataset, config.source)
    config = config.completed(source.regions, source.scope)
    generators = generators_of(config)
    device = _usable_device(config, generators, workers, here=ray_address is None)
    annotations = _annotations(source)  # first: what changes while it is parsed would pass for what was parsed
    there = source.samples()
    _refuse_unknown_cameras(config, there)
    samples = config.with_known_bodies(there[: config.limit])
    everything = make_shards(samples)
    weights = _weights(config, generators)
    entries = {"configuration": config.entries(), "weights": {w.name: w.sha256 for w in weights}}
    entries["inputs"] = {"samples": len(samples), "listing": _listing(source, samples), "annotations": annotations}
    entries["dsanon"] = {"version": dsanon.__version__, "code": _code()}
    inputs: dict[str, Any] = dict(entries)
    decisions = decided(paths, review) if review else ()
    if decisions:
        inputs["review"] = as_entries(decisions)
    unreviewed = () if review else _unreviewed(paths)
    seconds = {"scan": time.perf_counter() - began}

    with (
        open_release(paths, inputs, resume=resume, overwrite=overwrite or review is not None) as opened,
        explained(paths.partial),
    ):
        names_key = subkey(opened.key, "names", config.seed)
        names = Names(names_key)
        setup = Setup(
            config,
            opened.samples,
            paths.staging,
            names_key,
            generators,
            device,
            decisions,
            _needed(config, samples, paths, generators),
        )
        shards, known = everything, None
        if opened.resumed:
            discard_damaged(everything, paths.staging, opened.samples)
        if review:
            shards, known = take_over(paths, source, names, everything, entries, decisions, opened)
        with ExitStack() as staff:
            executor = staff.enter_context(closing(open_executor(setup, workers, ray_address)))
            seconds["start"] = time.perf_counter() - began - sum(seconds.values())
            staged = _staged(paths)
            pieces = [piece for s in shards for piece in s.pieces()]
            todo: list[Call] = [("find", p, ()) for p in pieces if p.found(paths.staging).name not in staged]
            _run(executor, "find", todo, quiet)
            seconds["find"] = time.perf_counter() - began - sum(seconds.values())
            todo = [("link", s, ()) for s in shards if s.sequence and s.linked(paths.staging).name not in staged]
            _run(executor, "link", todo, quiet)
            seconds["link"] = time.perf_counter() - began - sum(seconds.values())
            controls = assign_shards(config, names, shards, paths.staging, generators, known)
            seconds["plan"] = time.perf_counter() - began - sum(seconds.values())
            todo = [
                ("render", s, (c,))
                for s, c in zip(shards, controls, strict=True)
                if s.done(paths.staging).name not in staged
            ]
            _run(executor, "render", todo, quiet)
            seconds["render"] = time.perf_counter() - began - sum(seconds.values())
            if not paths.bucket:
                staff.close()  # workers have nothing left to do
            counts, notes = _finish(
                config,
                paths,
                source,
                samples,
                annotations,
                everything,
                names,
                weights,
                opened.key,
                opened.fingerprint,
                partial(_copy, executor, quiet),
            )
    seconds["publish"] = time.perf_counter() - began - sum(seconds.values())
    return Outcome(
        counts, paths, seconds, tuple(notes), (*lacking(config, generators), *unreviewed, *_nobody(config, there))
    )


def _unreviewed(paths: ReleasePaths) -> tuple[str, ...]:
    """What the user must know where a release is made afresh that a reviewer had changed."""
    if not paths.applied.exists():
        return ()
    return (
        "the release that this one replaces had regions masked or samples dropped by a reviewer: no decision of theirs "
        "holds for this one, review it anew before you publish it",
    )


def _staged(paths: ReleasePaths) -> set[str]:
    """Names in the staging folder, listed once: on shared storage a look at every shard would take an hour."""
    return {path.name for path in paths.staging.iterdir()}


def _needed(
    config: JobConfig, samples: Sequence[Sample], paths: ReleasePaths, generators: Generators
) -> tuple[Fact, ...]:
    """What every worker must see: the source with its first and last file, staging, release and weights."""
    root = config.source
    files = [root / sample.file for sample in (samples[0], samples[-1])]
    return facts(
        [
            ("SOURCE", root),
            *(("the file of SOURCE", file) for file in files),
            ("the staging folder", paths.staging),
            ("of this run", paths.job),
            ("the unfinished release", paths.bucket.beside(".partial") / OWNER if paths.bucket else paths.data),
            *(("the weights", path) for path, _ in generators.values()),
        ]
    )


def _run(executor: Executor, stage: str, calls: Sequence[Call], quiet: bool, total: int | None = None) -> None:
    """total: samples, by default those of the calls' shards"""
    if not calls:
        return
    total = sum(len(shard.samples) for _, shard, _ in calls) if total is None else total
    with Progress(stage, total, quiet) as progress:
        for counts in executor.run(calls):
            progress.add(counts)


def _copy(executor: Executor, quiet: bool, source: Bucket, names: Sequence[str], target: Bucket) -> None:
    """Let the workers copy a piece of ``names`` each: by the source's shards, times of objects would tell its order."""
    pieces = [names[start : start + COPIED] for start in range(0, len(names), COPIED)]
    calls: list[Call] = [("copy", Shard(number, ()), (source, piece, target)) for number, piece in enumerate(pieces)]
    _run(executor, "copy", calls, quiet, len(names))


def _usable_device(config: JobConfig, generators: Generators, workers: int, here: bool) -> str:
    """Where the workers paint: cpu, cuda, or cuda:N of one process. This machine says what ``auto`` is, for all alike.

    here: the workers are on this machine, so that its devices are theirs
    Raises UsageError for detectors and a device that cannot be used, before hours of work depend on them.
    """
    from dsanon.models.weights import pick_device

    for name in [*(name for name, _ in parse_detectors(config.detectors)), "landmarks68"]:
        if name in MODELS and MODELS[name].formats:  # HOG is compiled into dlib
            store.path(name)
    if workers and ":" in config.device:
        raise UsageError(
            f"--device {config.device} is for --workers 0, for Ray deals GPUs out to workers: use --device cuda, and "
            "CUDA_VISIBLE_DEVICES to choose some"
        )
    device = str(pick_device(config.device)) if here or config.device == "auto" else config.device
    return device if generators else "cpu"


def _refuse_unknown_cameras(config: JobConfig, samples: Sequence[Sample]) -> None:
    """Raises UsageError for --cameras that nothing would come of: two cameras would quietly stay what they are."""
    if config.cameras and config.scope != "camera":
        raise UsageError(f"--cameras is for --scope camera, and the scope is {config.scope}: give both, or neither")
    known = {sample.sequence for sample in samples if sample.sequence is not None}
    unknown = [sequence for sequence, _ in config.cameras if sequence not in known]
    if unknown:
        raise UsageError(
            f"--cameras has the sequence {unknown[0]!r}, which the source has not: expected one of "
            f"{', '.join(sorted(known)[:5]) or 'none, for these are no sequences'}"
        )


def _nobody(config: JobConfig, samples: Sequence[Sample]) -> tuple[str, ...]:
    """A line where labels of --keep are of nobody in the samples: a typing error anonymizes somebody, who consented."""
    lost = sorted(config.kept - {str(person.subject) for sample in samples for person in sample.people})
    return (f"{len(lost)} of {len(config.kept)} labels of --keep are nobody's here, {lost[0]!r} first",) if lost else ()


def _code() -> str:
    """A digest of this program's own files: other code may find other regions, of which a review knows nothing."""
    digest = hashlib.sha256()
    for path in sorted(Path(dsanon.__file__).parent.rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _weights(config: JobConfig, generators: Generators) -> list[CardWeights]:
    """Everything that took part, with licence and terms."""
    names = [name.split(":")[0].strip() for name in config.detectors.split(",") if name.strip()]
    out = []
    about = {str(row["name"]): row for row in store.describe()}
    models = {GENERATORS[config.method] if kind == "face" else BODIES: known for kind, known in generators.items()}
    shaped = [shape_model.NAME] if config.method == "ciagan" else []
    for name in [*names, "landmarks68", *models, *shaped]:
        row = about.get(name, {})
        digest = models[name][1] if name in models else str(row.get("sha256") or "")
        out.append(CardWeights(name, digest, str(row.get("licence", "")), str(row.get("terms", ""))))
    return out


def _listing(source: Source, samples: Sequence[Sample]) -> str:
    """A digest of what the samples are: every file's name, size and time."""
    digest = hashlib.sha256()
    last = ""
    for sample in samples:
        digest.update(sample.id.encode("utf-8", "surrogateescape") + b"\0")
        if sample.file != last:
            last = sample.file
            digest.update(source.version(sample.file).encode())
    return digest.hexdigest()


def _annotations(source: Source) -> str:
    """A digest of the annotation files' bytes; of one that cannot be read ``samples()`` will say so."""
    digest = hashlib.sha256()
    for path in source.inputs():
        with suppress(OSError):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _finish(
    config: JobConfig,
    paths: ReleasePaths,
    source: Source,
    samples: Sequence[Sample],
    annotations_before: str,
    shards: Sequence[Shard],
    names: Names,
    weights: Sequence[CardWeights],
    key: bytes,
    fingerprint: str,
    copy: Copy,
) -> tuple[Counts, list[str]]:
    """Annotations, manifests, card; every sample accounted for; then the release gets its name.

    copy: of samples within object storage
    """
    for shard in shards:
        require(shard.manifest(paths.staging), shard.map(paths.staging), shard.done(paths.staging))
    done = [json.loads(shard.done(paths.staging).read_bytes()) for shard in shards]
    released_ids = {sample for shard in done for sample in shard["released"]}
    released = [sample for sample in samples if sample.id in released_ids]
    counts = merge([s.manifest(paths.staging) for s in shards], paths.partial / "manifest.parquet", paths.staging)
    counts.account_for(len(samples))
    written = {file for shard in done for file in shard["files"]}
    _sweep(paths.data, written)
    if paths.bucket:
        sweep(paths, written)
    notes = source.publish(paths.data, released, names)
    if _annotations(source) != annotations_before:
        raise ReleaseError(
            f"the annotations of SOURCE {config.source} changed during the run, and tell of others than it has hidden:"
            " restore them and go on with --resume, or start afresh with --overwrite"
        )
    annotations = {p.relative_to(paths.data).as_posix() for p in paths.data.rglob("*") if p.is_file()} - written
    _refuse_unknown(source, annotations)
    withheld = [QuarantineRow(*row) for shard in done for row in shard["quarantined"]]
    write_map(paths.staged_map, read_map_rows((s.map(paths.staging) for s in shards), paths.staging), key)
    write_quarantine(paths.staged_quarantine, withheld)
    configuration = config.entries() | {"detectors": [d.strip() for d in config.detectors.split(",")]}
    versions = {name: version(name) for name in COMPUTES}
    versions |= {"dsanon": dsanon.__version__, "python": platform.python_version()}
    sums: Mapping[str, str] = {w.name: w.sha256 for w in weights if w.sha256}
    write_json(paths.partial / "release.json", release_json(counts, configuration, fingerprint, versions, sums))
    with aside(paths.partial / "CARD.md") as file:
        file.write(write_card(configuration, counts, notes, weights).encode())
    publish(paths, written | annotations, copy)
    return counts, notes


def _sweep(data: Path, written: Set[str]) -> None:
    """Delete what workers left that were killed: half-written files, and files of samples that are now withheld."""
    for path in sorted(data.rglob("*"), reverse=True):  # a folder behind what is in it
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(data).as_posix() not in written:
            path.unlink()


def _refuse_unknown(source: Source, files: set[str]) -> None:
    """Only annotations may stand beside the samples: an image that no manifest row names is a leak."""
    from dsanon.sources.stills import IMAGE_SUFFIXES
    from dsanon.sources.video import SUFFIXES

    pictures = {*IMAGE_SUFFIXES, *SUFFIXES}
    masks = source.dataset == "mots"  # its annotations are PNGs below instances/
    stray = [f for f in files if Path(f).suffix.lower() in pictures and not (masks and "instances" in f.split("/"))]
    if stray:
        raise DsanonError(f"data/ holds {len(stray)} pictures that no row accounts for: nothing is released")


def default_workers() -> int:
    """All cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_source(path: Path | Bucket) -> Path | Bucket:
    """SOURCE, absolute. Raises UsageError where it is missing; an adapter says it of object storage."""
    if isinstance(path, Bucket):
        return path
    if not path.exists():
        raise UsageError(f"SOURCE {path} does not exist: name a dataset's folder (or a video file)")
    return path.absolute()
