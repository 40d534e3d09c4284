"""Recognisers see who is who on real faces, which they do only with the crops that they were trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dsanon_eval.networks.recognisers import label, open_recogniser
from dsanon_eval.seeing.observation import usable

from dsanon.detectors.hog import Hog
from dsanon.errors import UsageError, WeightsError
from dsanon.images import decode
from dsanon.landmarks import Landmarker
from dsanon.models import store
from dsanon.sources.lfw import Pair, parse_pairs

FILES = {"mobilefacenet": "MobileFaceNet.onnx", "faceres": "faceres.onnx"}
PAIRS = 8  # of each kind


@pytest.fixture(scope="module")
def faces(shared: Path) -> list[tuple[Pair, list[tuple[np.ndarray, np.ndarray]]]]:
    """The first pairs of LFW: both photos and their landmarks."""
    detector, landmarker = Hog(upsample=1), Landmarker(store.path("landmarks68"))
    root, fold = shared / "data" / "lfw", parse_pairs(shared / "data" / "lfw" / "pairs.txt")[0]
    out = []
    for pair in [p for p in fold if p.same][:PAIRS] + [p for p in fold if not p.same][:PAIRS]:
        both = []
        for name, number in ((pair.first, pair.i), (pair.second, pair.j)):
            pixels, _ = decode((root / "lfw-deepfunneled" / name / f"{name}_{number:04d}.jpg").read_bytes())
            found = detector(pixels)
            both += [(pixels, landmarker(pixels, found[0].box))] if found else []
        if len(both) == 2:
            out.append((pair, both))
    return out


@pytest.mark.shared
@pytest.mark.parametrize("name", ["dlib_resnet", *FILES])
def test_two_photos_of_one_person_are_nearer_than_of_two(
    name: str, faces: list, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path))
    if name in FILES:
        store.add(name, shared / "models" / FILES[name])
    recogniser = open_recogniser(name)
    apart: dict[bool, list[float]] = {True: [], False: []}
    for pair, both in faces:
        one, other = recogniser.embed([recogniser.chip(pixels, points) for pixels, points in both])
        apart[pair.same].append(float(np.linalg.norm(one - other)))
        if name != "dlib_resnet":
            assert np.linalg.norm(one) == pytest.approx(1, abs=1e-4)
    right = np.mean([[a < b for b in apart[False]] for a in apart[True]])
    assert right > 0.95, apart


def test_nobody_to_embed() -> None:
    recogniser = open_recogniser("dlib_resnet")
    assert recogniser.embed([]).shape == (0, 128)


def test_missing_weights_are_a_note_and_not_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path))
    here, notes = usable(("hog", "dlib_resnet", "faceres"))
    assert here == ["hog", "dlib_resnet"]
    assert notes[0].startswith("faceres did not measure: ")
    with pytest.raises(WeightsError):
        open_recogniser("faceres")
    with pytest.raises(UsageError, match="choose from"):
        open_recogniser("facenet")


def test_who_guided_training_says_so() -> None:
    assert label("mobilefacenet") == "mobilefacenet (guided training)"
    assert label("faceres") == "faceres"
