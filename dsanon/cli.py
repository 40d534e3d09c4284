"""The command line. Heavy imports wait inside the commands, so that ``dsanon --help`` answers at once."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dsanon import __version__, catalogue
from dsanon.catalogue import Json, table
from dsanon.errors import DsanonError, UsageError

app = typer.Typer(
    name="dsanon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Anonymize the people in image and video datasets, failing closed: what cannot be anonymized is not released.",
    epilog="Example: dsanon anonymize --dataset lfw lfw/ lfw-release/",
)

_FINDINGS = 20  # leaks that an audit prints

Release = Annotated[Path, typer.Argument(metavar="RELEASE", help="A release that `dsanon anonymize` made.")]
Place = Annotated[
    str, typer.Argument(metavar="RELEASE", help="A release that `dsanon anonymize` made: a folder or s3://…")
]
Private = Annotated[Path | None, typer.Option(help="Its private side, if not RELEASE.private.")]
Workers = Annotated[
    int,
    typer.Option(
        help="Ray actors; 0 runs here, without Ray \\[default: all cores, or all of the cluster's].", show_default=False
    ),
]
RayAddress = Annotated[str | None, typer.Option(help="An existing Ray cluster with shared storage.")]
Key = Annotated[Path | None, typer.Option(help="Its key file, if not in the private side.")]


@app.command()
def anonymize(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The dataset's folder, a video file, or s3://… Never written to.")
    ],
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="The folder to make, or s3://…; it appears only when it is whole.")
    ],
    dataset: Annotated[str, typer.Option(help="lfw, celeba, coco, mots, mot, folder or video.")],
    method: Annotated[str, typer.Option(help="ciagan, pix2pix, cyclegan, blur, pixelate or mask.")] = "ciagan",
    kernel: Annotated[int, typer.Option(help="Of blur, in pixels of a 128-pixel face crop.")] = 9,
    block: Annotated[int, typer.Option(help="Of pixelate: a cell's side, in pixels of a 128-pixel face crop.")] = 16,
    regions: Annotated[str, typer.Option(help="face, body or both \\[default: body for mots, else face].")] = "",
    scope: Annotated[
        str,
        typer.Option(
            help="Where one person keeps one fake identity: dataset, camera, sequence or image "
            "\\[default: sequence for mots, mot and video, else dataset]."
        ),
    ] = "",
    cameras: Annotated[Path | None, typer.Option(help="For --scope camera: sequence,camera on each line.")] = None,
    detectors: Annotated[
        str,
        typer.Option(
            help="Comma-separated, options behind colons, e.g. hog:upsample=1,mmod: hog, centerface, mmod; "
            "yunet, retinaface, ssh with your weights (see `dsanon models`)."
        ),
    ] = "hog,centerface",
    on_miss: Annotated[
        str, typer.Option(help="For people whose face cannot be aligned: mask, pixelate or quarantine.")
    ] = "mask",
    keep: Annotated[
        Path | None, typer.Option(help="Who consented, the source's label of one on each line: left as they are.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The secret \\[default: RELEASE.private/key, made if missing].")
    ] = None,
    private: Annotated[
        Path | None, typer.Option(help="What must not be published \\[default: RELEASE.private].")
    ] = None,
    workers: Workers = -1,
    ray_address: RayAddress = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a finished release.")] = False,
    review: Annotated[
        Path | None, typer.Option(help="With --resume: apply what `dsanon review` decided to the finished release.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N, in source order; an audit needs many people.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda (workers share), or cuda:N (--workers 0).")] = "auto",
    batch: Annotated[int, typer.Option(help="Faces a forward pass on a GPU.")] = 16,
    seed: Annotated[int, typer.Option(help="Another one gives another assignment under the same key.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a release in which nobody can be recognised."""
    from dsanon.config import JobConfig
    from dsanon.job import anonymize as run
    from dsanon.job import check_source
    from dsanon.layout import ReleasePaths
    from dsanon.plan import read_cameras, read_kept
    from dsanon.progress import FirstLines
    from dsanon.storage import place

    count = _count(workers, ray_address)
    if review and not resume:
        raise UsageError("--review goes with --resume: it changes a finished release")
    dataset_place = check_source(place(source))
    config = JobConfig(
        dataset=dataset,
        source=dataset_place,
        method=method,
        kernel=kernel,
        block=block,
        regions=regions,
        scope=scope,
        detectors=detectors,
        on_miss=on_miss,
        limit=limit,
        seed=seed,
        batch=batch,
        device=device,
        cameras=tuple(sorted(read_cameras(cameras).items())) if cameras else (),
        kept=read_kept(keep) if keep else frozenset(),
    )
    paths = ReleasePaths.of(dataset_place, place(release), private, key)
    with redirect_stdout(FirstLines()):  # Ray reports a dead worker on standard output
        outcome = run(config, paths, count, ray_address, resume, overwrite, review=review)
    for warning in outcome.warnings:
        print(f"dsanon: note: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(outcome.as_dict()))
    else:
        statuses = ", ".join(f"{count} {status}" for status, count in outcome.counts.by_status().items() if count)
        print(f"{outcome.counts.samples} samples: {statuses}")
        print(f"release  {paths.name}\ncard     {paths.name}/CARD.md")
        print(f"private  {paths.private} (never publish it)")
        if outcome.counts.quarantined:
            print(f"incomplete: see {paths.quarantine} for the samples that were withheld")
    if outcome.counts.quarantined:
        raise typer.Exit(3)


@app.command()
def audit(
    release: Place,
    source: Annotated[str, typer.Option(help="The dataset that it was made from: a folder, a video file or s3://…")],
    private: Private = None,
    key: Key = None,
    suite: Annotated[str, typer.Option(help="quick (a sample of people) or full.")] = "quick",
    gates: Annotated[Path | None, typer.Option(help="Bounds of your own \\[default: those that ship].")] = None,
    attributes: Annotated[
        Path | None, typer.Option(help="What is known of the photos, as CelebA's list_attr_celeba.txt: subgroups.")
    ] = None,
    with_source: Annotated[
        bool, typer.Option("--with-source", help="A second page with crops of the source, on the private side.")
    ] = False,
    workers: Workers = -1,
    ray_address: RayAddress = None,
    as_json: Json = False,
) -> None:
    """Attack a release as an adversary would, and check every gate; writes RELEASE/audit."""
    from dsanon_eval.audit import audit as run
    from dsanon_eval.measurement import as_line

    from dsanon.layout import ReleasePaths
    from dsanon.objects import at_hand
    from dsanon.progress import FirstLines
    from dsanon.storage import Bucket, place

    count = _count(workers, ray_address)
    made, given = place(release), place(source)
    if isinstance(made, Bucket):
        private = ReleasePaths.of(None, made, private, key).private
    with at_hand(made, given) as (folder, originals), redirect_stdout(FirstLines()):
        done = run(folder, originals, private, key, suite, gates, count, attributes, with_source, ray_address)
    if as_json:
        print(json.dumps(done.report))
    else:
        rows = [row for row in done.report["measurements"] if row["gate"] or row["control"] == "release"]
        for line in [*map(as_line, rows), *done.report["notes"]]:
            print(line)
        print(f"read     {f'{made}/audit/report.html' if isinstance(made, Bucket) else done.page}")
        if done.source_page:
            print(f"private  {done.source_page} shows faces of the source: do not pass it on")
    for finding in done.findings[:_FINDINGS]:
        print(f"leak: {finding.file}: {finding.message}", file=sys.stderr)
    if len(done.findings) > _FINDINGS:
        print(f"leak: {len(done.findings) - _FINDINGS} more are in {done.folder / 'findings.json'}", file=sys.stderr)
    for line in done.failed:
        print(f"failed: {line}", file=sys.stderr)
    if done.failed:
        raise typer.Exit(4)


@app.command()
def lookup(
    release: Place,
    private: Private = None,
    key: Key = None,
    subject: Annotated[str | None, typer.Option(help="A pseudonym, or the source's label.")] = None,
    as_json: Json = False,
) -> None:
    """Read the private map back: who became whom."""
    from dsanon.private_map import lookup as read
    from dsanon.storage import place

    rows = read(place(release), private, key, subject)
    if as_json:
        print(json.dumps(rows))
        return
    if subject and not rows:
        raise UsageError(f"--subject {subject!r} is neither a pseudonym nor a label of the source in {release}")
    table(rows, ("sample", "region", "subject", "source_file", "source_subject", "scope"))


@app.command()
def forget(release: Place, private: Private = None, key: Key = None) -> None:
    """Destroy the key for good, so that nobody can look anybody up any more.

    With it goes what would lead back without it: the list of withheld samples, pictures of source and release side by
    side, what an audit remembers, an unfinished run. The encrypted map and the review stay.
    """
    from dsanon.private_map import forget as destroy
    from dsanon.storage import place

    gone = destroy(place(release), private, key)
    print(f"destroyed {gone}, and what leads back without it: the identity map can never be read again")


@app.command()
def review(
    release: Release,
    private: Private = None,
    port: Annotated[
        int, typer.Option(help="Of the page, on 127.0.0.1 \\[default: a free one].", show_default=False)
    ] = 0,
) -> None:
    """Look at the riskiest regions on a local page, and decide: accept, mask or drop."""
    from dsanon_eval.review.desk import open_desk
    from dsanon_eval.review.server import ReviewServer

    desk = open_desk(release, private)
    with ReviewServer(desk, port) as server:
        print(f"open     {server.address} (on this machine only; Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    print(f"decided  {', '.join(f'{count} {verdict}' for verdict, count in desk.counts().items())}")
    print(f"apply    dsanon anonymize … --resume --review {desk.decisions}")


@app.command()
def compare(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="The dataset that the release was made from.")],
    release: Release,
    private: Private = None,
    key: Key = None,
    samples: Annotated[int, typer.Option(help="Pictures on a contact sheet.")] = 12,
    sequence: Annotated[str | None, typer.Option(help="Only this one, by its name in the release.")] = None,
) -> None:
    """Show source and release side by side: a sheet or a clip in the private side. Never publish it."""
    from dsanon_eval.review.compare import compare as run

    done = run(release, source, private, samples, sequence, key)
    for file in done.files:
        print(f"open     {file} (it shows source faces: never publish it)")


