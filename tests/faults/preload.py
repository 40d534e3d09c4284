"""What the runs of a session share: imported by the server that they are forked from, so that it is loaded once."""

from __future__ import annotations

import dlib
from loaded import load_once

from dsanon.models import store

load_once()
dlib.get_frontal_face_detector()
dlib.shape_predictor(str(store.path("landmarks68")))
