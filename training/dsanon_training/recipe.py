"""A training recipe: data, not code. A TOML file becomes one frozen, validated :class:`Recipe`."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from dsanon.errors import RecipeError

T = TypeVar("T")


def _key(default: T, about: str) -> T:
    """A recipe's key with what it means; docs/training.md shows all of them as a table."""
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every key that a recipe may set, with its default and its meaning."""

    name: str = _key("unnamed", "what it is called, and the name of its files")
    about: str = _key("", "what it is for")
    subject: str = _key("face", "what is painted: face, or body (family ciagan)")
    family: str = _key("ciagan", "ciagan, siamese, pix2pix, cyclegan or pnca: the networks, and what a step does")
    network: str = _key("paper", "family siamese: its generator, paper, reference or faces (which sees the source)")
    guide: str = _key("siamese", "family siamese: who judges the identity, siamese or classifier")
    joint: bool = _key(True, "family siamese: the guide goes on learning from painted faces, not from real ones alone")
    steps: int = _key(12000, "training steps in all, those of `pretrain` among them")
    pretrain: int = _key(0, "family siamese: first steps, in which the guide alone learns from real photos (Proxy-NCA)")
    batch: int = _key(16, "samples a step, of all processes together")
    seed: int = _key(0, "of sampling, augmentation and initial weights")
    init: str = _key("", "family ciagan: a generator file to start from, with its critics beside it")
    min_photos: int = _key(4, "people with at least so many training photos become identities of the control vector")
    widths: tuple[int, ...] = _key((32, 64, 128, 256, 256), "family ciagan: channels at 128, 64, 32, 16 and 8 pixels")
    embedding: int = _key(256, "family ciagan: length of the identity code; family pnca: of its vectors")
    learning_rate: float = _key(2e-4, "of Adam, for all networks")
    beta1: float = _key(0.5, "of Adam")
    beta2: float = _key(0.99, "of Adam")
    warmup: int = _key(50, "steps until the full learning rate")
    decay_from: float = _key(0.7, "share of the steps after which the rate falls linearly to a tenth; 1: it never does")
    ema: float = _key(0.998, "decay of the generator's moving average, which is what ships; 0: the generator itself")
    generator_every: int = _key(1, "the generator learns in every so many-th step")
    critic_every: int = _key(1, "the critics learn in every so many-th step")
    strangers: int = _key(
        0, "family ciagan: identities of the control vector that are groups of training people; 0: single ones are"
    )
    own_share: float = _key(
        0.5, "share of the samples whose target is the source's own identity, whose pixels are known"
    )
    mix_share: float = _key(0.2, "share of the other samples whose target is a mix of two identities")
    turned_share: float = _key(
        0.1, "share of the samples that show one of the tenth of the faces turned furthest aside"
    )
    spread_share: float = _key(0.5, "share of the samples that hide more than the outline, as another face shape needs")
    l1: float = _key(6.0, "weight of the distance to the source's pixels, where they are known")
    ring: float = _key(6.0, "weight of the distance to the visible pixels around the region")
    tone: float = _key(0.0, "family ciagan: weight of the distance to the source's mean colour, for another identity")
    matching: float = _key(3.0, "weight of the distance between the pixel critic's features")
    perceptual: float = _key(3.0, "weight of the distance between frozen ImageNet features")
    pixel: float = _key(1.0, "weight of the critic that sees pixels and landmarks")
    projected: float = _key(1.0, "weight of the critic that sees frozen ImageNet features")
    details: float = _key(0.0, "family ciagan, faces: weight of two more critics, of eyes and of mouth alone")
    identity: float = _key(0.3, "final weight of the guide: the painted face must be whom the vector names")
    identity_enough: float = _key(0.0, "family ciagan: nats from that wish at which a face is left alone")
    away: float = _key(2.0, "final weight of the teacher's push away from the source, and from training people")
    away_margin: float = _key(0.05, "cosine to the source below which `away` is 0")
    margin: float = _key(3.0, "family siamese: distance beyond which two people are far enough apart")
    cycle: float = _key(10.0, "family cyclegan: weight of the way there and back")
    sharpness: float = _key(12.0, "family pnca: squared length of its vectors in the loss")
    teacher_from: int = _key(500, "family ciagan: step at which the teacher begins")
    teacher_full: int = _key(3000, "family ciagan: step from which it has its full weight")
    views: int = _key(2, "family ciagan: augmented crops that the teacher is shown of each face")
    precision: str = _key("auto", "bf16, fp16, fp32, or auto: bf16 where this device is good at it, else fp16 on a GPU")
    compile: bool = _key(False, "compile the generator with torch.compile")
    loaders: int = _key(-1, "processes that prepare batches; 0: a thread; -1: a thread on a CPU, processes for a GPU")
    log_every: int = _key(10, "steps between rows of the log")
    grid_every: int = _key(250, "steps between grids of unseen people")
    save_every: int = _key(100, "steps between checkpoints")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


FAMILIES = ("ciagan", "siamese", "pix2pix", "cyclegan", "pnca")
_CHOICES = {
    "subject": ("face", "body"),
    "family": FAMILIES,
    "network": ("paper", "reference", "faces"),
    "guide": ("siamese", "classifier"),
    "precision": ("auto", "bf16", "fp16", "fp32"),
}
_SHARES = ("own_share", "mix_share", "turned_share", "spread_share", "decay_from", "ema")
_POSITIVE = (
    *("steps", "batch", "embedding", "learning_rate", "min_photos", "views", "warmup", "margin", "sharpness"),
    *("generator_every", "critic_every", "log_every", "grid_every", "save_every"),
)
_NOT_NEGATIVE = (
    *("l1", "ring", "tone", "matching", "perceptual", "pixel", "projected", "details", "identity", "identity_enough"),
    *("away", "cycle", "pretrain", "seed", "teacher_from", "strangers"),
)


def recipe_names() -> list[str]:
    """Recipes that ship."""
    return sorted(f.name[:-5] for f in files("dsanon_recipes").iterdir() if f.name.endswith(".toml"))


def load_recipe(name: str, settings: list[str] | None = None) -> Recipe:
    """The recipe called ``name`` (shipped) or stored at that path, with ``key=value`` settings on top.

    Raises RecipeError for an unknown recipe or key, a wrong type or an impossible value.
    """
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {name} cannot be read ({error}): expected a TOML file") from None
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
            except (ValueError, RecursionError):
                values[key.strip()] = value.strip()
    except (ValueError, RecursionError) as error:  # not TOML, a number of 5,000 digits, or as many brackets
        raise RecipeError(f"recipe {name}: not valid TOML: {str(error)[:160]}") from None
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
        numbers = [v for v in (value if type(value) is list else [value]) if isinstance(v, int | float)]
        if not all(abs(v) < 1e100 for v in numbers):  # nan, or too large for a float
            raise RecipeError(f"recipe key {key}: expected a number below 1e100")
        if isinstance(default, tuple) and isinstance(value, list) and all(type(v) is int and v > 0 for v in value):
            value = tuple(value)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            raise RecipeError(f"recipe key {key}: {value!r} is not of type {_type(default)}")
        clean[key] = value
    recipe = replace(base, **clean)
    for key, choices in _CHOICES.items():
        if getattr(recipe, key) not in choices:
            raise RecipeError(f"recipe key {key}: {getattr(recipe, key)!r} is none of {', '.join(choices)}")
    for key in _SHARES:
        if not 0 <= getattr(recipe, key) <= 1:
            raise RecipeError(f"recipe key {key}: {getattr(recipe, key)} lies outside 0 … 1")
    for key in _POSITIVE:
        if not getattr(recipe, key) > 0:
            raise RecipeError(f"recipe key {key}: {getattr(recipe, key)} must be above 0")
    for key in _NOT_NEGATIVE:
        if not getattr(recipe, key) >= 0:
            raise RecipeError(f"recipe key {key}: {getattr(recipe, key)} must not be below 0")
    if recipe.teacher_full < recipe.teacher_from:
        raise RecipeError(f"teacher_full = {recipe.teacher_full} comes before teacher_from = {recipe.teacher_from}")
    if recipe.subject == "body" and recipe.details:
        raise RecipeError(f"details = {recipe.details}: a body has no eyes or mouth at a fixed place: leave it 0")
    if recipe.subject == "body" and recipe.family != "ciagan":
        raise RecipeError(f"recipe key subject: family {recipe.family} paints faces, only ciagan paints bodies")
    if recipe.strangers and (recipe.family != "ciagan" or not (recipe.identity or recipe.away)):
        raise RecipeError(
            "recipe key strangers: only family ciagan has them, with a teacher (identity or away above 0)"
        )
    if recipe.init and recipe.family != "ciagan":
        raise RecipeError(f"recipe key init: family {recipe.family} takes no file to start from, only ciagan does")
    return recipe


def models_of(recipe: Recipe) -> tuple[str, ...]:
    """The models, as ``dsanon models`` names them, without which a recipe cannot be trained."""
    wanted = ["landmarks68"] if recipe.subject == "face" else []
    if recipe.family in ("ciagan", "pnca"):
        wanted.append("mobilenet_v2")
    if recipe.family == "ciagan" and (recipe.identity or recipe.away):
        wanted.append({"face": "mobilefacenet", "body": "person-teacher"}[recipe.subject])
    return tuple(wanted)


def table() -> str:
    """All keys as a Markdown table: key, type, default, meaning."""
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for f in fields(Recipe):
        default = list(f.default) if isinstance(f.default, tuple) else f.default
        shown = json.dumps(default)
        rows.append(f"| `{f.name}` | {_type(f.default)} | `{shown}` | {f.metadata['about']} |")
    return "\n".join(rows)


def _type(default: object) -> str:
    return "list of int" if isinstance(default, tuple) else type(default).__name__