@app.command()
def demo(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it.")] = Path("dsanon-demo")) -> None:
    """Anonymize an example that ships, with several faces and a short sequence, and audit the release."""
    from dsanon_eval.audit import audit as attack

    from dsanon.demo import run

    source, release = run(folder)
    done = attack(release, source)
    for line in done.failed:
        print(f"failed: {line}", file=sys.stderr)
    print(f"open     {done.page}")
    if done.failed:
        raise typer.Exit(4)


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A shipped recipe (see `dsanon recipes`) or a .toml file.")
    ],
    data: Annotated[Path, typer.Option(help="A folder with celeba/ and lfw/, or COCO folders and mots/ for bodies.")],
    out: Annotated[Path, typer.Option(help="The run's folder: checkpoints, grids, log, weights.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, e.g. steps=100; repeatable (keys: docs/training.md).")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes: a GPU each, or a share of the cores \\[default: one per GPU, else 1]."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, exactly.")] = False,
) -> None:
    """Train a generator, or pnca, the auditor, from a recipe."""
    from dsanon_training.launch import train as run
    from dsanon_training.recipe import load_recipe
    from dsanon_training.report import Report

    print(run(load_recipe(recipe, settings), data, out, workers, resume, Report()))


@app.command()
def reproduce(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="table1, table2, table3, landmarks or swap.")],
    data: Annotated[Path, typer.Option(help="A folder with celeba/ and lfw/, or one of the two itself.")],
    out: Annotated[Path, typer.Option(help="Where the tables go, and what was seen of the faces is remembered.")],
    limit: Annotated[
        int | None, typer.Option(help="Only N people of CelebA, or N pairs of each kind in each of LFW's folds.")
    ] = None,
    faces: Annotated[int, typer.Option(help="For swap: faces to paint.")] = 5000,
    workers: Workers = -1,
    as_json: Json = False,
) -> None:
    """Run one of the paper's experiments, with its figures beside ours."""
    from dsanon_eval.reproduce.command import reproduce as run

    from dsanon.progress import FirstLines

    with redirect_stdout(FirstLines()):
        done = run(experiment, data, out, limit, faces, _count(workers))
    print(json.dumps(done.report) if as_json else f"{done.page}\nwritten to {done.file}")


