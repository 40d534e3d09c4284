"""The paper's experiments on a made-up CelebA and LFW, with tiny generators of random weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dsanon_eval.crew import Crew
from dsanon_eval.measurement import Measurement
from dsanon_eval.reproduce import figures, rows
from dsanon_eval.reproduce.bench import ORIGINAL
from dsanon_eval.reproduce.rows import Row
from dsanon_eval.reproduce.shown import painted
from dsanon_eval.reproduce.table import Section, Table
from dsanon_eval.seeing import known_faces
from dsanon_eval.seeing.cache import FILE, Cache
from dsanon_eval.seeing.known_faces import KnownFace, celeba_samples, find
from dsanon_eval.seeing.observation import Instruments, Observation
from dsanon_training.checkpoints import export
from small_datasets import small_datasets

from dsanon.methods.ciagan import Painter
from dsanon.models import store
from dsanon.models.architectures import build
from dsanon.models.generator import GeneratorConfig
from dsanon.plan import Control
from dsanon.render import Treatment
from dsanon.sample import Region, Sample
from dsanon.sources.lfw import Pair
from runs import dsanon

CELEBA = ((1, 2), (1, 2), (2, 2), (2, 2), (2, 2), (3, 0), (3, 0), (4, 0), (4, 0))
TRAINED = ("celeba/3", "celeba/4", "lfw/Bob_Three")


def add_generator(name: str, folder: Path, architecture: str, trained: tuple[str, ...] = TRAINED) -> Path:
    """A generator of random weights, registered as ``name``; its recipe has that name too."""
    torch.manual_seed(0)
    config = GeneratorConfig(len(trained), (4, 4, 4, 4, 4), 8, architecture=architecture)
    said: dict[str, Any] = {"kind": "generator", "recipe": name, "steps": 0, "config": config.as_dict()}
    said["identities"] = [hashlib.sha256(person.encode()).hexdigest()[:16] for person in trained]
    file = folder / f"{name}.safetensors"
    export(file, build(config).state_dict(), said)
    store.add(name, file)
    return file


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """data/ with a photo on which there is no face, and models/ with tiny generators."""
    root = tmp_path_factory.mktemp("reproduce")
    lfw = {"Ann_One": 2, "Ann_Two": 2, "Bob_Three": 1}
    small_datasets(root / "data", CELEBA, lfw, faceless=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSANON_MODELS", str(root / "models"))
        add_generator("ciagan-face", root, "ciagan")
        add_generator("faces", root, "faces")
        yield root


def run(place: Path, name: str, *options: object) -> dict[str, Any]:
    """The report of one experiment; OUT, and with it what was seen, is the same for all of them."""
    done = dsanon(
        "reproduce", name, "--data", place / "data", "--out", place / "out", "--json", "--workers", 0, *options
    )
    assert done.code == 0, done.error
    report = dict(done.json())
    assert report == json.loads((place / "out" / f"{name}.json").read_text())
    return report


def cells(report: dict[str, Any], table: int, column: str) -> dict[str, str]:
    """Row → cell of one column."""
    shown = report["tables"][table]
    at = shown["columns"].index(column)
    return {row["label"]: row["cells"][at] for row in shown["rows"]}


def figure(report: dict[str, Any], *key: str) -> dict[str, Any]:
    """The one measurement of (name, model, control)."""
    [found] = [m for m in report["measurements"] if (m["name"], m["model"], m["control"]) == key]
    return dict(found)


def test_table1_has_every_row_and_nobody_leaves_the_denominator(place: Path) -> None:
    report = run(place, "table1")
    assert report["counts"] == {"people": 2, "photos": 5, "photos whose face could not be aligned": 1}
    recall = cells(report, 1, "Recall@1, dlib_resnet")
    assert all(cell.endswith("n 5") for row, cell in recall.items() if row not in ("pix2pix", "cyclegan"))
    assert set(recall) >= {"original", "blur 17×17", "mask (blackout)", "ciagan (ciagan-face)", "chance"}
    hog = cells(report, 0, "detection, dlib HOG")
    assert hog["original"] == "80.0 [21.7, 100.0] n 5; paper 100.0"  # of two people
    assert hog["blur 9×9"].endswith("n 4; paper 90.6")
    assert figure(report, "recall_at_1", "dlib_resnet", "chance")["value"] == pytest.approx((2 / 4 * 3 + 1 / 4 * 2) / 5)


def test_what_has_no_weights_says_so_and_has_only_the_papers_figure(place: Path) -> None:
    report = run(place, "table1")
    assert cells(report, 0, "detection, SSH")["ciagan (ciagan-face)"] == "no weights; paper 98.7"
    assert cells(report, 1, "Recall@1, PNCA")["original"] == "no weights; paper 70.7"
    assert cells(report, 2, "FID, Inception")["ciagan (ciagan-face)"] == "no weights; paper 2.10"
    assert "paper" not in cells(report, 1, "Recall@1, dlib_resnet")["original"]  # the paper's is another network
    assert figure(report, "recall_at_1", "dlib_resnet", "original")["paper"] is None
    assert figure(report, "detection_rate", "hog", "blur9")["paper"] == 0.906
    [row] = [row for row in report["tables"][0]["rows"] if row["label"] == "pix2pix"]
    assert "dsanon train pix2pix" in row["missing"]
    assert "| pix2pix: no weights: `dsanon train pix2pix`" in (place / "out" / "table1.md").read_text()


def test_table2_measures_the_ablations_that_are_here(place: Path) -> None:
    report = run(place, "table2")
    hog = cells(report, 0, "detection, dlib HOG")
    assert hog["faces (faces)"].endswith("n 4; paper 98.3")
    assert hog["ours (ciagan-face)"].endswith("n 4")
    assert hog["siamese"] == "–; paper 99.9"
    missing = {row["label"]: row["missing"] for row in report["tables"][0]["rows"]}
    assert "dsanon train ciagan-paper" in missing["siamese"]
    assert "dsanon train classification" in missing["classification"]
    assert set(report["weights"]) == {"faces", "ciagan-face"}


def test_a_generator_called_as_a_row_is_another_row(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who calls his generator ``original`` or ``siamese`` has not measured the original, nor the paper's ablation."""
    monkeypatch.setenv("DSANON_MODELS", str(place / "others"))
    for name in ("original", "siamese", "mine"):
        add_generator(name, place, "ciagan")
    mine = {row.label: row for row in rows.ablations()}
    assert mine["ours (original)"].name == "generator original"
    assert mine["ours (siamese)"].name == "generator siamese"
    assert mine["ours (mine)"].name == "mine"
    assert mine["siamese"].missing
    names = [row.name for row in (*rows.controls(), *mine.values())]
    assert len(names) == len(set(names))


