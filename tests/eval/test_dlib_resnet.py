"""dlib's network in torch gives dlib's own vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dsanon_eval.networks.dlib_resnet import DlibNetwork

from dsanon.errors import WeightsError
from dsanon.models import store


def test_it_gives_dlib_s_own_vectors() -> None:
    import dlib
    from skimage import data

    chips = [np.ascontiguousarray(np.asarray(data.astronaut())[y : y + 150, 150:300]) for y in (0, 40)]
    model = dlib.face_recognition_model_v1(str(store.path("dlib_resnet")))
    theirs = np.array([np.array(model.compute_face_descriptor(chip)) for chip in chips])
    assert np.linalg.norm(theirs[0] - theirs[1]) > 0.3
    np.testing.assert_allclose(DlibNetwork(store.path("dlib_resnet"))(chips), theirs, atol=1e-5)


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    whole = store.path("dlib_resnet").read_bytes()
    for name, data in (
        ("short.dat", whole[:-200_000]),
        ("none.dat", b"nothing"),
        ("cut.dat", whole[:336] + b"\1\5con_4"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match="is not dlib_face_recognition_resnet_model_v1"):
            DlibNetwork(tmp_path / name)
    with pytest.raises(WeightsError, match="is not dlib_face_recognition_resnet_model_v1"):
        DlibNetwork(store.path("mmod"))
