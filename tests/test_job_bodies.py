"""Bodies through the whole job, painted by a tiny generator of random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from dsanon_training.checkpoints import export
from PIL import Image

from dsanon import worker
from dsanon.models import painters, store
from dsanon.models.architectures import build
from dsanon.models.generator import GeneratorConfig
from dsanon.sources.silhouettes import from_mask
from runs import Done, anonymize, dsanon, likeness

H, W, FRAMES = 120, 160, 3
PEOPLE = (2003, 2004)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))


def generator(folder: Path, architecture: str = "ciagan-body") -> str:
    """Register one of six identities; the digest of its file."""
    torch.manual_seed(0)
    across = 64 if architecture == "ciagan-body" else 128
    made = build(GeneratorConfig(6, (8, 8, 8, 8, 8), 16, architecture=architecture, across=across))
    said = {"kind": "generator", "recipe": architecture, "steps": 0, "identities": [f"{n:016d}" for n in range(6)]}
    digest = export(folder / "body.safetensors", made.state_dict(), said | {"config": made.config.as_dict()})
    store.add("ciagan-body", folder / "body.safetensors")
    return digest


def instances(number: int) -> np.ndarray:
    """Two people who touch each other, and a group to ignore."""
    found = np.zeros((H, W), np.uint16)
    cv2.ellipse(found, (45 + 3 * number, 62), (14, 44), 0, 0, 360, PEOPLE[0], -1)
    cv2.ellipse(found, (75, 60), (16, 40), 0, 0, 360, PEOPLE[1], -1)
    found[30:70, 130:155] = 10000
    return found


def mots(root: Path, inside: int = 1) -> Path:
    """A sequence of noise; ``inside`` seeds that of the people, without changing anything around them."""
    lines = []
    for number in range(1, FRAMES + 1):
        found = instances(number)
        for instance in np.unique(found[found > 0]).tolist():
            rle = from_mask(found == instance)
            assert rle is not None
            lines.append(f"{number} {instance} {instance // 1000} {H} {W} {rle.counts.decode()}\n")
        pixels, people = (
            np.random.default_rng((seed, number)).integers(0, 256, (H, W, 3), np.uint8) for seed in (0, inside)
        )
        for folder, array in (("images", np.where(found[..., None] > 0, people, pixels)), ("instances", found)):
            (root / "train" / folder / "0001").mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / "train" / folder / "0001" / f"{number:06d}.png")
    (root / "train" / "instances_txt").mkdir()
    (root / "train" / "instances_txt" / "0001.txt").write_text("".join(lines))
    return root


def rows(release: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(release / "manifest.parquet").to_pylist())


def run(source: Path, release: Path, *options: object) -> Done:
    return anonymize(source, release, "--detectors", "hog", *options, dataset="mots")


def images(folder: Path) -> dict[str, np.ndarray]:
    return {p.name: np.asarray(Image.open(p)) for p in sorted((folder / "train" / "images" / "0001").glob("*.png"))}


def test_bodies_of_a_sequence_are_painted_within_their_masks_alone(tmp_path: Path) -> None:
    digest = generator(tmp_path)
    sources = [mots(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    for source in sources:
        done = run(source, tmp_path / f"{source.name}-out", "--key", tmp_path / "key")
        assert done.code == 0, done.error
        assert not done.error
    found = rows(tmp_path / "a-out")
    people = [row for row in found if row["status"] == "anonymized"]
    assert len(people) == 2 * FRAMES
    assert {(row["kind"], row["method"], row["model"]) for row in people} == {("body", "ciagan", digest[:16])}
    assert len({row["subject"] for row in people}) == 2
    groups = [row for row in found if row["status"] == "fallback"]
    assert [(row["kind"], row["method"], row["reason"]) for row in groups] == [
        ("body", "mask", "no silhouette of one person is known here")
    ] * FRAMES
    before, after, other = images(sources[0]), images(tmp_path / "a-out/data"), images(tmp_path / "b-out/data")
    assert list(before) == list(after) == list(other)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
    for number, (name, pixels) in enumerate(after.items(), start=1):
        mask = instances(number) > 0
        # what the people looked like is nowhere in the release: other people, the same pictures
        assert np.array_equal(pixels, other[name])
        outside = cv2.dilate(mask.astype(np.uint8), kernel) == 0
        assert outside.sum() > 5000
        assert np.array_equal(pixels[outside], before[name][outside])
        same = (pixels == before[name]).all(axis=-1)
        assert same[mask].mean() < 0.001
        assert (pixels[40:60, 135:150] == 127).all()
        painted = pixels[np.isin(instances(number), PEOPLE)]
        assert (painted != 127).any(axis=-1).mean() > 0.9
    for part in ("instances_txt/0001.txt", "instances/0001/000002.png"):
        theirs, ours = (folder / "train" / part for folder in (sources[0], tmp_path / "a-out/data"))
        if part.endswith(".txt"):
            assert ours.read_text() == theirs.read_text()
        else:
            assert np.array_equal(np.array(Image.open(ours)), np.array(Image.open(theirs)))
    private = dsanon("lookup", tmp_path / "a-out", "--key", tmp_path / "key", "--json").json()
    became = {(row["source_subject"], tuple(row["control_ids"])) for row in private if row["control_ids"]}
    assert len(became) == len({ids for _, ids in became}) == 2  # one fake identity each, in every frame
    assert "A body is painted where the silhouette" in (tmp_path / "a-out" / "CARD.md").read_text()


def test_without_a_generator_of_bodies_they_are_covered_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painters, "is_here", lambda model: model != "ciagan-body")
    source = mots(tmp_path / "source")
    done = run(source, tmp_path / "out")
    assert done.code == 0
    assert "every body was covered with grey: train them with `dsanon train ciagan-body" in done.error
    assert {(row["status"], row["reason"]) for row in rows(tmp_path / "out")} == {
        ("fallback", "no body generator is here")
    }
    for number, pixels in enumerate(images(tmp_path / "out/data").values(), start=1):
        assert (pixels[instances(number) > 0] == 127).all()
    assert "every body is covered with a flat grey" in (tmp_path / "out" / "CARD.md").read_text()


def test_a_generator_of_faces_does_not_paint_bodies(tmp_path: Path) -> None:
    generator(tmp_path, "ciagan")
    done = run(mots(tmp_path / "source"), tmp_path / "out")
    assert done.code == 2
    assert "holds a generator of the kind ciagan, expected ciagan-body" in done.error
    assert not (tmp_path / "out").exists()


def coco(root: Path, picture: np.ndarray) -> Path:
    """One photo: somebody with a polygon, and somebody of whom only a box is known."""
    height, width = picture.shape[:2]
    (root / "val2017").mkdir(parents=True)
    Image.fromarray(picture).save(root / "val2017" / "000000000001.png")
    outline = [120, height - 1, 140, 220, 180, 190, 170, 60, 225, 10, 280, 60, 275, 190, 330, 220, 350, height - 1]
    people = [
        {"id": 1, "bbox": [120, 10, 230, height - 11], "segmentation": [outline]},
        {"id": 2, "bbox": [400, 100, 60, 200]},
    ]
    content = {
        "images": [{"id": 1, "file_name": "000000000001.png", "width": width, "height": height}],
        "annotations": [{**p, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1.0} for p in people],
        "categories": [{"id": 1, "name": "person"}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return root


def test_both_paints_the_body_and_then_the_face_with_identities_of_their_own(
    tmp_path: Path, portrait: np.ndarray
) -> None:
    digest = generator(tmp_path)
    source, release = coco(tmp_path / "source", portrait), tmp_path / "out"
    done = anonymize(source, release, "--regions", "both", "--detectors", "hog", dataset="coco")
    assert done.code == 0, done.error
    found = {(row["kind"], row["status"]): row for row in rows(release)}
    assert found["body", "anonymized"]["model"] == digest[:16]
    assert found["face", "anonymized"]["model"] == store.sha256(store.path("ciagan-face"))[:16]
    assert found["body", "fallback"]["reason"] == "no silhouette of one person is known here"
    private = {(row["region"]): row for row in dsanon("lookup", release, "--json").json()}
    ids = {kind: private[found[kind, "anonymized"]["region"]]["control_ids"] for kind in ("body", "face")}
    assert all(ids.values())
    assert max(ids["body"]) < 6
    picture = release / "data" / found["face", "anonymized"]["file"]
    assert likeness(portrait, picture) < 0.9
    after = np.asarray(Image.open(picture))
    assert not (after[250:310, 180:300] == portrait[250:310, 180:300]).all(axis=-1).mean() > 0.02
    assert (after[150:250, 410:450] == 127).all()
    assert np.array_equal(after[:80, :100], portrait[:80, :100])


def test_detectors_that_miss_every_third_frame_uncover_neither_bodies_nor_faces(
    tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bystander whom no annotation knows walks through a sequence of annotated people."""
    source, frames = tmp_path / "source", 9
    lines = []
    body = np.zeros(portrait.shape[:2], bool)
    body[120:300, 20:90] = True
    rle = from_mask(body)
    assert rle is not None
    for number in range(1, frames + 1):
        for folder, array in (
            ("images", np.roll(portrait, 4 * number, axis=1)),
            ("instances", np.where(body, np.uint16(PEOPLE[0]), np.uint16(0))),
        ):
            (source / "train" / folder / "0001").mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(source / "train" / folder / "0001" / f"{number:06d}.png")
        lines.append(f"{number} {PEOPLE[0]} 2 {body.shape[0]} {body.shape[1]} {rle.counts.decode()}\n")
    (source / "train" / "instances_txt").mkdir()
    (source / "train" / "instances_txt" / "0001.txt").write_text("".join(lines))
    open_finder, seen = worker._open_finder, []

    def forgetful(*asked: Any) -> Any:
        finder = open_finder(*asked)
        (hog,) = finder.detectors

        def detect(pixels: np.ndarray) -> Any:
            seen.append(len(seen))
            return [] if seen[-1] % 3 == 2 else hog(pixels)

        finder.detectors = [detect]
        return finder

    monkeypatch.setattr(worker, "_open_finder", forgetful)
    for regions in ("body", "both"):
        seen.clear()
        done = run(source, tmp_path / regions, "--regions", regions, "--method", "mask")
        assert (done.code, len(seen)) == (0, frames)
        for number, pixels in enumerate(images(tmp_path / regions / "data").values(), start=1):
            assert (pixels[body] == 127).all()
            face = np.roll(pixels, -4 * number, axis=1)[95:135, 185:265]
            assert (face == 127).all(axis=-1).mean() > 0.9, (regions, number)
        faces = [r for r in rows(tmp_path / regions) if r["kind"] == "face" and r["status"] == "anonymized"]
        assert len(faces) == frames
        assert len({row["subject"] for row in faces}) == 1
        assert sum("filled" in row["reason"] or "extended" in row["reason"] for row in faces) == 3


