"""The whole audit of small releases: what it writes, what it refuses, what it remembers."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from dsanon_eval import audit as command
from dsanon_eval.seeing.cache import FILE
from little_clips import clip
from PIL import Image

from dsanon.manifest import ManifestRow, write_rows
from runs import anonymize, dsanon, run

PERSON = "Eileen_Collins"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No weights but those that are installed, so that it is the same audit on every machine."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(autouse=True)
def _models(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(models))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LFW with three photos of one person, and one of a mirror image who passes for another."""
    from skimage import data

    portrait = np.asarray(data.astronaut())[:256, 96:352]
    root = tmp_path_factory.mktemp("source") / "lfw"
    for name in (PERSON, "Mirror_Image"):
        (root / "lfw" / name).mkdir(parents=True)
    for number in range(3):
        photo = np.roll(portrait, 5 * number, axis=1)
        Image.fromarray(photo).save(root / "lfw" / PERSON / f"{PERSON}_{number + 1:04d}.png")
    Image.fromarray(portrait[:, ::-1]).save(root / "lfw" / "Mirror_Image" / "Mirror_Image_0001.png")
    return root


@pytest.fixture(scope="module")
def blurred(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    release = tmp_path_factory.mktemp("made") / "blurred"
    assert anonymize(source, release, "--method", "blur", "--kernel", 3, dataset="lfw").code == 0
    return release


@pytest.fixture(scope="module")
def audited(source: Path, blurred: Path, models: Path) -> dict:
    """The report of an audit that fails: a blur of three pixels hides nobody."""
    spent = []

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        done = run(*arguments)
        spent.append(time.perf_counter() - began)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSANON_MODELS", str(models))
        run = command.audit
        patch.setattr(command, "audit", timed)
        code, report, lines = audit(blurred, source)
    assert code == 4, lines
    return report | {"lines": lines, "spent": spent[0]}


def audit(release: Path, source: Path, *options: object) -> tuple[int, dict, list[str]]:
    """Exit code, report and the lines on standard error that are no progress."""
    code, out, err = run("audit", release, "--source", source, "--workers", 0, "--json", *options)
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if not line.startswith("look ")]
    return int(str(code or 0)), json.loads(out or "{}"), lines


def value(report: dict, name: str, control: str = "release", model: str = "dlib_resnet") -> float:
    rows = {(m["name"], m["control"], m["model"]): m for m in report["measurements"]}
    return float(rows[name, control, model]["value"])


def test_a_weak_blur_fails_with_a_line_for_each_gate(audited: dict) -> None:
    assert value(audited, "self_recall_at_1") == 1.0
    assert any(line.startswith("failed: self_recall_at_1 by dlib_resnet on release: 1,") for line in audited["lines"])
    failed = [line for line in audited["lines"] if line.startswith("failed: ")]
    assert len(failed) == audited["gates"]["failed"] == len(audited["gates"]["failures"])
    leaks = [line for line in audited["lines"] if line.startswith("leak: data/lfw/")]  # what blur leaves of each face
    assert len(leaks) == 4
    assert len(leaks) + len(failed) == len(audited["lines"])


def test_the_stages_account_for_the_time(audited: dict) -> None:
    assert {"scan", "look", "measure", "draw"} <= audited["seconds"].keys()
    assert 0.8 * audited["spent"] < sum(audited["seconds"].values()) <= audited["spent"]


def test_controls_are_measured_in_the_same_run(audited: dict) -> None:
    assert value(audited, "detection_rate", model="hog") == 1.0
    assert value(audited, "detection_rate", "blackout", "hog") == 0.0
    assert value(audited, "recall_at_1", "original") == 1.0
    assert value(audited, "recall_at_1", "chance") == pytest.approx(2 / 3)
    assert value(audited, "outside_self_recall_at_1") == 1.0  # the background is the very photo's
    named = {m["control"] for m in audited["measurements"] if not m["name"].startswith("subgroup_")}
    assert named == {"release", "original", "blackout", "blur9", "pixelate16", "chance"}


