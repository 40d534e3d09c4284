"""Checkpoints that resume exactly, and weights that ship."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsanon.durable import aside
from dsanon.errors import RecipeError
from dsanon.models.weights import load_generator, read_card
from dsanon_training.recipe import Recipe


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint aside, then rename: a kill at any moment leaves the last good one."""
    with aside(path) as file:
        torch.save(state, file)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's state; tensors and plain values only, so that a file can't run code."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or "step" not in state:
        raise RecipeError(f"{path} is not a checkpoint of this program")
    return state


def export(
    path: Path, weights: dict[str, Tensor], metadata: dict[str, Any], terms: dict[str, str] | None = None
) -> str:
    """Half-precision safetensors with JSON metadata, and the file's sha256 beside it; returns the digest.

    terms: licence, origin and terms, for the list of models
    """
    from safetensors.torch import save as serialise

    half = {name: t.detach().to(torch.float16).contiguous() for name, t in weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_hashed(path, serialise(half, {"dsanon": json.dumps(metadata, sort_keys=True), **(terms or {})}))


def write_hashed(path: Path, data: bytes) -> str:
    """Write a file, and its sha256 beside it; returns the digest."""
    digest = hashlib.sha256(data).hexdigest()
    with aside(path) as file:
        file.write(data)
    with aside(path.with_suffix(".sha256")) as file:
        file.write(f"{digest}\n".encode())
    return digest


def own_state(critic: nn.Module) -> dict[str, Tensor]:
    """A critic's weights without the frozen network's, under its class's name."""
    kept = {name: value for name, value in critic.state_dict().items() if not name.startswith("backbone.")}
    return {f"{type(critic).__name__}.{name}": value for name, value in kept.items()}


def resume(path: Path, recipe: Recipe, people: list[str], parts: dict[str, Any]) -> tuple[int, int]:
    """Take a checkpoint's state into ``parts``; the step to go on with, and the steps behind the run's start.

    people: hashes of those who train. Raises RecipeError where people, networks or the recipe's family are others.
    """
    state = load(path)
    if state["people"] != people:
        raise RecipeError(f"{path} was trained on other people: name another folder with --out")
    for key in ("subject", "family", "network", "guide", "min_photos", "strangers", "widths", "embedding"):
        theirs = state["recipe"].get(key, getattr(Recipe(), key))
        if tuple(theirs) != tuple(getattr(recipe, key)) if key == "widths" else theirs != getattr(recipe, key):
            raise RecipeError(f"{path} was trained with {key} = {theirs}: resume with the same, or name another --out")
    if ("eyes" in state) != ("eyes" in parts):
        raise RecipeError(
            f"{path} was trained {'with' if 'eyes' in state else 'without'} details: resume with the same"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"], state["before"]


def start_from(path: Path, identities: list[str], parts: dict[str, Any], critics: tuple[nn.Module, ...]) -> int:
    """Take over a shipped generator, and its critics where ``<name>.critics.safetensors`` lies beside it.

    identities: hashes of this run's people; those whom the file does not know keep their random codes. Strangers are
    this run's own: they get the codes that the file's generator has for what the teacher sees in them.
    Returns how many steps stand behind it. Raises RecipeError, or WeightsError for a file that is no generator.
    """
    from safetensors.torch import load_file

    card = read_card(path)
    theirs = load_generator(path, torch.device("cpu")).state_dict()
    beside = path.with_name(path.stem + ".critics.safetensors")
    judges = load_file(beside) if beside.is_file() else {}
    strangers, prototypes = parts.get("strangers"), judges.get("Strangers.prototypes")
    rows = {hashed: number for number, hashed in enumerate(card.identities)}
    known = [(mine, rows[hashed]) for mine, hashed in enumerate(identities) if hashed in rows]
    codes = parts["generator"].state_dict()["identity.weight"].detach().clone()
    if strangers is not None and prototypes is not None:
        codes = strangers.translated(theirs["identity.weight"].to(codes.device), prototypes.float().to(codes.device))
    elif strangers is None and known and "identity.weight" in theirs:
        mine, other = (list(numbers) for numbers in zip(*known, strict=True))
        codes[:, mine] = theirs["identity.weight"][:, other].to(codes.device)
    for network in (parts["generator"], parts["average"]):
        try:
            network.load_state_dict(theirs | {"identity.weight": codes})
        except RuntimeError as error:
            raise RecipeError(f"init: {path} has other widths than the recipe: {str(error).splitlines()[-1]}") from None
    if judges:  # a critic that the file lacks learns from nothing
        held = critics_in(beside)
        load_critics(beside, tuple(c for c in critics if c is not strangers and type(c).__name__ in held))
    return card.steps


def critics_in(path: Path) -> set[str]:
    """The classes of the critics that an export holds."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return {name.split(".")[0] for name in file.keys()}  # noqa: SIM118


def load_critics(path: Path, critics: tuple[nn.Module, ...]) -> None:
    """Take over the critics of an export. Raises RecipeError for a file that has other tensors."""
    from safetensors.torch import load_file

    state = load_file(path)
    for critic in critics:
        prefix = f"{type(critic).__name__}."
        own = {name[len(prefix) :]: t.float() for name, t in state.items() if name.startswith(prefix)}
        if set(own) != {name[len(prefix) :] for name in own_state(critic)}:
            raise RecipeError(f"{path} has other tensors than {type(critic).__name__}")
        critic.load_state_dict(own, strict=False)
