"""The generators that a method paints with: found, verified, and of the kind that the method names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dsanon import shape_model
from dsanon.config import GENERATORS, JobConfig
from dsanon.errors import WeightsError
from dsanon.models import store
from dsanon.models.architectures import PAINTS
from dsanon.models.weights import read_card
from dsanon.sample import Kind

Generators = Mapping[Kind, tuple[Path, str]]  # what paints faces, and bodies: weights and their sha256
BODIES = "ciagan-body"  # what ciagan paints bodies with; where it is not here, they are covered


def generators_of(config: JobConfig) -> Generators:
    """What paints: nothing for a method that does not; of bodies only where a generator of them is here."""
    if config.method not in GENERATORS:
        return {}
    models: dict[Kind, str] = {"face": GENERATORS[config.method]}
    if config.method == "ciagan":
        store.path(shape_model.NAME)  # a generator without shapes fails here, before anything is detected
        if config.regions != "face" and is_here(BODIES):
            models["body"] = BODIES
    paths = {kind: painter_file(config.method, model) for kind, model in models.items()}
    return {kind: (path, store.sha256(path)) for kind, path in paths.items()}


def lacking(config: JobConfig, generators: Generators) -> tuple[str, ...]:
    """What the user must know of a generator that is not here, a line each."""
    if config.method != "ciagan" or config.regions == "face" or "body" in generators:
        return ()
    return (f"no weights of {BODIES} are here, so every body was covered with grey: {how(BODIES)}",)


def painter_file(method: str, model: str) -> Path:
    """The file of ``model``, whose network is one that ``--method`` may paint with.

    Raises WeightsError: there are no weights (the message says how to get them), or they are of another kind, such as
    a generator that was trained to look at the source.
    """
    if not is_here(model):
        raise WeightsError(f"--method {method} has no weights here: {how(model)}")
    path = store.path(model)
    found = read_card(path).config.architecture
    if found not in PAINTS[model]:
        raise WeightsError(
            f"--method {method}: {path.name} holds a generator of the kind {found}, expected "
            f"{' or '.join(PAINTS[model])}: add the right file with `dsanon models add {model} FILE`"
        )
    return path


def is_here(model: str) -> bool:
    """Whether there is a file of it, sound or not."""
    return model in {row["name"] for row in store.describe()}


def how(model: str) -> str:
    """How a user gets it."""
    return (
        f"train them with `dsanon train {model} --data DATA --out RUN`, "
        f"then `dsanon models add {model} RUN/{model}.safetensors`"
    )


def refuse_altered(weights: Path, sha256: str) -> None:
    """Raises WeightsError where weights are no longer those that the run began with."""
    if store.sha256(weights) != sha256:
        raise WeightsError(f"{weights} was altered during the run: restore it, then go on with --resume")
