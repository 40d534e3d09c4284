"""Gates: the bounds that an audit holds a release to, from a TOML file that a user can copy and change."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dsanon.errors import UsageError
from dsanon.models import store
from dsanon.sample import Kind
from dsanon_eval.measurement import Gate, Measurement

SHIPPED = Path(__file__).with_name("gates.toml")
UNASKED = "gates that were not asked, for want of their figure: "  # a note; the report's verdict counts its names
_TELLS = 0.5  # a bound by chance above this holds nobody to anything: the gallery is too small
_KEYS = {"name", "model", "control", "datasets", "max", "min", "chance", "required"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the file. kind: max or min · bound: of it, if any · chance: times what guessing reaches, if any

    Of a rule with both the laxer counts: among twenty faces a guess is right once in twenty. Where that would be above
    ``_TELLS``, see :func:`_gate`.
    """

    name: str
    model: str
    control: str
    datasets: tuple[str, ...]
    kind: Literal["max", "min"]
    bound: float | None
    chance: float | None
    required: bool

    def of(self, figure: Measurement) -> bool:
        """Whether it is a rule for this figure."""
        return (figure.name, figure.control) == (self.name, self.control) and self.model in ("", figure.model)

    @property
    def region(self) -> Kind:
        """What kind of region its figure is of."""
        return "body" if self.name.startswith("body_") else "face"


