"""``dsanon train``: the crops once, then the loop, here for one process and on Ray Train for several."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dsanon.errors import DsanonError, RecipeError, UsageError
from dsanon.models import store
from dsanon_training.body_crops import prepare_bodies
from dsanon_training.crops import prepare
from dsanon_training.engine import cores, default_workers, engine_for
from dsanon_training.loop import CHECKPOINT, run
from dsanon_training.recipe import Recipe, models_of
from dsanon_training.report import Report


def train(recipe: Recipe, data: Path, out: Path, workers: int | None, resume: bool, report: Report) -> Path:
    """Train ``recipe`` on ``data`` into ``out``, by ``workers`` processes; returns the exported generator.

    Raises RecipeError for an ``out`` that holds another run, UsageError for more processes than GPUs, WeightsError
    where a network that the recipe needs is not here.
    """
    gpus = torch.cuda.device_count()
    workers = default_workers(recipe.batch, gpus) if workers is None else workers
    if workers < 1 or (gpus and workers > gpus):
        raise UsageError(f"--workers {workers}: expected 1 … {gpus or 'the number of cores'}, a process each")
    if recipe.batch % workers:
        raise RecipeError(f"batch = {recipe.batch} cannot be shared by {workers} workers: choose a multiple")
    if (out / CHECKPOINT).exists() and not resume:
        raise RecipeError(f"{out} holds a run: go on with --resume, or name another folder with --out")
    for name in models_of(recipe):
        store.path(name)  # else it would be missed after an hour of preparing crops
    if recipe.subject == "body":
        cache = prepare_bodies(data, out.parent, cores(), report.progress)
    else:
        cache = prepare(data, out.parent, cores(), report.progress, recipe.family == "pnca", recipe.strangers)
    if workers == 1:
        return run(recipe, cache, out, engine_for(recipe, torch.device("cuda" if gpus else "cpu")), report)
    return _on_ray(recipe, cache.absolute(), out.absolute(), workers, bool(gpus))


def _on_ray(recipe: Recipe, cache: Path, out: Path, workers: int, gpu: bool) -> Path:
    """Ray Train starts the processes and lets them know each other; averaging their gradients is the engine's."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    if recipe.init:  # Ray's processes work in a folder of their own
        recipe = replace(recipe, init=str(Path(recipe.init).absolute()))
    if models := os.environ.get("DSANON_MODELS"):
        os.environ["DSANON_MODELS"] = str(Path(models).absolute())
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # else every line is shown twice
        # Ray Train asks a dashboard every second how it is, and warns that there is none
        quiet = ray.LoggingConfig(log_level="ERROR")
        ray.init("local", include_dashboard=False, num_cpus=max(workers + 1, cores()), logging_config=quiet)
    try:
        trainer = TorchTrainer(
            _process,
            train_loop_config={"recipe": recipe, "cache": cache, "out": out},
            torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu),
            run_config=RunConfig(name="ray", storage_path=str(out)),
        )
        trainer.fit()
    except Exception as error:
        raise _first_cause(error) from error
    finally:
        if started:
            ray.shutdown()
        shutil.rmtree(out / "ray", ignore_errors=True)  # what Ray notes of a run; ours is in the checkpoint
    return out / f"{recipe.name}.safetensors"


def _process(config: dict[str, Any]) -> None:
    """One of the processes, in Ray."""
    from ray.train import get_context
    from ray.train.torch import get_device

    context, recipe = get_context(), config["recipe"]
    engine = engine_for(recipe, get_device(), context.get_world_rank(), context.get_world_size())
    run(recipe, config["cache"], config["out"], engine, Report())


def _first_cause(error: BaseException) -> DsanonError:
    """What a process raised, without Ray's wrapping: bad input stays bad input."""
    seen = error
    while True:
        failures = getattr(seen, "worker_failures", {})
        inner = next(iter(failures.values()), None) or getattr(seen, "_base_exc", None) or seen.__cause__
        if inner is None or isinstance(seen, DsanonError):
            break
        seen = inner
    if isinstance(seen, DsanonError):
        return seen
    return DsanonError(f"a training process failed: {type(seen).__name__}: {seen}")
