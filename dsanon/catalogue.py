"""Commands that list what is there: datasets, methods, recipes and models. Heavy imports wait inside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

models_app = typer.Typer(invoke_without_command=True, help="List models, or add your own weights.")
_LICENCE = "Apache-2.0"  # dsanon's own
_UNBROKEN = 1000  # characters of a line for programs, in which no name is broken
_DATA = {  # whose a dataset is, and its licence
    "lfw": ("vis-www.cs.umass.edu/lfw", "none stated; photos of the press, for research"),
    "celeba": ("mmlab.ie.cuhk.edu.hk/projects/CelebA", "non-commercial research"),
    "coco": ("cocodataset.org", "annotations CC BY 4.0; photos under Flickr's terms"),
    "mots": ("motchallenge.net and cvlibs.net (KITTI)", "CC BY-NC-SA 3.0"),
    "mot": ("motchallenge.net", "CC BY-NC-SA 3.0"),
    "folder": ("your own", "yours"),
    "video": ("your own", "yours"),
}
_METHODS = {
    "ciagan": "Maximov, Elezi and Leal-Taixé, CVPR 2020",
    "pix2pix": "Isola et al., CVPR 2017",
    "cyclegan": "Zhu et al., ICCV 2017",
    "blur": "OpenCV",
    "pixelate": "OpenCV",
    "mask": "dsanon",
}
Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, and nothing else there.")]


def datasets(as_json: Json = False) -> None:
    """List the datasets that can be read and written: whose they are, their licence. You bring the data."""
    from dsanon.sources import SOURCES

    rows = [
        {"name": name, "about": about, "origin": _DATA[name][0], "licence": _DATA[name][1], "usable": True}
        for name, (_, _, about) in SOURCES.items()
    ]
    _listing(rows, as_json)


def methods(as_json: Json = False) -> None:
    """List the methods: where they come from, their licence (that of weights which paint), whether usable now."""
    from dsanon.config import GENERATORS, METHODS
    from dsanon.models import store

    here = {row["name"]: row for row in store.describe()}
    rows = []
    for name, about in METHODS.items():
        weights = here.get(GENERATORS.get(name, ""), {})
        licence = weights.get("licence") or ("that of your weights" if name in GENERATORS else _LICENCE)
        usable = name not in GENERATORS or bool(weights.get("usable"))
        rows.append({"name": name, "about": about, "origin": _METHODS[name], "licence": licence, "usable": usable})
    _listing(rows, as_json)


def recipes(as_json: Json = False) -> None:
    """List the training recipes, and whether the networks that guide each are here."""
    from dsanon_training.recipe import load_recipe, models_of, recipe_names

    from dsanon.models import store

    here = {row["name"] for row in store.describe() if row["usable"]}
    rows = [
        {
            "name": recipe.name,
            "steps": recipe.steps,
            "batch": recipe.batch,
            "about": recipe.about,
            "origin": "dsanon",
            "licence": f"{_LICENCE}; weights: the data's",
            "usable": here.issuperset(models_of(recipe)),
            "needs": ", ".join(models_of(recipe)),
        }
        for recipe in map(load_recipe, recipe_names())
    ]
    _listing(rows, as_json)


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List models: where they come from, their licence, whether they are usable now."""
    if context.invoked_subcommand is None:
        from dsanon.models import store

        _listing(store.describe(), as_json, ("name", "kind", "usable", "source", "licence"), "how")


@models_app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `dsanon models` lists it, e.g. yunet.")],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help=".onnx or .safetensors, as `dsanon models` says; copied to $DSANON_MODELS "
            "\\[default: ~/.local/share/dsanon/models].",
        ),
    ],
) -> None:
    """Register your own weights after checking them."""
    from dsanon.models import store

    print(store.add(name, file))


def _listing(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...] = (), told: str = "about") -> None:
    """told: the column of whole sentences, which stand below the table, a line for each row that has one."""
    if as_json:
        print(json.dumps(rows))
        return
    table(rows, columns or tuple(name for name in rows[0] if name != told))
    for row in rows:
        name, text = row["name"], row.get(told)
        if text:
            print(text if text.startswith(name) else f"{name}: {text}")


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Print the named columns of ``rows``: as wide as the terminal; as wide as they are where there is none."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    lines = Table(*(Column(name, overflow="fold", no_wrap=name == "name") for name in columns), box=box.SIMPLE)
    for row in rows:
        lines.add_row(*(_cell(row.get(column)) for column in columns))
    Console(width=None if sys.stdout.isatty() else _UNBROKEN).print(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
