"""The training loop of the face generator, to be read from top to bottom."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dsanon
from dsanon.errors import RecipeError
from dsanon.models import store
from dsanon.models.generator import Generator, GeneratorConfig, channels_last
from dsanon_training import checkpoints, losses
from dsanon_training.backbones import MobileNetV2Features
from dsanon_training.batches import People, plain, stream
from dsanon_training.crops import Crops, prepare
from dsanon_training.discriminators import PixelDiscriminator, ProjectedDiscriminator
from dsanon_training.grids import save_grid
from dsanon_training.recipe import Recipe
from dsanon_training.teacher import Teacher, arcface_theta

DETAIL = (48, 64, 88, 112)  # pixels across a face of which the teacher is shown one choice at random


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate at ``step``: linear warm-up, constant, then linear to a tenth from ``decay_from`` on."""
    start = recipe.decay_from * recipe.steps
    late = max(0.0, step - start) / max(1.0, recipe.steps - start)
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup) * (1 - 0.9 * late)


def teacher_share(recipe: Recipe, step: int) -> float:
    """How much of the teacher's weight counts at ``step``: realism leads, then it rises along a half cosine."""
    t = (step - recipe.teacher_from) / max(1, recipe.teacher_full - recipe.teacher_from)
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, t)))


def pick_precision(wanted: str) -> torch.dtype:
    """bf16 where a convolution of the generator's kind is measurably faster with it, else float32."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bf16" else torch.float32
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(8, 64, 64, 64, dtype=dtype).to(memory_format=torch.channels_last)
        conv = channels_last(torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype))
        times = []
        for _ in range(5):
            start = time.perf_counter()
            conv(x)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return torch.bfloat16 if seconds[torch.bfloat16] * 1.2 < seconds[torch.float32] else torch.float32


def prototypes(teacher: Teacher, crops: Crops, people: People) -> None:
    """Give the teacher each identity's mean embedding over its photos."""
    known = np.flatnonzero(people.identity >= 0)
    parts = []
    with torch.no_grad():
        for start in range(0, len(known), 64):
            piece = known[start : start + 64]
            batch = plain(crops, piece, torch.zeros(len(piece), 0))
            parts.append(teacher.embed(batch.real, torch.from_numpy(arcface_theta(batch.points, batch.real.shape[-1]))))
    teacher.set_prototypes(torch.cat(parts), torch.from_numpy(people.identity[known]), len(people.identities))


