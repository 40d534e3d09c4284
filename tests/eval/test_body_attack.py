"""Bodies are recognised by their clothes where they are not hidden, and not where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dsanon_eval import gates
from dsanon_eval.attacks.bodies import GREY, Bodies, blackout, figures
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks.recognisers import Osnet
from dsanon_eval.utility.frames import Body, Pair
from PIL import Image

from dsanon.models import store
from dsanon.sample import Person
from dsanon.sources.silhouettes import from_mask

AUDITED = range(80, 120)  # people of cuhk03 whom nothing may be trained on
BOX = (0.0, 0.0, 64.0, 128.0)


def body(person: str, scope: str = "s") -> Body:
    return Body(person, scope, f"{scope}-{person}", BOX)


def found(rows: list[Measurement], name: str, control: str = "release") -> float:
    return next(row.value for row in rows if (row.name, row.control) == (name, control))


def test_recall_and_linkage_by_hand() -> None:
    """Two people, two pictures each. Released, b's second picture looks like a."""
    original = [[0, 0], [1, 0], [10, 0], [11, 0]]
    release = [[0, 1], [1, 1], [10, 1], [0.5, 1]]
    rows = figures(original, {"release": release, "original": original}, [body(p) for p in "aabb"], "m")
    assert found(rows, "body_recall_at_1", "original") == 1
    assert found(rows, "body_recall_at_1") == 0.75
    assert found(rows, "body_recall_at_1", "chance") == pytest.approx(1 / 3)
    assert found(rows, "body_self_recall_at_1") == 0.75
    assert found(rows, "body_linkage_within_scope") == 0  # b's second picture lies between a's two
    assert not [row for row in rows if row.name == "body_linkage_across_scopes"]
    assert figures([], {}, [], "m") == []


class _Thumbnail(Osnet):
    """Mean colours instead of a network: it needs no weights."""

    def __init__(self) -> None: ...

    def embed(self, chips: list[np.ndarray]) -> np.ndarray:  # type: ignore[override]
        return np.array([chip.mean(axis=(0, 1)) for chip in chips], np.float32)


def test_pictures_of_a_track_lie_ever_further_apart() -> None:
    seen = Bodies(_Thumbnail(), each=4)
    taken = []
    for number in range(40):
        picture = np.full((128, 64, 3), number, np.uint8)
        seen.look(Pair("s", number, picture, picture, (), bodies=(body("a"),)))
        if len(seen.bodies) > len(taken):
            taken.append(number)
    assert taken == [0, 1, 3, 7]
    seen.look(Pair("t", 0, picture, picture, (), bodies=(body("a"),), withheld=True))
    assert len(seen.bodies) == 4


def test_blackout_shows_what_is_around_people_and_nobody() -> None:
    picture = np.random.default_rng(0).integers(0, 100, (128, 64, 3), np.uint8)
    mask = np.zeros((128, 64), bool)
    mask[20:100, 10:30] = True
    beside = Body("b", "s", "b", (40.0, 30.0, 60.0, 90.0))  # a box alone
    bodies = Body("a", "s", "a", (10.0, 20.0, 30.0, 100.0)), beside
    pair = Pair("s", 0, picture, picture, (), (Person("a", silhouette=from_mask(mask)),), bodies=bodies)
    out = blackout(pair)
    mask[30:90, 40:60] = True
    assert (out[mask] == GREY).all()
    assert (out[~mask] == picture[~mask]).all()


def test_a_large_body_is_shrunk_as_in_training() -> None:
    """Stripes of one white column in four are a quarter of white from afar; whoever skips columns sees black."""
    pixels = np.zeros((1024, 512, 3), np.uint8)
    pixels[:, ::4] = 255
    crop = _Thumbnail().crop(pixels, (0.0, 0.0, 512.0, 1024.0))
    assert abs(float(crop[:, 4:-4].mean()) - 64) < 2


def test_a_crop_is_of_the_box_alone() -> None:
    pixels = np.zeros((300, 200, 3), np.uint8)
    pixels[100:228, 50:114] = 200
    assert (_Thumbnail().crop(pixels, (50.0, 100.0, 114.0, 228.0)) == 200).all()
    assert _Thumbnail().crop(pixels, (190.0, 290.0, 400.0, 500.0)).shape == (256, 128, 3)
    assert _Thumbnail().crop(pixels, (500.0, 500.0, 600.0, 600.0)).shape == (256, 128, 3)


@pytest.mark.shared
def test_osnet_knows_people_by_their_clothes(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument: it finds people of cuhk03 again who are not hidden, and no grey silhouettes."""
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path))
    store.add("osnet", shared / "models" / "osnet_x0_25_msmt17.onnx")
    folder = shared / "data" / "reid" / "cuhk03"
    files = [folder / f"{person:04d}_{view:02d}.jpg" for person in AUDITED for view in (0, 5)]
    files = [file for file in files if file.is_file()]
    seen = Bodies(Osnet(), each=9)
    for file in files:
        pixels = np.array(Image.open(file).convert("RGB"))
        hidden = np.full_like(pixels, 128)
        who = Body(file.name[:4], "dataset", file.name[:4], (0.0, 0.0, *pixels.shape[1::-1]))
        seen.look(Pair(file.name, 0, hidden, pixels, (), bodies=(who,)))
    rows = seen.measurements()
    chance = found(rows, "body_recall_at_1", "chance")
    assert found(rows, "body_recall_at_1", "original") > 20 * chance
    assert found(rows, "body_recall_at_1") <= 3 * chance
    judged, _ = gates.apply(gates.read_rules(gates.SHIPPED, "mot"), rows)
    assert {row.passed for row in judged if row.name == "body_recall_at_1" and row.control == "release"} == {True}
    as_they_were = figures(seen.original, {"release": seen.original}, seen.bodies, "osnet")
    failed = gates.failures(gates.apply(gates.read_rules(gates.SHIPPED, "mot"), as_they_were)[0])
    assert any(line.startswith("body_recall_at_1 by osnet") for line in failed)