def read_rules(path: Path, dataset: str) -> list[Rule]:
    """The rules of a gates file for a kind of dataset. Raises UsageError, with the gate's number."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("gate", [])
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML, or 5,000 digits
        raise UsageError(
            f"--gates {path} cannot be read ({str(error)[:160]}): expected TOML with [[gate]] tables"
        ) from error
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"--gates {path} has no [[gate]]: expected at least one, as in {SHIPPED}")
    rules = [_rule(path, number, entry) for number, entry in enumerate(entries, 1)]
    return [rule for rule in rules if not rule.datasets or dataset in rule.datasets]


def owed(rules: Sequence[Rule], people: Mapping[Kind, int], alone: bool) -> tuple[list[Rule], list[str]]:
    """The rules, none required that this release cannot owe, and a note for each that is waived for one person.

    people: treated, by kind of region; of nobody there is no figure · alone: whether it is known that one is one, and
    natural for the dataset: nobody can be mistaken for anybody, by any method
    """
    out, notes = [], []
    for rule in rules:
        count = people[rule.region]
        if rule.required and alone and count == 1:
            notes.append(f"{rule.name} by {rule.model or 'any model'} tells nothing here: one person only was treated")
        out.append(replace(rule, required=rule.required and count > (1 if alone else 0)))
    return out, notes


def apply(
    rules: Sequence[Rule], figures: Sequence[Measurement], why: str = "", lacking: Mapping[str, str] | None = None
) -> tuple[list[Measurement], list[str]]:
    """The figures with their gates, and a line for each required gate whose figure is not among them.

    The first rule that is for a figure decides; without one it keeps the gate it came with (leaks: none at all).
    A rule by chance takes the same model's ``chance`` of the same name. why: nothing was measured, if it is known
    lacking: figure of the release → why there is none, where that is known
    """
    luck = {(figure.name, figure.model): figure.value for figure in figures if figure.control == "chance"}
    out, used = [], set()
    for figure in figures:
        rule = next((rule for rule in rules if rule.of(figure)), None)
        if rule is None:
            out.append(figure)
            continue
        gate = _gate(rule, figure, luck.get((figure.name, figure.model)))
        if gate is not None:
            used.add(rule)
        out.append(replace(figure, gate=gate))
    missing = [rule for rule in rules if rule.required and rule not in used]
    absent = {model["name"] for model in store.describe() if not model["usable"]} if missing else set()
    return out, [_missing(rule, why or _of_release(rule, lacking or {}), absent) for rule in missing]


def unasked(rules: Sequence[Rule], figures: Sequence[Measurement]) -> list[str]:
    """A note that names the rules without any figure: none was asked, so none was kept. Of a required one the audit
    fails, with a line of its own.
    """
    names = [
        f"{rule.name} by {rule.model or 'any model'}"
        for rule in rules
        if not rule.required and not any(rule.of(figure) for figure in figures)
    ]
    return [UNASKED + ", ".join(dict.fromkeys(names))] if names else []


def unheld(rules: Sequence[Rule], figures: Sequence[Measurement]) -> list[str]:
    """A note for each figure, as :func:`apply` returns it, that a rule by chance holds to nothing. Of a required one
    the audit fails, with a line of its own.

    Where a guess is right so often that no bound tells anything, the figure neither keeps a gate nor misses one.
    """
    luck = {(figure.name, figure.model): figure.value for figure in figures if figure.control == "chance"}
    out = []
    for figure in figures:
        rule = next((rule for rule in rules if rule.of(figure)), None)
        if rule is not None and figure.gate is None and not rule.required:
            guess = luck.get((figure.name, figure.model))
            why = "what guessing reaches is not known" if guess is None else f"a guess is right in {guess:.0%}"
            if guess is not None and rule.bound is not None and (rule.chance or 0) * guess <= _TELLS:
                why = f"{figure.value:.1%} is above {rule.bound:.1%}, and all its interval above a guess, {guess:.1%}"
            out.append(f"{figure.name} by {figure.model} was held to no bound, which is no pass: {why} (n {figure.n})")
    return out


def surroundings(figures: Sequence[Measurement]) -> list[str]:
    """A note for each recogniser that knows people's other photos by what no method of faces touches better than by
    the release itself: that it fails a gate may have its reason there, above all among the frames of one sequence.
    """
    outside = {(f.name, f.model): f for f in figures if f.control == "release" and f.name.startswith("outside_")}
    out = []
    for figure in figures:
        around = outside.get((f"outside_{figure.name}", figure.model)) if figure.name == "recall_at_1" else None
        if figure.passed is False and around is not None and around.value > figure.value:
            out.append(
                f"{figure.name} by {figure.model} is {figure.value:.0%}, and {around.value:.0%} by what lies outside "
                f"of the faces alone (hair, clothes, the place; n {around.n}), which only --regions both can change, "
                "for people whose bodies the source has"
            )
    return out


def failures(figures: Sequence[Measurement]) -> list[str]:
    """A line for each figure that does not keep its gate."""
    return [
        f"{f.name} by {f.model} on {f.control}: {f.value:.4g}, "
        f"expected at {'most' if f.gate.kind == 'max' else 'least'} {f.gate.bound:.4g} (n {f.n})"
        for f in figures
        if f.gate is not None and not f.passed
    ]


def _of_release(rule: Rule, lacking: Mapping[str, str]) -> str:
    return lacking.get(rule.name, "") if rule.control == "release" else ""


def _missing(rule: Rule, why: str, absent: Collection[str]) -> str:
    """The line of a required rule without a figure. absent: models without weights"""
    what = f"{rule.name} by {rule.model or 'any model'} on {rule.control}, which is required, was not measured"
    if why:
        return f"{what}: {why}"
    if rule.model in absent:
        return f"{what}: its weights are not here (`dsanon models` says how to get {rule.model})"
    return f"{what}, or on too few people to tell it from guessing: audit a release of more (without --limit)"


def _gate(rule: Rule, figure: Measurement, luck: float | None) -> Gate | None:
    """The gate of a figure whose chance is ``luck``; None where the rule needs it and there is none.

    Nor is there one where a guess is always right, for there is one person only: no method could keep it. Where the
    bound by chance is above ``_TELLS``, there are so few people that to keep it is no success: of a rule with max that
    is required ``_TELLS`` is the bound; of another one only for who misses it, and by an interval that lies above a
    guess. Else nothing is told, and :func:`unheld` says so. Nor does a figure keep a rule that is not required, by
    chance alone, where it is above max and its whole interval lies above a guess: it is no guess among few people.
    """
    if rule.chance is None or luck is None:
        return None if rule.bound is None else Gate(rule.kind, rule.bound)
    guess = rule.chance * luck
    if luck >= 1 or (guess > _TELLS and rule.bound is None):
        return None
    bound = guess if rule.bound is None else max(rule.bound, min(guess, _TELLS))
    least = figure.value if figure.ci95 is None else figure.ci95[0]
    if guess > _TELLS and not rule.required:
        if figure.value <= bound or least <= luck:
            return None
    elif rule.bound is not None and not rule.required and rule.bound < figure.value <= bound and least > luck:
        return None
    return Gate(rule.kind, bound)


def _rule(path: Path, number: int, entry: Any) -> Rule:
    where = f"--gates {path}, gate {number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise UsageError(f"{where}: expected a table with the name of a figure")
    if unknown := sorted(set(entry) - _KEYS):
        raise UsageError(
            f"{where} ({entry['name']}): {unknown[0]!r} is unknown: choose from {', '.join(sorted(_KEYS))}"
        )
    bounds = [kind for kind in ("max", "min", "chance") if kind in entry]
    if bounds not in (["max"], ["min"], ["chance"], ["max", "chance"]):
        found = " and ".join(bounds) or "no bound"
        raise UsageError(f"{where} ({entry['name']}): found {found}, expected max, min, chance, or max and chance")
    for kind in bounds:
        bound = entry[kind]
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not abs(bound) < 1e15:  # nan, inf
            raise UsageError(f"{where} ({entry['name']}): {kind}: expected a number below 1e15")
    model, control, datasets = entry.get("model", ""), entry.get("control", "release"), entry.get("datasets", [])
    if not isinstance(datasets, list) or not all(isinstance(name, str) for name in (model, control, *datasets)):
        raise UsageError(
            f"{where} ({entry['name']}): model and control: expected a name; datasets: expected a list of names"
        )
    return Rule(
        entry["name"],
        model,
        control,
        tuple(datasets),
        "min" if "min" in entry else "max",
        next((float(entry[kind]) for kind in ("max", "min") if kind in entry), None),
        float(entry["chance"]) if "chance" in entry else None,
        bool(entry.get("required", False)),
    )