def train(recipe: Recipe, data: Path, out: Path, workers: int, resume: bool, report: Any) -> Path:
    """Train ``recipe`` on ``data`` into ``out``; returns the exported generator.

    report: an object with ``line(text)`` and ``progress(done, total)``. Raises RecipeError for an ``out`` that
    holds another run.
    """
    latest = out / "checkpoint.pt"
    if latest.exists() and not resume:
        raise RecipeError(f"{out} holds a run: go on with --resume, or name another folder with --out")
    torch.set_flush_denormal(True)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(workers or os.cpu_count() or 1)
    crops = prepare(data, out.parent, workers or os.cpu_count() or 1, report.progress)
    people = People(crops, recipe.min_photos)
    report.line(
        f"{len(people.training)} training faces, {len(people.identities)} identities, {len(people.unseen)} unseen"
    )

    # networks
    config = GeneratorConfig(len(people.identities), recipe.widths, recipe.embedding)
    generator = channels_last(Generator(config))
    average = channels_last(Generator(config)).requires_grad_(False)
    average.load_state_dict(generator.state_dict())
    pixel = channels_last(PixelDiscriminator(size=config.size))
    backbone = MobileNetV2Features(store.path("mobilenet_v2"))
    projected = channels_last(ProjectedDiscriminator(backbone))
    critics = [p for critic in (pixel, projected) for p in critic.parameters() if p.requires_grad]
    betas = (recipe.beta1, recipe.beta2)
    optimise_g = torch.optim.Adam(generator.parameters(), recipe.learning_rate, betas)
    optimise_d = torch.optim.Adam(critics, recipe.learning_rate, betas)
    teacher = channels_last(Teacher(store.path("mobilefacenet")))
    if recipe.identity or recipe.away:
        prototypes(teacher, crops, people)

    # exact resume: networks, optimisers, average, step; batches are a function of the step
    parts: dict[str, Any] = {"generator": generator, "average": average, "pixel": pixel, "projected": projected}
    parts |= {"optimise_g": optimise_g, "optimise_d": optimise_d}
    start, before = 0, 0
    if latest.exists():
        state = checkpoints.load(latest)
        if state["identities"] != people.identities:
            raise RecipeError(f"{latest} was trained on other people: name another folder with --out")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["rng"])
        start, before = state["step"], state["before"]
        del state
    elif recipe.init:
        before = checkpoints.start_from(Path(recipe.init), people.hashed, generator, average, pixel, projected)
    out.mkdir(parents=True, exist_ok=True)
    dtype = pick_precision(recipe.precision)
    run = {"recipe": recipe.as_dict(), "dsanon": dsanon.__version__, "torch": torch.__version__, "from_step": start}
    run |= {"machine": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    run |= {"precision": str(dtype), "faces": len(people.training), "identities": len(people.identities)}
    (out / "run.json").write_text(json.dumps(run, indent=1))
    log = (out / "log.jsonl").open("a")

    looked = plain(crops, people.unseen[:: max(1, len(people.unseen) // 12)][:12], torch.zeros(12, 0))
    shown = [int(i) for i in np.linspace(0, len(people.identities) - 1, 6)]
    began, waited = time.perf_counter(), 0.0
    batches = stream(crops, people, recipe, start)
    for step in range(start, recipe.steps):
        asked = time.perf_counter()
        b = next(batches)
        waited += time.perf_counter() - asked
        for group in (*optimise_g.param_groups, *optimise_d.param_groups):
            group["lr"] = learning_rate(recipe, step)
        real, drawn = (t.contiguous(memory_format=torch.channels_last) for t in (b.real, b.drawn))

        # paint, and blend with what is visible
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            painted = generator(drawn, real, b.hidden, b.padding, b.control)
            fake = b.weight * painted.float() + (1 - b.weight) * real
            with torch.no_grad():
                real_mixed, real_features = projected.look(real)
            fake_mixed, fake_features = projected.look(fake)

            # critics: real photos against painted ones
            real_scores, real_layers = pixel(real, drawn)
            fake_scores, _ = pixel(fake.detach(), drawn)
            loss_pixel = losses.lsgan_discriminator(real_scores, fake_scores)
            loss_projected = losses.lsgan_discriminator(
                projected.judge(real_mixed), projected.judge([m.detach() for m in fake_mixed])
            )
            optimise_d.zero_grad(set_to_none=True)
            torch.autograd.backward([loss_pixel + loss_projected])
            optimise_d.step()

            # generator: fool both critics, restore what is known, be the person the vector names
            for p in critics:
                p.requires_grad_(False)
            scores, layers = pixel(fake, drawn)
            terms = {
                "pixel": recipe.pixel * losses.lsgan_generator(scores),
                "projected": recipe.projected * losses.lsgan_generator(projected.judge(fake_mixed)),
                "l1": recipe.l1 * losses.masked_l1(painted, real, b.weight * b.own.view(-1, 1, 1, 1)),
                "ring": recipe.ring * losses.masked_l1(painted, real, (1 - b.hidden) * (1 - b.padding)),
                "matching": recipe.matching * losses.feature_matching(real_layers, layers, b.own),
                "perceptual": recipe.perceptual * losses.feature_matching(real_features, fake_features, b.own),
            }
            share = teacher_share(recipe, step)
            if share > 0:
                rng = np.random.default_rng([recipe.seed, step, 7])
                side = real.shape[-1]
                views = [torch.from_numpy(arcface_theta(b.points, side, rng)) for _ in range(recipe.views)]
                faces = [teacher.embed(fake, theta, int(rng.choice(DETAIL))) for theta in views]
                with torch.no_grad():
                    source = teacher.embed(real, torch.from_numpy(arcface_theta(b.points, side)))
                named = [losses.identity_cross_entropy(e, teacher.prototypes, b.control) for e in faces]
                moved = [losses.away_from_source(e, source, ~b.own, recipe.away_margin) for e in faces]
                terms["identity"] = share * recipe.identity * torch.stack(named).mean()
                terms["away"] = share * recipe.away * torch.stack(moved).mean()
            loss = torch.stack([t.float() for t in terms.values()]).sum()
            optimise_g.zero_grad(set_to_none=True)
            torch.autograd.backward([loss])
            optimise_g.step()
            for p in critics:
                p.requires_grad_(True)

        # the average follows; early on it follows faster
        keep = recipe.ema if before else min(recipe.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1 - keep)
        if not math.isfinite(float(loss.detach())):
            raise RecipeError(f"step {step}: the loss is {float(loss.detach())}: lower learning_rate and use --resume")

        done = step + 1
        if done % 10 == 0 or done == recipe.steps:
            rate = (done - start) / (time.perf_counter() - began)
            row = {
                "step": done,
                "critic_pixel": float(loss_pixel.detach()),
                "critic_projected": float(loss_projected.detach()),
            }
            row |= {name: float(value.detach()) for name, value in terms.items()}
            row |= {"steps_per_s": rate, "waiting": waited / (time.perf_counter() - began)}
            log.write(json.dumps({k: round(v, 5) for k, v in row.items()}) + "\n")
            log.flush()
            report.line(
                f"step {done}/{recipe.steps}  {rate:.2f} steps/s  {rate * recipe.batch:.1f} samples/s  "
                f"{(recipe.steps - done) / rate / 60:.0f} min left  waiting {row['waiting']:.1%}  "
                + "  ".join(f"{k} {v:.3f}" for k, v in row.items() if k not in ("step", "steps_per_s", "waiting"))
            )
        if done % recipe.grid_every == 0 or done == recipe.steps:
            average.eval()
            save_grid(out / "grids" / f"step-{done:06d}.png", average, looked, shown)
        if done % recipe.save_every == 0 or done == recipe.steps:
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"step": done, "before": before, "identities": people.identities, "rng": torch.get_rng_state()}
            checkpoints.save(latest, state | {"recipe": recipe.as_dict()})
            export_generator(out, average, people, recipe, before + done)
            export_critics(out, pixel, projected, recipe)
    return out / f"{recipe.name}.safetensors"


def export_generator(out: Path, average: Generator, people: People, recipe: Recipe, steps: int) -> None:
    """The moving average as a file that the job loads. Identities are hashed: the file names nobody."""
    metadata = {"kind": "generator", "recipe": recipe.name, "steps": steps, "batch": recipe.batch}
    metadata |= {"config": average.config.as_dict(), "identities": people.hashed, "dsanon": dsanon.__version__}
    checkpoints.export(out / f"{recipe.name}.safetensors", average.state_dict(), metadata)


def export_critics(out: Path, pixel: PixelDiscriminator, projected: ProjectedDiscriminator, recipe: Recipe) -> None:
    """Both critics' own weights, for a later run that starts from the generator (``init``)."""
    weights = {name: value for critic in (pixel, projected) for name, value in checkpoints.own_state(critic).items()}
    metadata = {"kind": "critics", "recipe": recipe.name, "dsanon": dsanon.__version__}
    checkpoints.export(out / f"{recipe.name}.critics.safetensors", weights, metadata)
