"""FID's features, from a user's file: only figures made with these bear the name ``fid``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.errors import WeightsError
from dsanon.models import networks, store
from dsanon.sample import Pixels

NAME = "inception_fid"


def registered() -> bool:
    """Whether a user's weights are here, unaltered."""
    try:
        store.path(NAME)
    except WeightsError:
        return False
    return True


class InceptionFeatures:
    """The last average pool of TensorFlow's Inception-v3 of 2015-12-05: 2,048-d."""

    length = 2048

    def __init__(self) -> None:
        self._network: Any = networks.load(NAME)

    def __call__(self, pictures: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """(n, 2048) of RGB pictures of any size; each is looked at alone, so nothing depends on the others."""
        import torch

        with torch.inference_mode():
            planes = (torch.tensor(np.ascontiguousarray(p.transpose(2, 0, 1))[None]) for p in pictures)
            rows = [self._network(p.float() / 255) for p in planes]
        return np.asarray(torch.cat(rows).numpy(), dtype=np.float32)
