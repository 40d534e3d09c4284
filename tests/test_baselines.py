"""The trained baselines through the whole job: painted as ``ciagan`` is, without an identity to control."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from network_weights import cyclegan
from PIL import Image

from dsanon.models import store
from runs import anonymize, dsanon, likeness


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    from skimage import data

    (tmp_path / "source").mkdir()
    Image.fromarray(np.asarray(data.astronaut())[:320]).save(tmp_path / "source" / "a.png")
    return tmp_path / "source"


def test_without_weights_it_says_how_to_get_them(source: Path, tmp_path: Path) -> None:
    done = anonymize(source, tmp_path / "out", "--method", "cyclegan")
    assert done.code == 2
    assert "no weights here: train them with `dsanon train cyclegan" in done.error
    assert not (tmp_path / "out").exists()
    usable = {row["name"]: row["usable"] for row in dsanon("methods", "--json").json()}
    assert usable["ciagan"]
    assert not usable["pix2pix"]


def test_with_weights_the_face_is_painted_and_has_no_control_vector(source: Path, tmp_path: Path) -> None:
    file = cyclegan(tmp_path)
    store.add("cyclegan", file)
    assert anonymize(source, tmp_path / "out", "--method", "cyclegan").code == 0
    [row] = pq.read_table(tmp_path / "out" / "manifest.parquet").to_pylist()
    assert (row["status"], row["method"], row["model"]) == ("anonymized", "cyclegan", store.sha256(file)[:16])
    [private] = dsanon("lookup", tmp_path / "out", "--json").json()
    assert private["control_ids"] == private["control_weights"] == []
    before = np.asarray(Image.open(source / "a.png"))
    after = np.asarray(Image.open(tmp_path / "out" / "data" / row["file"]))
    assert likeness(before, tmp_path / "out" / "data" / row["file"]) < 0.6
    assert np.array_equal(before[:60, :60], after[:60, :60])
    assert not (before[95:135, 185:265] == after[95:135, 185:265]).all(axis=-1).mean() > 0.05
    assert "pix2pix" not in (tmp_path / "out" / "CARD.md").read_text()
    assert "no control over the identity" in (tmp_path / "out" / "CARD.md").read_text()
