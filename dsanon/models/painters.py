"""The generator that a method paints with: found, verified, and of the kind that the method names."""

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
    try:
        path = store.path(model)
    except WeightsError as error:
        if model in {row["name"] for row in store.describe()}:  # it is here, and something is wrong with it
            raise error
        raise WeightsError(
            f"--method {method} has no weights here: train them with `dsanon train {model} --data DATA --out RUN`, "
            f"then `dsanon models add {model} RUN/{model}.safetensors`"
        ) from None
    found = read_card(path).config.architecture
    if found not in PAINTS[model]:
        raise WeightsError(
            f"--method {method}: {path.name} holds a generator of the kind {found}, expected "
            f"{' or '.join(PAINTS[model])}: add the right file with `dsanon models add {model} FILE`"
        )
    return path
