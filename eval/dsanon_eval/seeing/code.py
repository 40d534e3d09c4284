"""Which code made a remembered figure: another crop, detector or rendering makes another figure."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FINDING = (  # where faces are and how they are aligned
    "dsanon.align",
    "dsanon.heads",
    "dsanon.images",
    "dsanon.landmarks",
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
PAINTING = (*RENDERING, "dsanon.methods.ciagan", "dsanon.models", "dsanon.shape_model")
LOOKING = (
    "dsanon.detectors",
    "dsanon_eval.seeing.clips",
    "dsanon_eval.seeing.faces",
    "dsanon_eval.seeing.observation",
    "dsanon_eval.seeing.pictures",
    "dsanon_eval.networks",
    "dsanon.models",
    "dsanon_training.embedder",
    "dsanon_eval.utility.frechet",
)


@cache
def digest(*modules: str) -> str:
    """Of the sources of modules, and of all that is in the packages among them. Raises ValueError where one is not."""
    found = hashlib.sha256()
    for name in modules:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"no module {name}")
        origin = Path(spec.origin)
        for path in sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]:
            found.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
