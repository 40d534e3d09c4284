"""The generators that a method paints with: found, verified, and of the kind that the method names."""

from __future__ import annotations

from pathlib import Path

from dsanon.errors import WeightsError
from dsanon.models import store
from dsanon.models.architectures import PAINTS
from dsanon.models.weights import read_card


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