def test_table3_takes_its_thresholds_three_ways(place: Path) -> None:
    report = run(place, "table3")
    assert report["counts"]["pairs"] == 4
    for number in range(3):
        shown = cells(report, number, "TAR, dlib_resnet")
        assert shown["original"].endswith("n 2")
        assert shown["ciagan (ciagan-face)"].endswith("n 2")
    assert cells(report, 0, "TAR, FaceNet (VGGFace2)")["Gafni et al."] == "–; paper 3.8 ± 1.5"
    assert cells(report, 3, "detection, dlib HOG")["ciagan (ciagan-face)"].endswith("n 2; paper 99.1")


def test_landmarks_are_looked_for_again_in_every_photo(place: Path) -> None:
    report = run(place, "landmarks")
    shown = cells(report, 0, "Recall@1, landmarks68")
    assert shown["original"].endswith("n 2; paper 30.5")  # every other photo of two people is known
    assert shown["ciagan (ciagan-face)"].endswith("n 2; paper 1.9")
    assert shown["chance"] == "50.0 n 2"


def test_swap_asks_for_the_target_and_for_anybody(place: Path) -> None:
    report = run(place, "swap", "--faces", 6)
    counts = report["counts"]
    assert (counts["painted faces"], counts["target identities"], counts["training photos"]) == (6, 3, 5)
    assert figure(report, "swap_recall_at_1", "dlib_resnet", "release")["n"] == 6
    assert figure(report, "swap_recall_at_1", "dlib_resnet", "target")["n"] == 4  # Bob has one photo only
    assert figure(report, "swap_near_training_face", "dlib_resnet", "original")["n"] == 5
    assert any(note.startswith("dlib_resnet recognises the target identity") for note in report["notes"])


