"""A training recipe: data, not code. A TOML file becomes one frozen, validated :class:`Recipe`."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from dsanon.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every key a recipe may set.

    name, about: what it is called and what it is for
    steps: generator steps · batch: samples a step · seed: of sampling, augmentation and initial weights
    init: a generator file to start from, with its critics beside it; '' starts from random weights
    min_photos: people with at least so many training photos become identities of the control vector
    widths, embedding: of the generator (see GeneratorConfig)
    learning_rate, beta1, beta2: Adam, for both networks · warmup: steps until the full rate
    decay_from: share of the steps after which the rate falls linearly to a tenth
    ema: decay of the generator's moving average, which is what is shipped
    own_share: share of the samples whose target is the source's own identity (their pixels are known)
    mix_share: share of the other samples whose target is a mix of two identities
    spread_share: share of the samples that hide more than the face's outline, as a face of another shape needs
    l1, ring, matching, perceptual: weights of the reconstruction losses (own pixels, visible ring around the
    region, features of the pixel critic, frozen ImageNet features)
    pixel, projected: weights of the two critics
    identity, away: final weights of the teacher's two losses · away_margin: cosine below which ``away`` is 0
    teacher_from, teacher_full: steps at which the teacher begins and has its full weight
    views: augmented crops that the teacher is shown of each face
    precision: bf16, fp32 or auto (bf16 where this machine is faster with it)
    grid_every, save_every: steps between grids of unseen people, and between checkpoints
    """

    name: str = "unnamed"
    about: str = ""
    steps: int = 12000
    batch: int = 16
    seed: int = 0
    init: str = ""
    min_photos: int = 4
    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    embedding: int = 256
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.99
    warmup: int = 50
    decay_from: float = 0.7
    ema: float = 0.998
    own_share: float = 0.5
    mix_share: float = 0.2
    spread_share: float = 0.5
    l1: float = 6.0
    ring: float = 6.0
    matching: float = 3.0
    perceptual: float = 3.0
    pixel: float = 1.0
    projected: float = 1.0
    identity: float = 0.3
    away: float = 2.0
    away_margin: float = 0.05
    teacher_from: int = 500
    teacher_full: int = 3000
    views: int = 2
    precision: str = "auto"
    grid_every: int = 250
    save_every: int = 100

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


_SHARES = ("own_share", "mix_share", "spread_share", "decay_from", "ema")
_POSITIVE = ("steps", "batch", "embedding", "learning_rate", "grid_every", "save_every", "min_photos", "views")


def recipe_names() -> list[str]:
    """Recipes that ship."""
    return sorted(f.name[:-5] for f in files("dsanon_recipes").iterdir() if f.name.endswith(".toml"))


def load_recipe(name: str, settings: list[str] | None = None) -> Recipe:
    """The recipe called ``name`` (shipped) or stored at that path, with ``key=value`` settings on top.

    Raises RecipeError for an unknown recipe or key, a wrong type or an impossible value.
    """
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        text = path.read_text()
    elif name in recipe_names():
        text = files("dsanon_recipes").joinpath(f"{name}.toml").read_text()
    else:
        raise RecipeError(f"recipe {name!r} is unknown: give a .toml file or one of {', '.join(recipe_names())}")
    try:
        values = tomllib.loads(text)
        for setting in settings or []:
            key, equals, value = setting.partition("=")
            if not equals:
                raise RecipeError(f"--set {setting!r}: expected key=value")
            try:
                values[key.strip()] = tomllib.loads(f"v = {value}")["v"]
            except tomllib.TOMLDecodeError:
                values[key.strip()] = value.strip()
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {name}: not valid TOML: {error}") from None
    return validate(values)


def validate(values: dict[str, Any]) -> Recipe:
    """A recipe from plain values. Raises RecipeError."""
    known = {f.name: f for f in fields(Recipe)}
    base = Recipe()
    clean: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise RecipeError(f"recipe key {key!r} is unknown: known are {', '.join(known)}")
        default = getattr(base, key)
        if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(v, int) for v in value):
            value = tuple(value)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            raise RecipeError(f"recipe key {key}: {value!r} is not of type {type(default).__name__}")
        clean[key] = value
    recipe = replace(base, **clean)
    for key in _SHARES:
        if not 0 <= getattr(recipe, key) <= 1:
            raise RecipeError(f"recipe key {key}: {getattr(recipe, key)} lies outside 0 … 1")
    for key in _POSITIVE:
        if getattr(recipe, key) <= 0:
            raise RecipeError(f"recipe key {key}: {getattr(recipe, key)} must be above 0")
    if recipe.precision not in ("auto", "bf16", "fp32"):
        raise RecipeError(f"recipe key precision: {recipe.precision!r} is none of auto, bf16, fp32")
    if recipe.teacher_full < recipe.teacher_from:
        raise RecipeError(f"teacher_full = {recipe.teacher_full} comes before teacher_from = {recipe.teacher_from}")
    return recipe
