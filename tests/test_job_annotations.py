"""Annotation files that are not what they were when the job began."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsanon.sample import Sample
from dsanon.sources.coco import CocoSource
from dsanon.worker import Worker
from runs import Done, anonymize


def annotated(root: Path, boxes: list[list[int]]) -> Path:
    """A wall with people, as the json says."""
    (root / "val2017").mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    Image.fromarray(np.full((96, 128, 3), 90, np.uint8)).save(root / "val2017" / "000000000001.png")
    people = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes, 1)]
    content = {
        "images": [{"id": 1, "file_name": "000000000001.png", "width": 128, "height": 96}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}],
    }
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return root


def run(source: Path, release: Path, *options: str) -> Done:
    return anonymize(source, release, "--detectors", "hog", "--method", "mask", *options, dataset="coco")


def test_annotations_that_change_during_the_run_release_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom they tell of since then was not hidden, and the release would have their boxes."""
    source, render = annotated(tmp_path / "source", [[10, 10, 30, 60]]), Worker.render

    def changed(worker: Worker, *arguments: object) -> dict[str, int]:
        annotated(source, [[10, 10, 30, 60], [70, 10, 30, 60]])
        return render(worker, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "render", changed)
        done = run(source, tmp_path / "out")
    assert (done.code, "changed during the run" in done.error) == (2, True)
    assert not (tmp_path / "out").exists()
    refused = run(source, tmp_path / "out", "--resume")
    assert "these have changed: inputs.annotations" in refused.error
    annotated(source, [[10, 10, 30, 60]])
    assert run(source, tmp_path / "out", "--overwrite").code == 0


def test_annotations_that_change_while_they_are_read_release_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, samples = annotated(tmp_path / "source", [[10, 10, 30, 60]]), CocoSource.samples

    def late(self: CocoSource) -> list[Sample]:
        found = samples(self)
        annotated(source, [[10, 10, 30, 60], [70, 10, 30, 60]])
        return found

    monkeypatch.setattr(CocoSource, "samples", late)
    done = run(source, tmp_path / "out")
    assert (done.code, "changed during the run" in done.error) == (2, True)
    assert not (tmp_path / "out").exists()
