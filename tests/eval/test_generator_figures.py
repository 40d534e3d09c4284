"""The figures of a generator, on a CelebA and an LFW of the astronaut's portrait under two names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from dsanon_eval import generator_figures
from dsanon_eval.attacks import disjoint
from dsanon_eval.seeing.cache import FILE, Cache
from dsanon_eval.seeing.known_faces import KnownFace
from dsanon_eval.seeing.observation import Instruments
from small_datasets import small_datasets

from dsanon.errors import UsageError
from dsanon.models import store
from dsanon.sample import Region, Sample

WEIGHTS = store.SHIPPED / "ciagan-face.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CelebA: two people of the test partition, one of the training; LFW: two folds of a pair of each kind."""
    return small_datasets(tmp_path_factory.mktemp("data"))


def figures(data: Path, out: Path, *options: str) -> dict:
    arguments = ["--data", str(data), "--weights", str(WEIGHTS), "--out", str(out), *options]
    assert generator_figures.main(arguments) == 0
    return dict(json.loads(out.read_text()))


@pytest.fixture(scope="module")
def measured(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("out") / "figures.json"
    with pytest.MonkeyPatch.context() as patch:  # no weights but those that are installed
        patch.setenv("DSANON_MODELS", str(out.parent / "models"))
        return out, figures(data, out, "--vectors", "2", "--each", "2", "--folds", "2")


def test_only_people_who_never_train_are_measured(measured: tuple[Path, dict]) -> None:
    report = measured[1]
    assert report["people"] == {"celeba": 2, "lfw": 2}
    assert report["photos"] == {"celeba": 4, "lfw": 4}
    assert report["weights"] == store.sha256(WEIGHTS)


def test_every_row_is_there_with_its_n(measured: tuple[Path, dict]) -> None:
    rows = {(m["name"], m["model"], m["control"]): m for m in measured[1]["measurements"]}
    assert rows["celeba_recall_at_1", "dlib_resnet", "original"]["value"] == 1.0
    assert rows["celeba_detection_rate", "hog", "release"]["n"] == 4
    assert rows["lfw_detection_rate", "centerface", "release"]["n"] == 2  # the second image of the pairs
    assert rows["tar_at_far", "dlib_resnet", "original"]["n"] == 2
    assert rows["control_recall_at_1_of_2", "dlib_resnet", "release"]["n"] == 4
    assert rows["control_recall_at_1_of_2", "dlib_resnet", "chance"]["value"] == 0.5
    assert rows["control_distance_same_source", "dlib_resnet", "release"]["n"] > 0
    assert any(note.startswith("faceres did not measure") for note in measured[1]["notes"])


def test_what_was_seen_is_remembered_and_closed_to_others(
    data: Path, measured: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first = measured
    monkeypatch.setenv("DSANON_MODELS", str(out.parent / "models"))
    assert (out.with_name(out.name + ".cache") / FILE).stat().st_mode & 0o077 == 0

    def never(*_: object) -> None:
        raise AssertionError("a picture was looked at twice")

    monkeypatch.setattr(Instruments, "observe", never)
    again = figures(data, out, "--vectors", "2", "--each", "2", "--folds", "2")
    assert again["measurements"] == first["measurements"]


def test_where_nothing_can_be_controlled_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one person, and of a generator that takes no vector."""
    monkeypatch.setattr(generator_figures, "read_card", lambda _: pytest.fail("a vector was chosen"))
    region = Region("face", (0, 0, 9, 9), transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    ann, bob = (KnownFace(Path(), Sample("s", "s"), "0", region, f"lfw/{name}") for name in ("Ann", "Bob"))
    bench = SimpleNamespace(notes=[])
    assert generator_figures._control(bench, [ann, ann], WEIGHTS, 2, 2) == []
    assert generator_figures._control(bench, [ann, bob], WEIGHTS, 0, 2) == []
    assert ["2 vectors, 2 faces of each, 1 people" in bench.notes[0], "0 vectors" in bench.notes[1]] == [True, True]


def test_who_stands_first_in_a_pair_is_painted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann_One is the first image of strangers' pairs alone: no second image, but a source of identity control."""
    data = small_datasets(tmp_path)
    fold = "Ann_Two\t1\t2\nAnn_One\t1\tAnn_Two\t2\n"
    (data / "lfw" / "pairs.txt").write_text(f"2\t1\n{fold}{fold}")
    asked: list[set[str]] = []

    def trained(_: Path, people: Iterable[str]) -> set[str]:
        asked.append(set(people))
        return {"lfw/Ann_One"} & asked[-1]

    monkeypatch.setattr(disjoint, "trained_on", trained)
    monkeypatch.setattr(generator_figures, "_lfw", lambda *_: [])
    with Cache(None) as cache, pytest.raises(UsageError, match="1 of the people to measure"):
        generator_figures.measure(data, WEIGHTS, 0, 2, 2, 2, tmp_path / "out.json", cache)
    assert asked == [{"lfw/Ann_One", "lfw/Ann_Two"}]


def test_a_number_below_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path), "--weights", str(WEIGHTS), "--out", str(tmp_path / "x"), "--folds", "-1"]
    assert generator_figures.main(arguments) == 2
    assert "--folds -1: expected 0 or more" in capsys.readouterr().err


def test_a_folder_without_datasets_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path), "--weights", str(WEIGHTS), "--out", str(tmp_path / "x.json")]
    assert generator_figures.main(arguments) == 2
    assert "no faces in celeba/ or lfw/" in capsys.readouterr().err
