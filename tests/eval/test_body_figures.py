"""The figures of a generator of bodies, on real people whom training only looks at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from dsanon_eval import body_figures
from dsanon_training.body_crops import instances

from dsanon.models import store

WEIGHTS = store.SHIPPED / "ciagan-body.safetensors"


def run(data: Path, out: Path, *options: str) -> int:
    return body_figures.main(["--data", str(data), "--weights", str(WEIGHTS), "--out", str(out), *options])


def taken(shared: Path, folder: Path, held_out: int, others: int) -> Path:
    """A COCO folder of so many people of each kind, one a photo."""
    source = shared / "data" / "persons"
    files: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for person in instances(source.parent):
        if person.path.startswith(str(source)):
            files[person.held_out][person.path] = None
    chosen = {Path(file).name for kind, n in ((True, held_out), (False, others)) for file in list(files[kind])[:n]}
    listed = json.loads((source / "annotations" / "instances_train2017.json").read_text())
    listed["images"] = [image for image in listed["images"] if Path(image["file_name"]).name in chosen]
    numbers = {image["id"] for image in listed["images"]}
    listed["annotations"] = [entry for entry in listed["annotations"] if entry["image_id"] in numbers]
    (folder / "persons" / "annotations").mkdir(parents=True)
    (folder / "persons" / "train2017").mkdir()
    (folder / "persons" / "annotations" / "instances_train2017.json").write_text(json.dumps(listed))
    for name in chosen:
        shutil.copyfile(source / "train2017" / name, folder / "persons" / "train2017" / name)
    return folder


def test_only_people_whom_training_looks_at_are_measured(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    store.add("osnet", shared / "models" / "osnet_x0_25_msmt17.onnx")
    data = taken(shared, tmp_path / "data", 4, 3)
    assert run(data, tmp_path / "out.json", "--vectors", "3", "--each", "2") == 0
    report = json.loads((tmp_path / "out.json").read_text())
    assert (report["bodies"], report["people"], report["weights"]) == (4, 4, store.sha256(WEIGHTS))
    rows = {(m["name"], m["control"]): m for m in report["measurements"]}
    assert rows["control_recall_at_1_of_3", "release"]["n"] == 6
    assert rows["control_recall_at_1_of_3", "chance"]["value"] == pytest.approx(1 / 3)
    assert rows["control_mix_lies_between", "release"]["n"] == 6
    assert 1 <= rows["pedestrian_recall", "release"]["n"] == rows["pedestrian_recall", "original_moved"]["n"] <= 4


def test_a_generator_that_knows_them_is_refused(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = taken(shared, tmp_path / "data", 2, 1)
    known = {person.label for person in instances(data)}
    monkeypatch.setattr("dsanon_eval.attacks.disjoint.trained_on", lambda _, people: known & set(people))
    assert run(data, tmp_path / "out.json") == 2
    assert (
        "2 of the people to measure are people that ciagan-body.safetensors was trained on" in capsys.readouterr().err
    )
    assert not (tmp_path / "out.json").exists()


def test_nobody_to_measure_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, tmp_path / "out.json") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "0 people whom training only looks at" in line
    assert run(tmp_path, tmp_path / "out.json", "--each", "0") == 2
    assert "--each 0: expected 1 or more" in capsys.readouterr().err
