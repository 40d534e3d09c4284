"""Commands that list what is there: datasets, methods, recipes and models. Heavy imports wait inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

models_app = typer.Typer(invoke_without_command=True, help="List models, or add your own weights.")
Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, and nothing else there.")]


def datasets(as_json: Json = False) -> None:
    """List the datasets that can be read and written."""
    from dsanon.sources import SOURCES

    _listing([{"name": name, "about": about} for name, (_, _, about) in SOURCES.items()], as_json)


def methods(as_json: Json = False) -> None:
    """List the methods and whether they are usable now."""
    from dsanon.config import GENERATORS, METHODS
    from dsanon.models import store

    here = {row["name"]: row["usable"] for row in store.describe()}
    rows = [
        {"name": n, "about": a, "usable": n not in GENERATORS or bool(here.get(GENERATORS[n]))}
        for n, a in METHODS.items()
    ]
    _listing(rows, as_json)


def recipes(as_json: Json = False) -> None:
    """List the training recipes."""
    from dsanon_training.recipe import load_recipe, recipe_names

    loaded = [load_recipe(name) for name in recipe_names()]
    _listing([{"name": r.name, "steps": r.steps, "batch": r.batch, "about": r.about} for r in loaded], as_json)


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List models: where they come from, their licence, whether they are usable now."""
    if context.invoked_subcommand is None:
        from dsanon.models import store

        _listing(store.describe(), as_json, ("name", "kind", "usable", "source", "licence", "how"))


@models_app.command()
def add(name: str, file: Path) -> None:
    """Register your own weights after checking them."""
    from dsanon.models import store

    print(store.add(name, file))


def _listing(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...] = ()) -> None:
    if as_json:
        print(json.dumps(rows))
    else:
        table(rows, columns or tuple(rows[0] if rows else ()))


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Print the named columns of ``rows``."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    lines = Table(*columns, box=box.SIMPLE)
    for row in rows:
        lines.add_row(*(_cell(row.get(column)) for column in columns))
    Console().print(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
