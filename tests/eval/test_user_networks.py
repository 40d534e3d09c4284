"""FaceNet, FID's Inception and the auditor as instruments: what they are shown, and whom they may be asked for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dsanon_eval.attacks import disjoint
from dsanon_eval.networks.inception import InceptionFeatures
from dsanon_eval.networks.recognisers import open_recogniser
from dsanon_eval.reproduce import figures
from dsanon_eval.reproduce.bench import Bench
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.faces import mtcnn_chip
from dsanon_eval.seeing.observation import Instruments, Observation, Suite, usable
from dsanon_training.embedder import Embedder, EmbedderConfig
from faces import drawn_landmarks
from network_weights import neutral, write
from safetensors.torch import save_file

from dsanon.align import face_transform
from dsanon.errors import WeightsError
from dsanon.models import store
from dsanon.models.inception_resnet import InceptionResnetV1
from dsanon.models.inception_v3 import InceptionV3Fid
from dsanon.models.weights import read_card
from dsanon.sample import Region


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    return tmp_path


def passing_on(network: torch.nn.Module, units: tuple[str, ...]) -> None:
    """Each of the units hands on the middle of its channel 0."""
    for name in units:
        weight = network.get_submodule(name).conv.weight
        weight.data[0, 0, weight.shape[2] // 2, weight.shape[3] // 2] = 1


def test_facenet_sees_pixels_as_its_authors_standardise_them(models: Path) -> None:
    """Red goes through the stem, past the blocks and through both maxima to channel 896 + 640."""
    network = neutral(InceptionResnetV1())
    passing_on(network, tuple(f"conv2d_{n}" for n in ("1a", "2a", "2b", "3b", "4a", "4b")))
    network.last_linear.weight.data[0, 896 + 640] = 1
    network.last_bn.bias.data[1] = 0.5
    store.add("facenet_casia", write(models / "f.safetensors", network.state_dict()))
    recogniser = open_recogniser("facenet_casia")
    chip = np.full((160, 160, 3), 7, np.uint8)
    chip[..., 0] = 255
    (made,) = recogniser.embed([chip])
    red = (255 - 127.5) / 128
    assert np.allclose(made[:2], np.array([red, 0.5]) / np.hypot(red, 0.5), atol=1e-6)
    assert not made[2:].any()
    assert recogniser.embed([]).shape == (0, 512)
    assert usable(("facenet_casia", "facenet_vggface2"))[0] == ["facenet_casia"]


def test_facenets_crop_is_the_box_of_mtcnn_stretched() -> None:
    points = drawn_landmarks(200, 150, 100)
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    unit = np.sqrt((x1 - x0) * (y1 - y0))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2 - 0.182 * unit
    left, right = x - 0.484 * unit, x + 0.484 * unit
    top, bottom = y - 0.6465 * unit, y + 0.6465 * unit
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[round(top) : round(bottom), round(left) : round(right)] = 255
    chip = mtcnn_chip(photo, points)
    assert chip.shape == (160, 160, 3)
    assert chip[3:-3, 3:-3].min() == 255
    around = np.zeros_like(photo)
    around[round(top) - 4 : round(bottom) + 4, round(left) - 4 : round(right) + 4] = 255
    around[round(top) + 3 : round(bottom) - 3, round(left) + 3 : round(right) - 3] = 0
    assert mtcnn_chip(around, points)[:, [0, -1]].min() > 200
    assert mtcnn_chip(around, points)[[0, -1]].min() > 200


def test_fid_bears_its_name_only_with_its_own_weights(models: Path, portrait: np.ndarray) -> None:
    network = neutral(InceptionV3Fid())
    stem = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")
    passing_on(network, tuple(f"Conv2d_{n}" for n in stem))
    passing_on(network, tuple(f"Mixed_{n}.branch1x1" for n in ("5b", "5c", "5d", "6c", "6d", "6e", "7c")))
    for name, taken_along in (("6b", 384 + 96), ("7b", 320 + 192)):  # behind what the halving blocks make themselves
        network.get_submodule(f"Mixed_{name}.branch1x1").conv.weight.data[0, taken_along] = 1
    store.add("inception-fid", write(models / "i.safetensors", network.state_dict()))
    grey, black = InceptionFeatures()([np.full((50, 60, 3), 204, np.uint8), np.zeros((10, 10, 3), np.uint8)])
    assert grey[0] == pytest.approx(2 * 204 / 255 - 1, abs=1e-5)
    assert not grey[1:].any()
    assert grey.shape == (2048,)
    assert not black.any()  # below 0, where ReLU ends it

    region = Region("face", (0, 0, 100, 100), transform=tuple(np.float64([[1, 0, 0], [0, 1, 0]]).ravel()))
    looks = [(portrait, Suite(features=True))]
    (seen,) = Instruments().observe(looks, [region, Region("face", (0, 0, 9, 9))], [])
    assert seen.face_fid.shape == (2, 2048)
    assert np.isfinite(seen.face_fid[0]).all()
    assert np.isnan(seen.face_fid[1]).all()
    assert seen.image_fid.shape == (1, 2048)
    assert (seen.face_features.shape, seen.image_features.shape) == ((2, 320), (1, 320))


def auditor(file: Path, people: list[str]) -> Path:
    """An embedder that learned nothing, from ``people``."""
    config = EmbedderConfig(len(people), length=8)
    torch.manual_seed(0)
    hashed = [hashlib.sha256(person.encode()).hexdigest()[:16] for person in people]
    said = {"kind": "recogniser", "config": config.as_dict(), "identities": hashed, "steps": 0, "recipe": "pnca"}
    network = Embedder(config, store.path("mobilenet_v2"))
    save_file(network.state_dict(), file, {"dsanon": json.dumps(said)})
    return file


def test_the_auditor_is_registered_and_embeds(models: Path, portrait: np.ndarray) -> None:
    store.add("pnca", auditor(models / "a.safetensors", ["lfw/A"]))
    recogniser = open_recogniser("pnca")
    points = drawn_landmarks(230, 120, 100)
    chip = recogniser.chip(portrait, points)
    assert chip.shape == (128, 128, 3)
    made = recogniser.embed([chip, chip[:, ::-1], chip])
    assert made.shape == (3, 8)
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert np.allclose(made[0], made[2])
    assert not np.allclose(made[0], made[1])
    assert face_transform(points).shape == (2, 3)
    with pytest.raises(WeightsError, match="is no generator"):
        read_card(store.path("pnca"))


def test_it_is_not_asked_for_whom_it_knows(models: Path) -> None:
    store.add("pnca", auditor(models / "a.safetensors", ["lfw/Ann", "celeba/7430"]))
    assert "pnca" in disjoint.attackers({"Bob", "7450"}, [])[0]
    for known in ("Ann", "7430"):
        here, notes = disjoint.attackers({"Bob", known}, [])
        assert "pnca" not in here
        assert "pnca did not measure: it learned from 1 of the people measured" in notes
        assert "dlib_resnet" in here


def test_nor_where_it_knows_the_generators_people(models: Path) -> None:
    hashed = [hashlib.sha256(b"lfw/Ann").hexdigest()[:16]]
    said = {
        "kind": "generator",
        "config": {"identities": 1, "widths": [8]},
        "identities": hashed,
        "steps": 1,
        "recipe": "r",
    }
    save_file({"w": torch.zeros(1)}, models / "g.safetensors", {"dsanon": json.dumps(said)})
    store.add("pnca", auditor(models / "a.safetensors", ["lfw/Ann"]))
    here, notes = disjoint.attackers({"Bob"}, [models / "g.safetensors"])
    assert "pnca" not in here
    assert "pnca did not measure: it learned from 1 of the generator's people" in notes


@pytest.mark.parametrize(
    "said", [None, {"kind": "generator"}, {"kind": "recogniser", "config": {"architecture": "pnca"}}]
)
def test_an_auditor_that_does_not_say_whom_it_knows_is_refused(said: dict | None, models: Path) -> None:
    save_file({"w": torch.zeros(1)}, models / "a.safetensors", {"dsanon": json.dumps(said)} if said else None)
    with pytest.raises(WeightsError, match="does not say whom it learned from"):
        store.add("pnca", models / "a.safetensors")
    assert not (models / "models").exists()


def test_a_reproduction_asks_it_only_for_people_whom_it_does_not_know(models: Path) -> None:
    store.add("pnca", auditor(models / "a.safetensors", ["celeba/7430"]))
    for person, asked in (("celeba/7450", True), ("celeba/7430", False)):
        bench = Bench(Cache(None))
        assert "pnca" not in bench.recognisers
        bench.admit([SimpleNamespace(person=person)], [])
        assert ("pnca" in bench.recognisers) == asked
        assert bench.everything.recognisers == bench.recognition.recognisers == tuple(bench.recognisers)
        assert any("pnca did not measure" in note for note in bench.notes) != asked
        assert len(bench.notes) == len(set(bench.notes))


def test_a_reproductions_fid_is_of_inceptions_features() -> None:
    rng, none = np.random.default_rng(0), np.zeros((0, 0), np.float32)
    region = Region("face", (0, 0, 9, 9), landmarks=(0.0,) * 136, transform=(1.0,) * 6)
    faces = [SimpleNamespace(person=f"celeba/{i // 2}", region=region) for i in range(40)]

    def seen(fid: bool) -> list[Observation]:
        rows = rng.normal(size=(40, 1, 12)).astype(np.float32)
        return [
            Observation({}, {"dlib_resnet": r[:, :3]}, none, r[:, :4], none, face_fid=r[:, 4:] if fid else none)
            for r in rows
        ]

    for fid in (True, False):
        names = {m.name: m.model for m in figures.looks(faces, {"original": seen(fid), "blur9": seen(fid)})}
        assert names["fd_mobilenetv2_face"] == "mobilenet_v2 (guided training)"
        assert names["fd_dlib_resnet_face"] == "dlib_resnet"
        assert names.get("fid_face") == ("inception_fid" if fid else None)
