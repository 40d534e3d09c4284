"""The tables of docs/reliability.md, from the ledgers: ``python -m reliability`` from tests/ (``make reliability``)."""

from __future__ import annotations

import re
from pathlib import Path

from faults.kinds import KINDS
from fuzz.parsers import PARSERS
from ledger import Ledger, table

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
LEDGERS = PAGE.with_suffix("")


def tables(folder: Path) -> dict[str, str]:
    """Markdown by the name of the ledger that it is made from."""
    faults, fuzz = Ledger(folder / "faults.json"), Ledger(folder / "fuzz.json")
    head = ["fault", "played", "went wrong", "well since then", "seconds each"]
    played = [
        [
            (fault.__doc__ or "").splitlines()[0].rstrip("."),
            faults.done(kind),
            faults.wrong(kind),
            faults.since(kind),
            round(faults.seconds(kind) / max(1, faults.done(kind))),
        ]
        for kind, fault in KINDS.items()
    ]
    fed = [[name, fuzz.done(name), round(fuzz.seconds(name) / 60, 2), fuzz.wrong(name)] for name in PARSERS]
    return {
        "faults": table(head, played) + "\n\n" + _tried(faults),
        "fuzz": table(["parser", "files", "minutes", "found"], fed) + "\n\n" + _tried(fuzz),
    }


def page(text: str, folder: Path) -> str:
    """The page, with new tables between its marks."""
    for name, made in tables(folder).items():
        text, found = re.subn(
            rf"(<!-- {name}.json -->\n).*?(<!-- end -->)",
            lambda mark, made=made: mark[1] + made + "\n" + mark[2],
            text,
            flags=re.S,
        )
        assert found == 1, f"the page has no place for {name}.json"
    return text


def _tried(ledger: Ledger) -> str:
    return f"Code: {', '.join(ledger.commits()) or 'none'}. Machines: {'; '.join(ledger.machines()) or 'none'}."


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), LEDGERS))
