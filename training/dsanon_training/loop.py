"""The training loop, to be read from top to bottom. What a step does with a batch is its family's business."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dsanon
from dsanon.errors import RecipeError
from dsanon_training import checkpoints
from dsanon_training.batches import People, plain, stream
from dsanon_training.crops import open_crops
from dsanon_training.embedder import Embedder
from dsanon_training.engine import Engine
from dsanon_training.families import Family, open_family
from dsanon_training.grids import LOOKED, look
from dsanon_training.model_card import terms, write_auditors_card, write_card
from dsanon_training.recipe import Recipe
from dsanon_training.report import Report
from dsanon_training.run_folder import RunFolder
from dsanon_training.strangers import Strangers

CHECKPOINT = "checkpoint.pt"


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate at ``step``: linear warm-up, constant, then linear to a tenth from ``decay_from`` on."""
    start = recipe.decay_from * recipe.steps
    late = max(0.0, step - start) / max(1.0, recipe.steps - start)
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup) * (1 - 0.9 * late)


def run(recipe: Recipe, cache: Path, out: Path, engine: Engine, report: Report) -> Path:
    """Train ``recipe`` on the crops in ``cache``, from the checkpoint in ``out`` on if there is one.

    Every process runs this; the first one writes. Returns the exported generator's path.
    """
    leads = engine.rank == 0
    crops = open_crops(cache)
    people = People(crops, recipe.min_photos, recipe.strangers)
    shown = "bodies" if crops.bodies else "faces"
    if not people.identities or len(people.training) < recipe.batch:
        raise RecipeError(
            f"{len(people.training)} training {shown}, {len(people.identities)} people with {recipe.min_photos} "
            f"photos: a batch of {recipe.batch} needs more; lower batch or min_photos, or give more data"
        )
    if leads:
        some, known, unseen = len(people.training), len(people.identities), len(people.unseen)
        report.line(f"{some} training {shown}, {known} identities, {unseen} unseen")

    # exact resume: networks, optimisers, average and step; all that is drawn is a function of seed, step and rank
    family = open_family(recipe, engine, crops, people)
    parts: dict[str, Any] = {"generator": family.generator, "average": family.average}
    parts |= {**family.networks, **family.descents}
    start, before = 0, 0
    if (out / CHECKPOINT).exists():
        start, before = checkpoints.resume(out / CHECKPOINT, recipe, people.seen, parts)
    elif recipe.init:
        before = checkpoints.start_from(Path(recipe.init), people.hashed, parts, family.critics)
    folder = RunFolder(out, start) if leads else None
    with folder or nullcontext():
        if folder:
            folder.describe(recipe, engine, crops, people, start)
        few = people.unseen if len(people.unseen) else people.training
        count = LOOKED[family.kind]
        looked = plain(crops, few[:: max(1, len(few) // count)][:count]).to(engine.device)
        a, b, c, d, e, f = map(int, np.linspace(0, len(people.identities) - 1, 6))
        targets = [(a,), (b,), (c,), (d,), (c, d), (e, f)]

        batches = stream(crops, people, recipe, start, engine, family.partners)
        began, since, waited = time.perf_counter(), start, 0.0
        for step in range(start, recipe.steps):
            asked = time.perf_counter()
            batch = next(batches).to(engine.device)
            waited += time.perf_counter() - asked
            for descent in family.descents.values():
                descent.set_rate(learning_rate(recipe, step))
            torch.manual_seed(int(np.random.SeedSequence([recipe.seed, step, engine.rank]).generate_state(1)[0]))
            terms = family.step(batch, step)
            follow(family, recipe, step, before)

            done = step + 1
            logs, saves = (done % every == 0 or done == recipe.steps for every in (recipe.log_every, recipe.save_every))
            if logs or saves:
                values = {name: float(value) for name, value in terms.items()}
                if not all(map(math.isfinite, values.values())):
                    raise RecipeError(f"step {done}: the losses are {values}: lower learning_rate and use --resume")
            if logs and folder:
                spent = time.perf_counter() - began
                rate, waiting = (done - since) / spent, waited / spent
                speed = {"steps_per_s": rate, "waiting": waiting, "learning_rate": learning_rate(recipe, step)}
                folder.row(done, values | speed)
                report.status(
                    f"step {done}/{recipe.steps}  {rate:.2f} steps/s  {rate * recipe.batch:.1f} samples/s  "
                    f"{(recipe.steps - done) / rate / 60:.0f} min left  waiting {waiting:.1%}  "
                    + "  ".join(f"{name} {value:.3f}" for name, value in values.items()),
                    last=done == recipe.steps,
                )
                began, since, waited = time.perf_counter(), done, 0.0
            if folder and (done % recipe.grid_every == 0 or done == recipe.steps):
                folder.grid(done, look(family.average, looked, targets))
            if saves:
                engine.agree((family.generator, *family.networks.values()))
                if leads:
                    state = {name: part.state_dict() for name, part in parts.items()}
                    state |= {"step": done, "before": before, "people": people.seen}
                    checkpoints.save(out / CHECKPOINT, state | {"recipe": recipe.as_dict()})
                    export(out, family, people, recipe, before + done)
    return out / f"{recipe.name}.safetensors"


@torch.no_grad()
def follow(family: Family, recipe: Recipe, step: int, before: int) -> None:
    """The average follows the generator; early in a run from random weights it follows faster."""
    keep = recipe.ema if before else min(recipe.ema, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(family.average.parameters()), list(family.generator.parameters()), 1 - keep)
    for mine, theirs in zip(family.average.buffers(), family.generator.buffers(), strict=True):
        mine.copy_(theirs)


def export(out: Path, family: Family, people: People, recipe: Recipe, steps: int) -> None:
    """The average as a file that the job loads, its card, and the critics. Identities are hashed: no names in it."""
    config = family.average.config
    said = {"recipe": recipe.name, "steps": steps, "batch": recipe.batch, "dsanon": dsanon.__version__}
    metadata = {"kind": family.kind, "config": config.as_dict(), **said}
    metadata |= {"identities": people.hashed if config.identities else [], "people": people.seen}
    if isinstance(groups := family.networks.get("strangers"), Strangers):
        metadata["groups"] = groups.group.tolist()
    weights = family.average.state_dict()
    digest = checkpoints.export(out / f"{recipe.name}.safetensors", weights, metadata, terms(recipe, family.average))
    card = out / f"{recipe.name}.md"
    if isinstance(family.average, Embedder):
        write_auditors_card(card, recipe, family.average, people, steps, digest)
    else:
        write_card(card, recipe, family.average, people, steps, digest)
    if family.critics:
        weights = {name: t for critic in family.critics for name, t in checkpoints.own_state(critic).items()}
        checkpoints.export(out / f"{recipe.name}.critics.safetensors", weights, {"kind": "critics", **said})
