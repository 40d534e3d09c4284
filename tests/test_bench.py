"""The benchmark's own arithmetic: what is nested counts once, and tables say what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "bench"))

import pytest
import stages
from speed import tables
from stages import STAGES, Stopwatch


def test_a_stage_within_another_counts_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 17.0, 18.0])  # outer begins, inner begins, inner ends, outer ends
    monkeypatch.setattr(stages.time, "perf_counter", lambda: next(times))
    watch = Stopwatch()
    watch.timed("outer", watch.timed("inner", lambda: None))()
    assert watch.seconds == {"outer": 3.0, "inner": 5.0}


def test_every_stage_is_a_place_in_the_code_and_is_left_as_it_was() -> None:
    from dsanon.regions import fit as before

    with Stopwatch().watching():  # raises AttributeError for a place that is gone
        from dsanon.regions import fit as watched

        assert watched is not before
    from dsanon.regions import fit as after

    assert after is before
    assert len(STAGES) > 8


def test_tables_show_the_median_and_what_was_wanted() -> None:
    ratio = {"of": "a", "to": "b", "ratio": [1.0, 1.5, 2.0], "wanted": 1.1}
    peers = {"photos": 9, "per_second": {"a": [3.0, 4.0, 5.0]}, "ratios": [ratio]}
    growth = {"photos": [{"photos": 1000, "ms": 12.34}], "photos in one worker": [{"photos": 2000, "mib": 640.04}]}
    video = {
        "crowds": [{"faces": 20, "fps": 1.234, "peak_mb": 900.4}],
        "lengths": [{"frames": 5000, "fps": 9.87, "peak_mb": 612.3}],
    }
    text = tables({"machine": "m", "date": "d", "repeats": 3, "peers": peers, "growth": growth, "video": video})
    assert "| 20 | 1.23 | 900 |" in text
    assert "| 5,000 | 9.9 | 612 |" in text
    assert "| a | 3.00 **4.00** 5.00 |" in text
    assert "| a | b | 1.00 **1.50** 2.00 | 1.1 |" in text
    assert "| 1,000 | 12.3 |" in text
    assert "| photos in one worker | peak memory, MiB |" in text
    assert "| 2,000 | 640.0 |" in text