def test_bodies_of_which_nothing_tells_are_refused(tmp_path: Path) -> None:
    """A sequence of a test set lies beside those that are annotated, or a json has captions alone."""
    source = mots(tmp_path / "mots")
    shutil.copytree(source / "train/images/0001", source / "train/images/0002")
    captions = coco(tmp_path / "coco", np.zeros((H, W, 3), np.uint8))
    (file,) = (captions / "annotations").iterdir()
    told = json.loads(file.read_text())
    said = [{"image_id": picture["id"], "id": 1, "caption": "somebody"} for picture in told["images"]]
    file.write_text(json.dumps({"images": told["images"], "annotations": said}))
    for dataset, folder, first in (("mots", source, "train/images/0002/000001.png"), ("coco", captions, "")):
        done = dsanon(
            "anonymize", "--dataset", dataset, folder, tmp_path / "out", "--regions", "both", "--method", "mask",
            "--detectors", "hog", "--workers", 0,
        )  # fmt: skip
        assert done.code == 2
        assert f"(the first one '{first}" in done.error
        assert "have no annotations of bodies" in done.error
        assert not (tmp_path / "out").exists()


def test_a_frame_of_which_nothing_tells_is_withheld(tmp_path: Path) -> None:
    """A sequence that is annotated in part, by run lengths alone: nobody says whether the rest of it is empty."""
    source = mots(tmp_path / "mots")
    shutil.rmtree(source / "train/instances")
    path = source / "train/instances_txt/0001.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("2 ")))
    done = run(source, tmp_path / "out", "--method", "mask")
    assert done.code == 3
    assert list(images(tmp_path / "out/data")) == ["000001.png", "000003.png"]
    (row,) = [row for row in rows(tmp_path / "out") if row["status"] == "quarantined"]
    assert "nothing tells who is in it" in row["reason"]
    assert run(source, tmp_path / "faces", "--regions", "face", "--method", "mask").code == 0


