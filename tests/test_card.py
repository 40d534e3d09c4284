from __future__ import annotations

from typing import Any

import pytest

from dsanon.card import METHODS, ON_MISS, SCOPES, CardWeights, write_card
from dsanon.manifest import Counts

CONFIGURATION: dict[str, Any] = {
    "dataset": "lfw",
    "method": "ciagan",
    "regions": "face",
    "scope": "dataset",
    "detectors": ["centerface", "hog"],
    "on_miss": "mask",
    "shape": "replaced",
    "kernel": 9,
    "block": 16,
    "source": "/home/ann/lfw",
    "keep": ["Aaron_Eckhart"],
}
COUNTS = Counts(
    anonymized=7, fallback=2, kept=1, empty=3, regions={"face": {"anonymized": 9, "fallback": 2, "kept": 1}}
)
WEIGHTS = [CardWeights("landmarks", "0123456789abcdef" * 4, "CC0", "trained on iBUG 300-W: no commercial use")]
NOTES = ["Folders and files bear pseudonyms in place of names."]


def test_the_card_says_what_was_done_to_whom() -> None:
    card = write_card(CONFIGURATION, COUNTS, NOTES, WEIGHTS)
    for line in (
        "# Anonymized release (lfw layout)",
        "- Regions: faces, as the source's annotations and these detectors together found them: centerface, hog.",
        "- Folders and files bear pseudonyms in place of names.",
        "| all | 13 | |",
        "There are 12 face regions (9 anonymized, 2 fallback, 1 kept).",
        "| landmarks | `0123456789abcdef` | CC0 | trained on iBUG 300-W: no commercial use |",
    ):
        assert line in card.splitlines()
    for status, number in COUNTS.by_status().items():
        assert f"| {status} | {number} |" in card
    assert "**Complete**" in card
    assert "`dsanon forget` destroys the key" in card
    assert "`dsanon audit RELEASE --source SOURCE`" in card
    assert "2 regions could not be treated" in card
    assert "1 regions show people who consented" in card


def test_ten_risks() -> None:
    card = write_card(CONFIGURATION, COUNTS, NOTES, WEIGHTS)
    risks = card.split("## What can still go wrong\n\n")[1].split("\n\n## ")[0].splitlines()
    assert len(risks) == 10
    assert all(risk.startswith("- ") and risk.endswith(".") for risk in risks)


@pytest.mark.parametrize(
    ("dataset", "scope", "joined"),
    [
        ("lfw", "dataset", False),
        ("lfw", "image", True),
        ("celeba", "camera", True),
        ("mots", "sequence", False),
        ("mots", "image", True),
        ("folder", "image", False),
    ],
)
def test_labels_that_cross_scopes_are_said(dataset: str, scope: str, joined: bool) -> None:
    card = write_card(CONFIGURATION | {"dataset": dataset, "scope": scope}, COUNTS, NOTES, WEIGHTS)
    assert ("join a person's pictures across scopes" in card) == joined


def test_the_card_names_nothing_private() -> None:
    card = write_card(CONFIGURATION, COUNTS, NOTES, WEIGHTS)
    assert "ann" not in card.replace("annotation", "").replace("cannot", "").replace("channel", "")
    assert "Eckhart" not in card


def test_what_was_withheld_is_said_first() -> None:
    card = write_card(CONFIGURATION, Counts(anonymized=2, quarantined=3), [], [])
    assert "**Incomplete**: 3 of 5 samples were withheld (quarantined)." in card.split("\n## ")[0]
    assert "No trained model took part." in card
    assert "There is no region." in card


@pytest.mark.parametrize("method", [*METHODS, "a new one"])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("on_miss", ON_MISS)
def test_every_configuration_has_a_card(method: str, scope: str, on_miss: str) -> None:
    configuration = {**CONFIGURATION, "method": method, "scope": scope, "on_miss": on_miss, "regions": "both"}
    card = write_card(configuration, COUNTS, NOTES, WEIGHTS)
    assert f"`{method}`" in card
    assert SCOPES[scope] in card
    assert ON_MISS[on_miss] in card
    assert ("(kernel 9, " in card, "(block 16, " in card) == (method == "blur", method == "pixelate")
    assert ("keeps a coarse version" in card) == (method in ("blur", "pixelate"))
    assert "Clothes, place and company are unchanged" in card
    assert "\n\n\n" not in card
