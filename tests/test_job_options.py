"""Options that decide who becomes whom and who is released, through the whole job."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from dsanon_eval.seeing.case import open_case
from PIL import Image

from dsanon import assignment
from dsanon.models import store
from dsanon.models.weights import read_card
from dsanon.review import manifest_digest
from runs import Done, anonymize, assert_nothing_of, digest, dsanon, files

IMAGES = "img_align_celeba_png"
BYSTANDER = np.s_[150:210, 2:62]


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Person 7 in 000001 and 000003, 8 with a bystander in 000002, 9 in 000004, whose face nobody can see."""
    root = tmp_path_factory.mktemp("celeba")
    (root / IMAGES).mkdir()
    scale = 44 / 37  # the portrait's eyes are 44 pixels apart, CelebA's 37
    placed = (scale, 0, 225 - 89 * scale, 0, scale, 103 - 112 * scale)
    face = np.asarray(Image.fromarray(portrait).transform((178, 218), Image.Transform.AFFINE, placed, fillcolor="tan"))
    crowded = face.copy()
    crowded[BYSTANDER] = np.asarray(Image.fromarray(portrait[40:190, 150:300]).resize((60, 60)))[:, ::-1]
    for number, pixels in enumerate((face, crowded, face // 2 + 60, np.full_like(face, 90)), 1):
        Image.fromarray(pixels).save(root / IMAGES / f"00000{number}.png")
    (root / "identity_CelebA.txt").write_text("000001.jpg 7\n000002.jpg 8\n000003.jpg 7\n000004.jpg 9\n")
    points = "70 112 107 112 89 134 72 152 106 152"
    rows = "".join(f"00000{number}.jpg {points}\n" for number in range(1, 5))
    columns = (
        "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
    )
    (root / "list_landmarks_align_celeba.txt").write_text(f"4\n{columns}\n{rows}")
    return root


def run(celeba: Path, release: Path, *options: object) -> Done:
    return anonymize(celeba, release, *options, dataset="celeba")


def rows(release: Path, number: int) -> list[dict[str, Any]]:
    """The manifest's rows of an image."""
    return [r for r in pq.read_table(release / "manifest.parquet").to_pylist() if r["file"].endswith(f"{number}.png")]


def fakes(release: Path) -> dict[str, Any]:
    """Image of a labelled person → their pseudonym and control vector there."""
    found = dsanon("lookup", release, "--json").json()
    return {
        r["source_file"][-5]: (r["subject"], r["control_ids"], r["control_weights"])
        for r in found
        if r["source_subject"]
    }


def pixels(root: Path, number: int) -> np.ndarray:
    return np.asarray(Image.open(root / IMAGES / f"00000{number}.png")).astype(int)


@pytest.fixture(scope="module")
def plain(celeba: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with every option as it is by default."""
    release = tmp_path_factory.mktemp("plain") / "release"
    assert run(celeba, release).code == 0
    return release


def test_one_person_is_one_fake_person_and_a_missed_face_is_masked(
    celeba: Path, plain: Path, portrait: np.ndarray
) -> None:
    fake = fakes(plain)
    assert fake["1"] == fake["3"]
    assert len({subject for subject, *_ in fake.values()}) == 3
    assert [(r["status"], r["method"]) for r in rows(plain, 4)] == [("fallback", "mask")]
    assert [r["status"] for r in rows(plain, 2)] == ["anonymized", "anonymized"]
    assert_nothing_of(portrait, files(celeba / IMAGES), plain)
    assert [line.split()[0] for line in (plain / "data" / "identity_CelebA.txt").read_text().splitlines()] == [
        f"00000{number}.jpg" for number in range(1, 5)
    ]


def test_the_release_says_whose_shape_was_drawn_and_from_which_file(plain: Path) -> None:
    said = json.loads((plain / "release.json").read_text())
    assert said["configuration"]["shape"] == "replaced"
    assert said["weights"]["face-shape"] == store.sha256(store.path("face-shape"))
    assert "only pose and expression are the source's" in (plain / "CARD.md").read_text()


def test_no_face_is_painted_without_the_shapes(celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in store.SHIPPED.glob("ciagan-face.*"):
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.setattr(store, "SHIPPED", tmp_path)
    done = run(celeba, tmp_path / "release")
    assert done.code == 2
    assert "face-shape" in done.error
    assert not (tmp_path / "release.partial").exists()


def test_who_consented_keeps_every_pixel_and_the_bystander_none(celeba: Path, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("# signed\n8\n")
    release = tmp_path / "release"
    assert run(celeba, release, "--keep", tmp_path / "keep.txt").code == 0
    assert sorted((r["status"], r["method"]) for r in rows(release, 2)) == [("anonymized", "ciagan"), ("kept", "")]
    before, after = pixels(celeba, 2), pixels(release / "data", 2)
    (kept,) = [r for r in rows(release, 2) if r["status"] == "kept"]
    x0, y0, x1, y1 = (round(v) for v in kept["box"])
    changed = (before != after).any(axis=2)
    assert not changed[y0:y1, x0 + 15 : x1].any()  # but for the bystander's border, all of the face
    assert changed[170:200, 20:45].mean() > 0.9
    assert np.abs(before - pixels(plain / "data", 2))[y0 + 30 : y1 - 30, x0 + 20 : x1 - 20].mean() > 5
    assert [r["status"] for r in rows(release, 1)] == ["anonymized"]


def test_on_miss(celeba: Path, tmp_path: Path) -> None:
    quarantined = tmp_path / "quarantined"
    done = run(celeba, quarantined, "--on-miss", "quarantine", "--method", "mask", "--json")
    assert done.code == 3
    assert (done.json()["state"], done.json()["counts"]["quarantined"]) == ("incomplete", 1)
    assert not (quarantined / "data" / IMAGES / "000004.png").exists()
    assert "000004" not in (quarantined / "data" / "identity_CelebA.txt").read_text()
    (row,) = rows(quarantined, 4)
    assert row["reason"] == "a person's face cannot be aligned (--on-miss quarantine)"
    pixelated = tmp_path / "pixelated"
    assert run(celeba, pixelated, "--on-miss", "pixelate", "--method", "mask").code == 0
    assert [(r["status"], r["method"]) for r in rows(pixelated, 4)] == [("fallback", "pixelate")]
    assert run(celeba, tmp_path / "neither", "--on-miss", "skip").code == 2
    (tmp_path / "keep.txt").write_text("9\n")
    consented, keep = tmp_path / "consented", ("--keep", tmp_path / "keep.txt")
    assert run(celeba, consented, "--on-miss", "quarantine", "--method", "mask", *keep).code == 0
    assert [row["status"] for row in rows(consented, 4)] == ["kept"]


def test_scope_and_seed_decide_who_becomes_whom(celeba: Path, plain: Path, tmp_path: Path) -> None:
    key = ("--key", plain.with_name("release.private") / "key")
    same, image, other = tmp_path / "same", tmp_path / "image", tmp_path / "other"
    assert run(celeba, same, *key).code == 0
    assert digest(same) == digest(plain)
    assert run(celeba, image, *key, "--scope", "image").code == 0
    apart = fakes(image)
    assert apart["1"][0] != apart["3"][0]
    assert apart["1"][1:] != apart["3"][1:]
    assert run(celeba, other, *key, "--seed", 1).code == 0
    assert fakes(other)["1"] == fakes(other)["3"] != fakes(plain)["1"]


def test_nobody_gets_the_identity_of_the_group_that_they_trained(
    celeba: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (theirs,), _ = fakes(plain)["1"]
    known = hashlib.sha256(b"celeba/7").hexdigest()[:16]
    card = replace(read_card(store.path("ciagan-face")), people=("0" * 16, known), groups=(0, theirs))
    monkeypatch.setattr(assignment, "read_card", lambda _: card)
    key = ("--key", plain.with_name("release.private") / "key")
    assert run(celeba, tmp_path / "release", *key).code == 0
    assert fakes(tmp_path / "release")["1"][1] != [theirs]
    assert fakes(tmp_path / "release")["2"] == fakes(plain)["2"]


def test_limit_takes_the_first_in_source_order(celeba: Path, tmp_path: Path) -> None:
    done = run(celeba, tmp_path / "release", "--limit", 2, "--method", "blur", "--json")
    assert (done.code, done.json()["counts"]["samples"]) == (0, 2)
    assert [p.name for p in files(tmp_path / "release" / "data" / IMAGES)] == ["000001.png", "000002.png"]
    assert len((tmp_path / "release" / "data" / "identity_CelebA.txt").read_text().splitlines()) == 2


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "dsanon", "anonymise"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dsanon: No such command 'anonymise'")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--device", "cudafoo"), "choose auto, cpu, cuda or cuda:N"),
        (("--device", "cuda:99"), "GPU"),
        (("--device", "cuda:0", "--workers", "2"), "is for --workers 0"),
        (("--detectors", "hog,ssh"), "ssh is not here"),
        (("--cameras", "cameras"), "--cameras is for --scope camera"),
        (("--scope", "camera", "--cameras", "cameras"), "the sequence 'gate', which the source has not"),
        (("--key", "no-key"), "is no key"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_made(
    celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path))
    Path("cameras").write_text("gate north\n")
    Path("no-key").write_text("secret\n")
    Path("no-key").chmod(0o600)
    done = run(celeba, Path("release"), *options)
    assert done.code == 2
    assert says in done.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cameras", "no-key"]


def test_a_label_of_keep_that_is_nobodys_is_told(celeba: Path, tmp_path: Path) -> None:
    (tmp_path / "keep").write_text("8\n88\n")
    done = run(celeba, tmp_path / "release", "--keep", tmp_path / "keep", "--limit", 1)
    assert done.code == 0
    assert "1 of 2 labels of --keep are nobody's here, '88' first" in done.error


def test_other_code_neither_resumes_nor_applies_a_review(
    celeba: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may find other regions, so that the number that a reviewer saw is somebody else's."""
    review = {"schema": 1, "manifest_sha256": manifest_digest(plain), "decisions": []}
    (tmp_path / "review.json").write_text(json.dumps(review))
    monkeypatch.setattr("dsanon.job._code", lambda: "other")
    done = run(celeba, plain, "--resume", "--review", tmp_path / "review.json")
    assert done.code == 2
    assert "or by other code" in done.error


def test_a_destroyed_key_elsewhere_leaves_a_release_that_can_be_audited(celeba: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    assert run(celeba, release, "--key", tmp_path / "key", "--method", "mask").code == 0
    assert "A painted face" not in (release / "CARD.md").read_text()
    assert dsanon("forget", release, "--key", tmp_path / "key").code == 0
    assert not (tmp_path / "key").exists()
    assert not open_case(release, celeba).mapped


def test_lists_tell_where_things_come_from_their_licence_and_whether_they_are_usable() -> None:
    for command in ("datasets", "methods", "recipes", "models"):
        for row in dsanon(command, "--json").json():
            assert row["name"]
            assert row["origin"]
            assert row["licence"]
            assert isinstance(row["usable"], bool)


def test_help_shows_every_default() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dsanon", "anonymize", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    for default in ("body for mots, else face", "RELEASE.private/key", "all cores", "sequence for mots, mot and video"):
        assert f"[default: {default}" in done.stdout
