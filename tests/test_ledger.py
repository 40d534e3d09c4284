"""Results of the long suites add up, and the page says what the ledgers hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import reliability
from ledger import Ledger, table

from dsanon.errors import ReleaseError


def test_sessions_add_up(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    first = Ledger(path, "aaaa", "here")
    for number, problem in enumerate(["", "broken", "", ""]):
        assert first.next("kill", 0) == number
        first.add("kill", 0, number + 1, 1, 2.5, problem)
    second = Ledger(path, "bbbb", "here")  # another commit, later
    assert (second.done("kill"), second.next("kill", 0), second.next("kill", 1)) == (4, 4, 0)
    assert (second.wrong("kill"), second.since("kill")) == (1, 2)
    second.add("kill", 0, 5, 1, 2.0)
    second.add("kill", 1, 1, 1, 2.0)
    again = Ledger(path, "cccc", "there")
    assert [(row.seed, row.commit, row.first, row.next) for row in again.of("kill")] == [
        (0, "aaaa", 0, 4), (0, "bbbb", 4, 5), (1, "bbbb", 0, 1)
    ]  # fmt: skip
    assert again.rows[0].wrong == [{"number": 1, "problem": "broken"}]
    assert (again.done("kill"), again.seconds("kill"), again.since("kill")) == (6, 14, 4)
    again.add("kill", 0, 6, 1, 1.0, "worse")
    assert (again.since("kill"), again.commits(), again.machines()) == (0, ["aaaa", "bbbb", "cccc"], ["here", "there"])


def test_one_that_is_cut_off_leaves_the_ledger_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "faults.json"
    Ledger(path, "aaaa", "here").add("kill", 0, 1, 1, 1.0)
    before = path.read_bytes()

    def cut_off(*_: object) -> None:
        raise OSError(5, "cut off")

    monkeypatch.setattr(Path, "replace", cut_off)
    with pytest.raises(ReleaseError):
        Ledger(path, "aaaa", "here").add("kill", 0, 2, 1, 1.0)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["faults.json"]


def test_a_damaged_ledger_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"rows": ')
    with pytest.raises(ReleaseError):
        Ledger(path)


def test_a_table_has_numbers_on_the_right() -> None:
    assert table(["what", "n"], [["a", 1], ["b", 22]]) == "| what | n |\n| --- | ---: |\n| a | 1 |\n| b | 22 |"


def test_the_page_says_what_the_ledgers_hold() -> None:
    """``make reliability`` after ``make faults`` or ``make fuzz``."""
    text = reliability.PAGE.read_text()
    assert reliability.page(text, reliability.LEDGERS) == text


def test_the_page_follows_the_ledgers(tmp_path: Path) -> None:
    Ledger(tmp_path / "faults.json", "aaaa", "here").add("two runs", 0, 7, 7, 70.0)
    text = reliability.page(reliability.PAGE.read_text(), tmp_path)
    assert "one makes it, the other says one line | 7 | 0 | 7 | 10 |" in text
    assert "Code: aaaa. Machines: here." in text
