"""Files in which a user says what is to be done."""

from __future__ import annotations

import json
from pathlib import Path

from fuzz.parser import JSON, TEXT, Parser, file

from dsanon.plan import read_cameras, read_kept
from dsanon.review import read_review


def _review_seeds() -> list[bytes]:
    decisions = [{"sample": "a", "region": 0, "verdict": "mask"}, {"sample": "b", "region": 1, "verdict": "drop"}]
    return [json.dumps({"schema": 1, "manifest_sha256": "ab" * 32, "decisions": decisions}).encode()]


def _recipe(data: bytes, folder: Path) -> None:
    from dsanon_training.recipe import load_recipe

    load_recipe(str(file(data, folder / "recipe.toml")))


def _gates(data: bytes, folder: Path) -> None:
    from dsanon_eval.gates import read_rules

    read_rules(file(data, folder / "gates.toml"), "lfw")


PARSERS: dict[str, Parser] = {
    "review.json": Parser(_review_seeds, JSON, lambda data, folder: read_review(file(data, folder / "review.json"))),
    "recipe": Parser(lambda: [b'name = "x"\nsteps = 5\nwidths = [8, 8]\nema = 0.5\n'], JSON, _recipe),
    "gates": Parser(lambda: [b'[[gate]]\nname = "linkage"\nmax = 0.5\ndatasets = ["lfw"]\n'], JSON, _gates),
    "cameras": Parser(
        lambda: [b"sequence\tcamera\nA\t1\nB,2\n"], TEXT, lambda data, folder: read_cameras(file(data, folder / "c"))
    ),
    "keep": Parser(lambda: [b"# who\nAnn\n"], TEXT, lambda data, folder: read_kept(file(data, folder / "k"))),
}
