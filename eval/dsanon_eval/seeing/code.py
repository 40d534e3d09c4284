"""Which code made a remembered figure: another crop, detector, rendering or library makes another figure."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

FINDING = (  # where faces are and how they are aligned
    "dsanon.align",
    "dsanon.boxes",
    "dsanon.footprint",
    "dsanon.heads",
    "dsanon.images",
    "dsanon.landmarks",
    "dsanon.models",
    "dsanon.regions",
    "dsanon.shapes",
    "dsanon.detectors",
)
RENDERING = (  # what controls are made by
    "dsanon.align",
    "dsanon.footprint",
    "dsanon.images",
    "dsanon.landmarks",
    "dsanon.methods.classical",
    "dsanon.render",
)
PAINTING = (*RENDERING, "dsanon.methods.ciagan", "dsanon.models", "dsanon.naming", "dsanon.plan", "dsanon.shape_model")
LOOKING = (
    "dsanon.boxes",
    "dsanon.detectors",
    "dsanon.shapes",
    "dsanon.sources.clip",
    "dsanon.sources.mp4",
    "dsanon_eval.seeing.clips",
    "dsanon_eval.seeing.faces",
    "dsanon_eval.seeing.observation",
    "dsanon_eval.seeing.pictures",
    "dsanon_eval.networks",
    "dsanon.models",
    "dsanon_training.backbones",
    "dsanon_training.embedder",
    "dsanon_eval.utility.detection",
    "dsanon_eval.utility.frechet",
)
LIBRARIES = ("av", "dlib-bin", "numpy", "onnxruntime", "opencv-python", "openvino", "pillow", "torch")


@cache
def digest(*modules: str) -> str:
    """Of the sources of modules, and of all that is in the packages among them, and of the versions of ``LIBRARIES``.

    Raises ValueError where a module is not there.
    """
    found = hashlib.sha256(" ".join(version(name) for name in LIBRARIES).encode())
    for name in modules:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"no module {name}")
        origin = Path(spec.origin)
        for path in sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]:
            found.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