for command in (catalogue.datasets, catalogue.methods, catalogue.recipes):
    app.command()(command)
app.add_typer(catalogue.models_app, name="models")


def _count(workers: int, ray_address: str | None = None) -> int:
    """How many workers. Raises UsageError."""
    from dsanon.executor import EVERYWHERE
    from dsanon.job import default_workers

    if workers < -1:
        raise UsageError(f"--workers {workers}: expected 0 (in this process) or more")
    everything = EVERYWHERE if ray_address else default_workers()
    return everything if workers == -1 else workers


def _version(value: bool) -> None:
    if value:
        print(f"dsanon {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line: one clear line and exit code 2 for bad input, 1 for a fault, no traceback."""
    try:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, _interrupt)
        if not sys.argv[1:]:
            app(["--help"], standalone_mode=False)
            sys.exit(2)
        code = app(standalone_mode=False)  # else it draws boxes around errors
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code)
    except DsanonError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted: run it again (anonymize and train: with --resume) and it goes on", 1)
    except MemoryError:
        _fail("not enough memory: run it again with fewer --workers (anonymize and train: with --resume, too)", 1)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's, wherever Typer has its click: bad usage
            _fail(f"{error.format_message()} (see --help)", 2)
        if os.environ.get("DSANON_DEBUG"):
            raise
        _fail(f"a fault of the program: {type(error).__name__}: {error} (DSANON_DEBUG=1 shows where)", 1)


_INTERRUPTED = 130  # what Typer makes of Ctrl-C


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _fail(text: str, code: int) -> NoReturn:
    print(f"dsanon: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(code)