def test_every_figure_says_how_many_and_how_sure(audited: dict) -> None:
    for row in audited["measurements"]:
        assert row["n"] > 0, row
        if row["ci95"] and np.isfinite(row["value"]) and not row["name"].startswith(("fd_", "kid_")):
            assert row["ci95"][0] - 1e-9 <= row["value"] <= row["ci95"][1] + 1e-9, row


def test_subgroups_are_told_with_their_number_and_small_ones_get_no_verdict(audited: dict) -> None:
    rows = [m for m in audited["measurements"] if m["name"].startswith("subgroup_")]
    assert {m["name"].removeprefix("subgroup_recall_at_1_") for m in rows} >= {"size", "turn", "light"}
    assert all(m["gate"] is None and m["n"] < 30 for m in rows)
    assert not any(m["name"].startswith("subgroup_worst") for m in rows)


def test_the_public_side_names_nobody(audited: dict, blurred: Path) -> None:
    for path in (blurred / "audit").rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert b"Eileen" not in text, path
            assert b"Mirror" not in text, path
    assert "Eileen" not in json.dumps(audited)


def test_tables_say_what_the_report_says(audited: dict, blurred: Path) -> None:
    rows = pq.read_table(blurred / "audit" / "measurements.parquet").to_pylist()
    assert [(r["name"], r["model"], r["control"], r["n"]) for r in rows] == [
        (m["name"], m["model"], m["control"], m["n"]) for m in audited["measurements"]
    ]
    assert json.loads((blurred / "audit" / "report.json").read_text())["gates"] == audited["gates"]
    lines = (blurred / "audit" / "figures" / "cmc_dlib_resnet.csv").read_text().splitlines()
    assert lines[0] == "label,x,y,low,high"
    assert any(line.startswith("blackout,1.0,") for line in lines)
    (guess,) = [line.split(",") for line in lines if line.startswith("chance,1.0,")]
    assert float(guess[2]) == pytest.approx(value(audited, "recall_at_1", "chance"))
    names = {(m["name"], m["control"]) for m in audited["measurements"]}
    assert {("tar_at_far_all_pairs_own", control) for control in ("release", "blackout", "chance")} <= names
    (note,) = [note for note in audited["notes"] if note.startswith("verification by dlib_resnet")]
    assert "with the second picture of release" in note


