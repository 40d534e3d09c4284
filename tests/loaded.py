"""dlib's models, loaded once a process: whole runs in one process, or forked from one, take a second each less."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import dlib


def load_once() -> None:
    """From now on, a model that is installed is the same object wherever it is opened; users' files are read anew."""
    for name in ("get_frontal_face_detector", "shape_predictor", "face_recognition_model_v1"):
        setattr(dlib, name, _once(getattr(dlib, name)))


def _once(load: Callable[..., Any]) -> Callable[..., Any]:
    first = cache(load)

    def opened(*paths: str) -> Any:
        installed = all(Path(sys.prefix) in Path(path).parents for path in paths)
        return first(*paths) if installed else load(*paths)

    return opened
