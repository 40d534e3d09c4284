from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dsanon import worker
from dsanon.config import JobConfig
from dsanon.errors import BadImage, DsanonError
from dsanon.found import read_found
from dsanon.manifest import read_rows
from dsanon.review import Decision
from dsanon.rows import released_as
from dsanon.sample import Photo, Region, Sample, Unreadable
from dsanon.shards import Shard, make_shards
from dsanon.worker import DIED, Setup, Worker


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """Six small pictures, and the places of a release."""
    (tmp_path / "source").mkdir()
    for number in range(6):
        Image.fromarray(np.full((20, 30, 3), 40 * number, np.uint8)).save(tmp_path / "source" / f"{number}.png")
    for folder in ("data", "staging"):
        (tmp_path / folder).mkdir()
    config = JobConfig("folder", tmp_path / "source", method="mask", regions="face", scope="dataset")
    return Setup(config, tmp_path / "data", tmp_path / "staging", bytes(32), {})


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors that see nobody."""
    monkeypatch.setattr(worker, "_open_finder", lambda *_: lambda sample, pixels: ())


def only_shard(setup: Setup) -> tuple[Worker, Shard]:
    made = Worker(setup)
    (shard,) = make_shards(made.source.samples())
    return made, shard


def problems(setup: Setup, shard: Shard) -> list[str]:
    return [found.problem for found in read_found(shard.found(setup.staging))]


@pytest.mark.parametrize("error", [ValueError, OSError, TypeError, MemoryError, StopIteration])
def test_what_a_reader_raises_costs_the_one_sample(setup: Setup, error: type[Exception]) -> None:
    made, shard = only_shard(setup)
    read = made.source.read

    def fragile(samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        for sample, photo in zip(samples, read(samples), strict=True):
            if sample.file in ("1.png", "2.png"):
                if error is StopIteration:
                    return
                raise error("secret")
            yield photo

    made.source.read = fragile  # type: ignore[method-assign]
    assert made.find(shard) == {"samples": 6, "faces": 0}
    lost = f"it could not be read ({error.__name__})"
    assert problems(setup, shard) == ["", lost, lost, "", "", ""]
    assert made.render(shard, {})["quarantined"] == 2
    done = json.loads(shard.done(setup.staging).read_text())
    assert done["released"] == ["0.png", "3.png", "4.png", "5.png"]


def test_a_condemned_sample_is_never_read_not_even_in_the_second_pass(setup: Setup) -> None:
    made, shard = only_shard(setup)
    read, asked = made.source.read, []

    def noted(samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        for sample, photo in zip(samples, read(samples), strict=True):
            asked.append(sample.file)
            yield photo

    made.source.read = noted  # type: ignore[method-assign]
    made.find(shard.without({"2.png"}, DIED))
    assert problems(setup, shard) == ["", "", DIED, "", "", ""]
    assert made.render(shard, {})["quarantined"] == 1
    assert asked == [f"{number}.png" for number in (0, 1, 3, 4, 5)] * 2


def test_the_sample_under_way_is_noted_and_photos_come_alone_where_a_worker_died(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, shard = only_shard(setup)
    made.find(shard)
    at, render, seen = shard.at(setup.staging), worker.render, []

    def noted(photos: list[np.ndarray], *further: Any) -> Any:
        seen.append(([int(photo[0, 0, 0]) // 40 for photo in photos], at.read_text()))
        return render(photos, *further)

    monkeypatch.setattr(worker, "render", noted)
    made.render(shard, {})
    assert seen == [([0, 1, 2, 3, 4, 5], "5")]
    assert not at.exists()
    seen.clear()
    at.write_text("5")  # what a dead worker leaves
    made.render(shard, {})
    assert seen == [([number], str(number)) for number in range(6)]
    assert not at.exists()


class Sink:
    """Raises ``error`` for whatever holds a picture."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.without: list[str] = []

    def write(self, sample: Sample, photo: Photo | None) -> None:
        if photo is not None:
            raise self.error
        self.without.append(sample.id)

    def close(self) -> dict[str, str]:
        return {}

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BadImage("too long for it"), "too long for it"),
        (OSError("encoder error -2"), "it could not be stored (OSError)"),
        (ValueError("secret"), "it could not be stored (ValueError)"),
        (MemoryError(), "it could not be stored (MemoryError)"),
    ],
)
def test_what_cannot_be_encoded_is_withheld(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    made, shard = only_shard(setup)
    made.find(shard)
    sink = Sink(error)
    monkeypatch.setattr(made.source, "sink", lambda data, names: sink, raising=False)
    made.render(shard, {})
    done = json.loads(shard.done(setup.staging).read_text())
    assert [row[2] for row in done["quarantined"]] == [reason] * 6
    assert done["released"] == []
    assert sink.without == [sample.id for sample in shard.samples]  # a video gets its grey frame


def test_a_full_disk_is_no_fault_of_the_sample(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    made, shard = only_shard(setup)
    made.find(shard)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(made.source, "sink", lambda data, names: Sink(full), raising=False)
    with pytest.raises(OSError, match="No space"):
        made.render(shard, {})
    assert not shard.done(setup.staging).exists()


def decided(setup: Setup, monkeypatch: pytest.MonkeyPatch, method: str, *decisions: tuple[int, str]) -> list[str]:
    """The reasons in the manifest of one picture after another, when each has a region and some are decided about."""
    region = Region("face", (5.0, 5.0, 15.0, 15.0))
    monkeypatch.setattr(worker, "_open_finder", lambda *_: lambda sample, pixels: (region,))
    made, shard = only_shard(setup)
    names = [released_as(made.source, made.names, sample)[1] for sample in shard.samples]
    made.setup = replace(
        setup,
        config=replace(setup.config, method=method),
        decisions=tuple(Decision(names[0], number, verdict) for number, verdict in decisions),  # type: ignore[arg-type]
    )
    made.find(shard)
    made.render(shard, {})
    rows = {row["sample"]: row["reason"] for row in read_rows(shard.manifest(setup.staging)).to_pylist()}
    return [rows[name] for name in names]


def test_a_reviewers_decision_is_about_one_region(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decided(setup, monkeypatch, "blur", (0, "mask")) == ["masked by a reviewer", *[""] * 5]
    assert decided(setup, monkeypatch, "blur", (0, "drop")) == ["dropped by a reviewer", *[""] * 5]
    assert decided(setup, monkeypatch, "blur", (1, "mask"))[0] == "a reviewer's decision fits no region of it"


def test_who_has_no_fake_identity_is_withheld(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    said = decided(setup, monkeypatch, "ciagan", (0, "mask"))
    assert said == ["masked by a reviewer", *["nobody knows whom a person in it became"] * 5]


def test_a_full_gpu_is_no_fault_of_the_sample(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    made, shard = only_shard(setup)
    made.find(shard)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(worker, "render", full)
    with pytest.raises(DsanonError, match=r"a GPU has no memory left .* fewer --workers.*--resume"):
        made.render(shard, {})