def test_a_second_audit_looks_at_nothing_again(
    audited: dict, source: Path, blurred: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsanon_eval.seeing import watch

    def never(*_: object) -> None:
        raise AssertionError("a picture was looked at twice")

    monkeypatch.setattr(watch.Watcher, "__call__", never)
    code, again, _ = audit(blurred, source)
    assert code == 4
    seen, before = ([m for m in r["measurements"] if m["model"] != "scanner"] for r in (again, audited))
    assert seen == before  # the scanner looks at the first audit's files, too
    cache = blurred.with_name("blurred.private") / "audit" / FILE
    assert cache.stat().st_mode & 0o077 == 0


def test_gates_of_ones_own(audited: dict, source: Path, blurred: Path, tmp_path: Path) -> None:
    mine = tmp_path / "gates.toml"
    mine.write_text(
        '[[gate]]\nname = "detection_rate"\nmodel = "hog"\nmin = 0.5\nrequired = true\n'
        '[[gate]]\nname = "leak_pixels"\nmax = 4\n'
    )
    code, report, lines = audit(blurred, source, "--gates", mine)
    assert code == 0
    assert all(line.startswith("leak: data/lfw/") for line in lines)  # told all the same
    leaks = sum(m["name"].startswith("leak_") for m in report["measurements"])
    assert report["gates"] == {"passed": 1 + leaks, "failed": 0, "failures": []}


def test_groups_of_ones_own_and_the_private_page(audited: dict, source: Path, blurred: Path, tmp_path: Path) -> None:
    known = tmp_path / "list_attr.txt"
    known.write_text(f"Smiling\n{PERSON}_0001.png 1\n{PERSON}_0002.png -1\n")
    code, report, _ = audit(blurred, source, "--attributes", known, "--with-source")
    assert code == 4
    groups = {m["control"]: m["n"] for m in report["measurements"] if m["name"] == "subgroup_recall_at_1_smiling"}
    assert groups == {f"{control}, {group}": 1 for control in ("original", "release") for group in ("yes", "no")}
    page = blurred.with_name("blurred.private") / "audit" / "report-with-source.html"
    assert page.stat().st_mode & 0o777 == 0o600
    assert 'role="alert"' in page.read_text()
    assert not list(blurred.rglob("*with-source*"))
    assert 'role="alert"' not in (blurred / "audit" / "report.html").read_text()
    done = dsanon("audit", blurred, "--source", source, "--attributes", tmp_path / "none.txt")
    assert done.code == 2
    assert "--attributes" in done.error


def test_altered_files_and_the_wrong_source_are_refused(
    audited: dict, source: Path, blurred: Path, tmp_path: Path
) -> None:
    other = tmp_path / "lfw"
    shutil.copytree(source, other)
    photo = other / "lfw" / PERSON / f"{PERSON}_0001.png"
    Image.open(photo).rotate(180).save(photo)
    done = dsanon("audit", blurred, "--source", other, "--workers", 0)
    assert done.code == 2
    assert "name the SOURCE the release was made from" in done.error
    release = tmp_path / "blurred"
    shutil.copytree(blurred, release)
    shutil.copytree(blurred.with_name("blurred.private"), tmp_path / "blurred.private")
    picture = next((release / "data").rglob("*.png"))
    Image.open(picture).rotate(180).save(picture)
    done = dsanon("audit", release, "--source", source, "--workers", 0)
    assert done.code == 2
    assert picture.name in done.error


def test_without_the_private_side_nothing_is_pretended(source: Path, blurred: Path, tmp_path: Path) -> None:
    release = tmp_path / "alone"
    shutil.copytree(blurred, release)
    code, report, lines = audit(release, source)
    assert code == 4
    assert any("recall_at_1 by dlib_resnet on release, which is required, was not measured" in line for line in lines)
    assert {m["name"] for m in report["measurements"] if m["model"] != "scanner"} == {"face_seen_rate"}
    assert "leak_pixels" not in {m["name"] for m in report["measurements"]}
    assert value(report, "face_seen_rate", model="hog") == 1.0
    assert any("private map" in note for note in report["notes"])
    assert not release.with_name("alone.private").exists()
    done = dsanon("audit", release, "--source", source, "--with-source", "--workers", 0)
    assert done.code == 2
    assert "--with-source needs the private map" in done.error
    done = dsanon("audit", release, "--source", source, "--private", tmp_path / "nowhere")
    assert done.code == 2
    assert "nowhere" in done.error


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--suite", "all"), "--suite 'all' is unknown"),
        (("--workers", -2), "--workers -2"),
        (("--workers", 1, "--ray-address", "127.0.0.1:1"), "no Ray at 127.0.0.1:1"),
    ],
)
def test_wrong_options(source: Path, blurred: Path, options: tuple[object, ...], says: str) -> None:
    done = dsanon("audit", blurred, "--source", source, *options)
    assert done.code == 2
    assert says in done.error


def test_forgetting_takes_the_audit_s_memory_with_the_key(source: Path, blurred: Path, tmp_path: Path) -> None:
    shutil.copytree(blurred, tmp_path / "blurred")
    private = tmp_path / "blurred.private"
    shutil.copytree(blurred.with_name("blurred.private"), private)
    (private / "audit").mkdir(exist_ok=True)
    (private / "audit" / FILE).touch()
    (private / "audit" / "networks").mkdir(exist_ok=True)
    (private / "audit" / "networks" / "undo.safetensors").touch()  # it has seen people of the source
    assert dsanon("forget", tmp_path / "blurred").code == 0
    assert not (private / "audit").exists()
    code, report, _ = audit(tmp_path / "blurred", source)
    assert code == 4
    assert {m["name"] for m in report["measurements"] if m["model"] != "scanner"} == {"face_seen_rate"}
    assert "leak_pixels" not in {m["name"] for m in report["measurements"]}
    assert not (private / "audit").exists()


