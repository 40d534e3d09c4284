"""Is a file the model that its user says it is? Asked before a file is registered, never after.

Only formats that cannot run code when they are loaded are taken, and each is loaded and tried once.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dsanon.errors import WeightsError
from dsanon.models import MODELS, networks, open_session
from dsanon.models.onnx_file import any_size

Shape = tuple[int, ...]

PICKLES = (".pth", ".pt", ".pkl", ".pickle", ".bin", ".ckpt", ".tar", ".npy", ".npz")

# name → height, width and length of the vector
EMBEDDINGS = {"mobilefacenet": (112, 112, 128), "faceres": (224, 224, 1024), "osnet": (256, 128, 512)}

# name → shapes of tensors by which its state dict is told from others; those in ``networks`` are compared as a whole
STATE_DICTS: dict[str, tuple[Shape, ...]] = {"mobilenet_v2": ((32, 3, 3, 3), (1280, 320, 1, 1))}

_H, _W = 64, 96  # the input that detectors are tried on


def check(name: str, suffix: str, data: bytes) -> None:
    """Raise WeightsError unless ``data``, of a file that ends in ``suffix``, is what ``name`` has to be.

    A name that is not in ``MODELS`` is that of a generator.
    """
    formats = MODELS[name].formats if name in MODELS else (".safetensors",)
    if not formats:
        raise WeightsError(f"{name} has no file of its own (it is {MODELS[name].origin}): there is nothing to add")
    if suffix in PICKLES or _pickled(data):
        raise WeightsError(
            f"{name}: a pickle or archive ({suffix or 'no ending'}) can run code when it is loaded and is refused: "
            f"save the weights as {' or '.join(formats)}"
        )
    if suffix not in formats:
        raise WeightsError(f"{name}: found a file that ends in {suffix!r}, expected {' or '.join(formats)}: convert it")
    {".onnx": _check_onnx, ".safetensors": _check_tensors, ".dat": _check_dlib}[suffix](name, data)


def header(data: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file: tensors by name, ``__metadata__`` among them. Raises ValueError."""
    from safetensors import SafetensorError, deserialize

    try:
        deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    found = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(found)


def _pickled(data: bytes) -> bool:
    # a safetensors file may begin with 0x80 too (its header's length), but has the header's brace at 8
    return data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and data[1:2] <= b"\x05" and data[8:9] != b"{")


def _check_onnx(name: str, data: bytes) -> None:
    expected: dict[str, Shape]  # by output; "" stands for the only one
    if name in EMBEDDINGS:
        h, w, length = EMBEDDINGS[name]
        shape, expected = (2, 3, h, w), {"": (2, length)}
    else:
        shape, expected = (1, 3, _H, _W), DETECTOR_OUTPUTS[name]()
    try:
        session = open_session(any_size(data) if name in ("yunet", "centerface") else data)
    except Exception as error:  # onnxruntime has no exception tree
        raise WeightsError(f"{name}: not an ONNX model that onnxruntime can load ({_line(error)})") from error
    inputs, names = session.get_inputs(), [output.name for output in session.get_outputs()]
    if len(inputs) != 1 or (len(names) != 1 if "" in expected else not set(expected) <= set(names)):
        wanted = ", ".join(expected) or "one vector"
        raise WeightsError(
            f"{name}: found {len(inputs)} inputs and the outputs {', '.join(names)}, expected one image and {wanted}: "
            "this is another model"
        )
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    try:
        results = dict(zip(names, session.run(names, {inputs[0].name: image}), strict=True))
    except Exception as error:
        raise WeightsError(f"{name}: cannot take a batch of {'×'.join(map(str, shape))} ({_line(error)})") from error
    for output, wanted_shape in expected.items():
        value = results[output or names[0]]
        if value.shape != wanted_shape or not np.isfinite(value).all():
            what = "×".join(map(str, value.shape)) if value.shape != wanted_shape else "values that are not finite"
            raise WeightsError(
                f"{name}: output {output or names[0]} is {what}, expected {'×'.join(map(str, wanted_shape))}: "
                "this is another model"
            )
    if name == "retinaface" and not np.allclose(results["conf"].sum(axis=-1), 1, atol=1e-3):
        raise WeightsError("retinaface: output conf is not softmaxed: export the model in its test phase")


def _yunet() -> dict[str, Shape]:
    heads = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    return {f"{head}_{s}": (1, _H // s * (_W // s), width) for s in (8, 16, 32) for head, width in heads.items()}


def _retinaface() -> dict[str, Shape]:
    anchors = sum(2 * (_H // s) * (_W // s) for s in (8, 16, 32))
    return {head: (1, anchors, width) for head, width in {"loc": 4, "conf": 2, "landmarks": 10}.items()}


def _centerface() -> dict[str, Shape]:
    return {head: (1, width, _H // 4, _W // 4) for head, width in {"537": 1, "538": 2, "539": 2, "540": 10}.items()}


DETECTOR_OUTPUTS: dict[str, Callable[[], dict[str, Shape]]] = {
    "yunet": _yunet,
    "retinaface": _retinaface,
    "centerface": _centerface,
}


def _check_tensors(name: str, data: bytes) -> None:
    try:
        found = header(data)
    except ValueError as error:
        raise WeightsError(f"{name}: not a safetensors file ({_line(error)})") from error
    metadata = found.pop("__metadata__", None) or {}
    shapes = {key: tuple(tensor["shape"]) for key, tensor in found.items()}
    if name in networks.NETWORKS:
        networks.refuse_others(name, shapes)
    elif name in MODELS and MODELS[name].kind == "recogniser":
        _check_trained(name, metadata)
    elif name not in STATE_DICTS and not metadata:
        raise WeightsError(f"{name}: a generator says what it is in its metadata, and this file has none")
    for wanted in STATE_DICTS.get(name, ()):
        if wanted not in shapes.values():
            raise WeightsError(f"{name}: no tensor of {'×'.join(map(str, wanted))} in it: this is another model")


def _check_trained(name: str, metadata: dict[str, str]) -> None:
    """A recogniser of ``dsanon train``, which says whom it learned from: whom it knows it must not measure."""
    try:
        said = json.loads(metadata["dsanon"])
        right = said["kind"] == "recogniser" and said["config"]["architecture"] == name and bool(said["identities"])
    except (KeyError, TypeError, ValueError):
        right = False
    if not right:
        raise WeightsError(f"{name}: its metadata does not say whom it learned from: expected a file of `dsanon train`")


def _check_dlib(name: str, data: bytes) -> None:
    import dlib

    image = np.zeros((150, 150, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.dat")
        file.write_bytes(data)
        try:
            if name == "landmarks68":
                found = dlib.shape_predictor(str(file))(image, dlib.rectangle(20, 20, 129, 129)).num_parts
                expected = 68
            elif name == "dlib_resnet":
                found = len(dlib.face_recognition_model_v1(str(file)).compute_face_descriptor(image))
                expected = 128
            else:
                found = len(dlib.cnn_face_detection_model_v1(str(file))(image, 0))
                expected = 0  # faces in black
        except (RuntimeError, MemoryError) as error:  # MemoryError: a length in it that no file has
            raise WeightsError(f"{name}: not the dlib model it should be ({_line(error)})") from error
    if found != expected:
        raise WeightsError(f"{name}: found {found} values, expected {expected}: this is another model")


def _line(error: Exception) -> str:
    """The first line of a foreign error, of readable length."""
    return " ".join(str(error).split())[:160]