def test_a_sequence_of_public_detections_alone_is_hidden_by_them(tmp_path: Path) -> None:
    """The detector misses the middle frame; its confidence is as low as any."""
    folder = tmp_path / "mot" / "S"
    (folder / "img1").mkdir(parents=True)
    (folder / "det").mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    for number in (1, 2, 3):
        Image.fromarray(picture).save(folder / "img1" / f"{number:06d}.png")
    (folder / "det" / "det.txt").write_text("1,-1,41,21,30,80,-3\n3,-1,41,21,30,80,-3\n")
    done = dsanon(
        "anonymize", "--dataset", "mot", folder.parent, tmp_path / "out", "--regions", "body", "--method", "mask",
        "--detectors", "hog", "--workers", 0,
    )  # fmt: skip
    assert done.code == 0, done.error
    for number in (1, 2, 3):
        with Image.open(tmp_path / "out/data/S/img1" / f"{number:06d}.png") as image:
            assert np.asarray(image)[20:100, 40:70].std() == 0
    bodies = [row for row in rows(tmp_path / "out") if row["kind"] == "body"]
    assert (len(bodies), len({row["subject"] for row in bodies})) == (3, 1)
    card = (tmp_path / "out" / "CARD.md").read_text()
    assert "or its public detections tell of" in card
    assert "2 people are known from det.txt alone" in card