def test_a_clip_without_its_private_side_was_not_attacked_either(tmp_path: Path) -> None:
    """Clips name nobody, and each may show one person only; but whom they showed is known to the private map alone."""
    from skimage import data

    portrait = np.ascontiguousarray(np.asarray(data.astronaut())[:224, 112:336])
    source, release = tmp_path / "clips", tmp_path / "release"
    source.mkdir()
    for name, pixels in (("one", portrait), ("two", np.ascontiguousarray(portrait[:, ::-1]))):
        clip(source / f"{name}.mp4", [pixels] * 2)
    made = anonymize(source, release, "--method", "blur", "--kernel", 3, "--detectors", "hog", dataset="video")
    assert made.code == 0, made
    release.with_name("release.private").rename(tmp_path / "elsewhere")
    code, report, _ = audit(release, source)
    assert code == 4
    (line,) = report["gates"]["failures"]
    assert line.startswith("self_recall_at_1 by dlib_resnet on release, which is required, was not measured: the priv")


def test_bodies_are_asked_of_the_very_source_and_release(bodies: tuple[Path, Path], tmp_path: Path) -> None:
    """No detector looks at a body's scene: of another picture nobody is found again, which would be a pass."""
    source, release = bodies
    other = tmp_path / "other"
    shutil.copytree(source, other)
    photo = other / "val2017" / f"{2:012d}.png"
    Image.open(photo).rotate(180).save(photo)
    for wrong in (lambda: None, photo.unlink):
        wrong()
        done = dsanon("audit", release, "--source", other, "--workers", 0)
        assert done.code == 2, done
        assert "name the SOURCE the release was made from" in done.error
    picture = release / "data" / "val2017" / photo.name
    Image.open(picture).rotate(180).save(picture)
    done = dsanon("audit", release, "--source", source, "--workers", 0)
    assert done.code == 2
    assert f"{photo.name} is missing or was altered" in done.error


@pytest.fixture
def bodies(tmp_path: Path) -> tuple[Path, Path]:
    """Two people of COCO and nobody's face, as SOURCE, and covered, as RELEASE."""
    rng = np.random.default_rng(0)
    (tmp_path / "coco" / "val2017").mkdir(parents=True)
    (tmp_path / "coco" / "annotations").mkdir()
    images, people = [], []
    for number in (1, 2):
        name = f"{number:012d}.png"
        pixels = np.kron(rng.integers(20, 220, (40, 40, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
        Image.fromarray(pixels).save(tmp_path / "coco" / "val2017" / name)
        images.append({"id": number, "file_name": name, "height": 160, "width": 160})
        outline = [40, 20, 120, 20, 120, 140, 40, 140]
        person = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 9600}
        people.append(person | {"segmentation": [outline], "bbox": [40, 20, 80, 120]})
    annotation = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text(json.dumps(annotation))
    release = tmp_path / "release"
    options = ("--method", "mask", "--regions", "body", "--detectors", "hog")
    assert anonymize(tmp_path / "coco", release, *options, dataset="coco").code == 0
    return tmp_path / "coco", release


def test_bodies_that_nobody_asked_who_they_are_pass_no_audit(bodies: tuple[Path, Path]) -> None:
    """Two people of COCO, somewhat lighter than they were; who knows bodies again, OSNet, is not here."""
    source, release = bodies
    digests = {}
    for picture in (release / "data").rglob("*.png"):
        pixels = np.asarray(Image.open(source / "val2017" / picture.name)) + np.uint8(14)
        Image.fromarray(pixels).save(picture)
        digests[picture.name] = hashlib.sha256(picture.read_bytes()).hexdigest()
    rows = pq.read_table(release / "manifest.parquet").to_pylist()
    rows = [row | {"output_sha256": digests[Path(row["file"]).name]} for row in rows]
    write_rows(release / "manifest.parquet", [ManifestRow(**row) for row in rows])
    code, report, lines = audit(release, source)
    assert code == 4
    missing, leaked = sorted(report["gates"]["failures"])
    assert missing.startswith("body_self_recall_at_1 by osnet on release, which is required, was not measured: its w")
    assert "dsanon models" in missing
    assert leaked.startswith("leak_pixels")
    assert sum("the source's body is untouched" in line for line in lines) == 2
    assert any("no face was treated in this release, bodies were" in note for note in report["notes"])
    assert not any("nothing to attack" in note for note in report["notes"])