def test_a_second_run_looks_at_nothing_and_the_cache_is_closed_to_others(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(place, "table1")

    def never(*_: object) -> None:
        raise AssertionError("a picture was looked at twice")

    monkeypatch.setattr(Instruments, "observe", never)
    assert run(place, "table1")["measurements"] == first["measurements"]
    assert (place / "out" / "cache" / FILE).stat().st_mode & 0o077 == 0


def test_several_workers_see_the_same(cluster: Any, place: Path, tmp_path: Path) -> None:
    samples = celeba_samples(place / "data" / "celeba", 2)
    with Cache(None) as one, Cache(None) as other, Crew(2) as crew:
        here = find("celeba", place / "data" / "celeba", samples, one)
        assert find("celeba", place / "data" / "celeba", samples, other, crew) == here
    assert [bool(face.region.landmarks) for face in here] == [True, True, True, True, False]


def test_faces_are_found_anew_by_other_weights(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def forgetful(_: str, tasks: Sequence[tuple[str, str, object]], *__: object) -> list[bytes]:
        asked.extend(key for key, _, _ in tasks)
        raise InterruptedError

    monkeypatch.setattr(known_faces, "remembered", forgetful)
    samples = celeba_samples(place / "data" / "celeba", 2)[:1]
    with Cache(None) as cache:
        for other in ("", "landmarks68", "centerface"):
            monkeypatch.setattr(store, "path", Path)
            monkeypatch.setattr(store, "sha256", lambda file, other=other: f"{file} {file == Path(other)}")
            with pytest.raises(InterruptedError):
                find("celeba", place / "data" / "celeba", samples, cache)
    assert len(set(asked)) == 3


def test_people_whom_a_generator_was_trained_on_are_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    add_generator("ciagan-face", tmp_path, "ciagan", ("celeba/1", "celeba/3"))
    for name in ("table1", "table2", "landmarks", "swap"):
        done = dsanon("reproduce", name, "--data", place / "data", "--out", place / "out", "--workers", 0)
        assert done.code == 2
        assert "1 of the people to measure are people that ciagan-face.safetensors was trained on" in done.error


def test_bad_usage_is_one_line(place: Path, tmp_path: Path) -> None:
    def error(*arguments: object) -> str:
        done = dsanon("reproduce", *arguments, "--out", tmp_path / "out", "--workers", 0)
        assert done.code == 2
        assert not list(tmp_path.glob("out/*.md"))
        return done.error

    assert "experiment 'table4' is unknown: choose one of table1" in error("table4", "--data", place / "data")
    assert "no such folder" in error("table1", "--data", tmp_path / "nothing")
    assert "--limit 1: expected 2 or more" in error("table1", "--data", place / "data", "--limit", 1)
    assert "pairs.txt: expected LFW" in error("table3", "--data", place / "data" / "celeba")
    (tmp_path / "lfw" / "lfw" / "Ann_One").mkdir(parents=True)
    (tmp_path / "lfw" / "pairs.txt").write_bytes((place / "data" / "lfw" / "pairs.txt").read_bytes())
    photo = place / "data" / "lfw" / "lfw" / "Ann_One" / "Ann_One_0001.jpg"
    (tmp_path / "lfw" / "lfw" / "Ann_One" / photo.name).write_bytes(photo.read_bytes())
    assert "3 of 4 images that pairs.txt names are not in" in error("table3", "--data", tmp_path)


def test_only_the_ablation_is_shown_the_face(place: Path) -> None:
    with Cache(None) as cache:
        samples = celeba_samples(place / "data" / "celeba", 2, 1)[:1]
        [face] = find("celeba", place / "data" / "celeba", samples, cache)
    photo = face.pixels()
    other = photo.copy()
    x0, y0, x1, y1 = (round(v) for v in face.region.box)
    middle = np.s_[(y0 + y1) // 2 - 12 : (y0 + y1) // 2 + 12, (x0 + x1) // 2 - 12 : (x0 + x1) // 2 + 12]
    other[middle] = 255 - other[middle]
    treatment = Treatment(face.region, "ciagan", Control((0,), (1.0,)))
    for name, sees in (("ciagan-face", False), ("faces", True)):
        painter = Painter(store.path(name), "cpu", 1)
        same = np.array_equal(painted(painter, photo, treatment), painted(painter, other, treatment))
        assert same is not sees


def seen(vector: float, found: bool = True) -> Observation:
    """A face with a one-dimensional embedding, which a detector finds or not."""
    squares = {"hog": np.array([[0.0, 0.0, 9.0, 9.0]] if found else np.zeros((0, 4)))}
    nothing = np.zeros((0, 0), np.float32)
    return Observation(squares, {"net": np.array([[vector]], np.float32)}, nothing, nothing, nothing)


def faces(people: list[str]) -> list[KnownFace]:
    where = Region("face", (0.0, 0.0, 9.0, 9.0))
    return [KnownFace(Path(), Sample("x", "x"), "", where, f"lfw/{person}", 1) for person in people]


def test_a_face_that_no_detector_finds_or_no_recogniser_sees_still_counts() -> None:
    """Who drops the two lost faces reports 0 % recognised and 100 % found."""
    people = faces(["a", "a", "b", "b"])
    original = [seen(0), seen(1), seen(10), seen(11)]
    row = [seen(10), seen(10), seen(0.4), seen(float("nan"), found=False)]
    all_seen = {ORIGINAL: original, "ciagan": row}
    found = {(m.name, m.control): m for m in figures.recalls(["net"], people, all_seen)}
    assert (found["recall_at_1", "ciagan"].value, found["recall_at_1", "ciagan"].n) == (0.25, 4)
    assert found["recall_at_1_optimistic", "ciagan"].value == 0.0
    looks = {(m.name, m.control): m for m in figures.looks(people, all_seen)}
    assert (looks["detection_rate", "ciagan"].value, looks["detection_rate", "ciagan"].n) == (0.75, 4)


def test_a_folds_threshold_is_never_its_own() -> None:
    """Fold 0 has impostors 1 apart and its pair 3; fold 1 has them 9 apart and its pair 0.5."""
    folds = [
        [Pair("a", 1, "a", 2, True), Pair("a", 1, "b", 2, False)],
        [Pair("c", 1, "c", 2, True), Pair("c", 1, "d", 2, False)],
    ]
    named = {("a", 1): 0.0, ("a", 2): 3.0, ("b", 2): 1.0, ("c", 1): 100.0, ("c", 2): 100.5, ("d", 2): 109.0}
    where = Region("face", (0.0, 0.0, 9.0, 9.0))
    people = [KnownFace(Path(), Sample("x", "x"), "", where, f"lfw/{name}", number) for name, number in named]
    vectors = [seen(value) for value in named.values()]
    second = figures.second_images(folds, people)
    assert [(face.person, face.number) for face in second] == [("lfw/a", 2), ("lfw/b", 2), ("lfw/c", 2), ("lfw/d", 2)]
    at = dict(zip(((f.person, f.number) for f in people), vectors, strict=True))
    rows = {ORIGINAL: [at[face.person, face.number] for face in second]}
    found = {m.name: m.value for m in figures.verification(["net"], folds, people, vectors, second, rows)}
    assert found["tar_at_far"] == 1.0  # at their own thresholds fold 0's pair would fail: 0.5
    assert found["tar_at_far_all_pairs"] == 0.5


def test_a_cell_has_figure_interval_n_and_the_papers_beside() -> None:
    rows = [Row("ciagan", "CIAGAN", "ciagan"), Row("pix2pix", "pix2pix", "pix2pix", missing="no weights: train")]
    measured = [
        Measurement("recall_at_1", "pnca", "ciagan", 0.06, (0.0, 0.181), 217),
        Measurement("recall_at_1_optimistic", "pnca", "ciagan", 0.05, (0.0, 0.1), 217),
    ]
    table = Table(
        Section("Recognition", ("recall_at_1",)), rows, {("ciagan", "recall_at_1", "pnca"): (0.013, 0.01)}, measured
    )
    assert table.markdown().splitlines()[2:6] == [
        "| | Recall@1, PNCA |",
        "| --- | --- |",
        "| CIAGAN | 6.0 [0.0, 18.1] (optimistic 5.0) n 217; paper 1.3 ± 1.0 |",
        "| pix2pix: no weights: train | – |",
    ]
