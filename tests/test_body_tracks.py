from __future__ import annotations

import numpy as np

from dsanon.align import apply
from dsanon.bodies import FEATHER, FULL, SIZE, body_transform
from dsanon.body_tracks import steadied
from dsanon.filling import View
from dsanon.sample import Region
from dsanon.sources.silhouettes import box_of, from_mask


def walking(number: int) -> Region:
    """Somebody who walks to the right and whose arms swing, by the width of the silhouette."""
    mask = np.zeros((240, 320), bool)
    x, swing = 60 + 3 * number, 6 * (number % 3)
    mask[40:200, x : x + 40] = True
    mask[90:110, x - swing : x + 40 + 2 * swing] = True
    rle = from_mask(mask)
    assert rle is not None
    transform = tuple(body_transform(mask).ravel().tolist())
    return Region("body", box_of(rle), "1", (), transform, "annotation", 1.0, "", rle)


def view(n: int, scenes: list[int] | None = None) -> View:
    return View(np.arange(n) / 30, scenes or [0] * n, [(320, 240)] * n)


def matrix(body: Region) -> np.ndarray:
    return np.array(body.transform).reshape(2, 3)


def bend(bodies: dict[int, Region]) -> float:
    """Mean second difference of where the crops put a point of the photo that moves with the person."""
    points = [apply(matrix(bodies[i]), [[80 + 3 * i, 120]])[0] for i in sorted(bodies)]
    return float(np.hypot(*np.diff(points, 2, axis=0).T).mean())


def test_crops_follow_the_person_and_not_the_arms() -> None:
    raw = {i: walking(i) for i in range(30)}
    out = steadied(view(30), raw)
    assert bend(out) < 0.3 * bend(raw)
    for i, body in out.items():
        assert (body.silhouette, body.box) == (raw[i].silhouette, raw[i].box)
        x0, y0, x1, y1 = body.box
        corners = apply(matrix(body), [[x0, y0], [x1 - 1, y1 - 1]])
        assert (corners > FULL + FEATHER).all()
        assert (corners < np.array(SIZE[::-1]) - 1 - (FULL + FEATHER)).all()


def test_a_cut_and_what_is_not_painted_keep_what_they_had() -> None:
    raw = {i: walking(i) for i in range(4)}
    assert steadied(view(4, [0, 0, 1, 1]), raw) == raw  # of two nothing is smoothed
    group = Region("body", (10.0, 10, 90, 90), "2", silhouette=raw[0].silhouette)
    assert steadied(view(9), dict.fromkeys(range(9), group)) == dict.fromkeys(range(9), group)
