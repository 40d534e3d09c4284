"""Workers see what this process sees; files that are not those of the release, or that kill workers, stop it."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited_release import make_release
from dsanon_eval.crew import Crew
from dsanon_eval.seeing import watch
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.case import Face, Scene
from dsanon_eval.seeing.observation import Suite
from dsanon_eval.seeing.watch import Look, Task, Watcher, observe
from little_clips import clip
from PIL import Image

from dsanon.errors import ReleaseError, UsageError
from dsanon.sample import Region
from runs import dsanon

HOG = Suite(("hog",))
LOOKS: tuple[Look, ...] = (("original", HOG), ("release", HOG), ("blackout", HOG))


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    from skimage import data

    return np.asarray(data.astronaut())[:256, 96:352]


def place(folder: Path, name: str, pixels: np.ndarray) -> str:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


def scenes(tmp_path: Path, portrait: np.ndarray) -> list[tuple[Scene, tuple[Look, ...]]]:
    out = []
    face = Face("a", True, "p", "dataset", "fallback", Region("face", (60, 40, 200, 200)))
    for number in range(3):
        before = place(tmp_path / "source", f"{number}.png", np.roll(portrait, 10 * number, axis=1))
        after = place(tmp_path / "data", f"r{number}.png", np.full_like(portrait, 60 * number))
        out.append((Scene(f"s{number}", f"{number}.png", before, f"r{number}.png", after, (face,)), LOOKS))
    return out


def seen(tmp_path: Path, made: list[tuple[Scene, tuple[Look, ...]]], workers: int) -> list[tuple[str, list[int]]]:
    """How many faces HOG finds in each look at each scene."""
    with Cache(None) as cache, Crew(workers) as crew:
        found = observe(made, len(made), tmp_path / "source", tmp_path / "data", crew, cache)
        return [(scene.sample, [len(looks[look].squares["hog"]) for look in LOOKS]) for scene, looks in found]


def test_workers_see_what_this_process_sees_in_order(cluster: Any, tmp_path: Path, portrait: np.ndarray) -> None:
    made = scenes(tmp_path, portrait)
    here = seen(tmp_path, made, workers=0)
    assert here == [(f"s{number}", [1, 0, 0]) for number in range(3)]
    assert seen(tmp_path, made, workers=2) == here


def test_what_is_remembered_is_not_looked_at_again_and_keeps_its_place(
    tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, looked = scenes(tmp_path, portrait), []

    class Noting(Watcher):
        def __call__(self, task: Task) -> list[bytes]:
            looked.append((task.scene.sample, len(task.looks)))
            return super().__call__(task)

    monkeypatch.setattr(watch, "Watcher", Noting)
    with Cache(None) as cache:

        def again(*wanted: tuple[Scene, tuple[Look, ...]]) -> list[tuple[str, list[int]]]:
            found = observe(wanted, len(wanted), tmp_path / "source", tmp_path / "data", Crew(), cache)
            return [(scene.sample, [len(seen.squares["hog"]) for seen in looks.values()]) for scene, looks in found]

        again(made[0], (made[2][0], LOOKS[1:]))
        assert again(*made) == [("s0", [1, 0, 0]), ("s1", [1, 0, 0]), ("s2", [0, 0, 1])]
    assert looked == [("s0", 3), ("s2", 2), ("s1", 3), ("s2", 1)]


def test_of_a_video_the_very_frame_is_looked_at(tmp_path: Path, portrait: np.ndarray) -> None:
    grey = np.full_like(portrait, 127)
    for folder, empty in (("source", 1), ("data", 2)):
        (tmp_path / folder).mkdir()
        clip(tmp_path / folder / "v.mp4", [grey if number == empty else portrait for number in range(4)])
    hashes = [hashlib.sha256((tmp_path / folder / "v.mp4").read_bytes()).hexdigest() for folder in ("source", "data")]
    face = Face("a", True, "p", "v", "anonymized", Region("face", (60, 40, 200, 200)))
    made = [(Scene(f"v#{n:06d}", "v.mp4", hashes[0], "v.mp4", hashes[1], (face,)), LOOKS) for n in (0, 1, 2, 3, 1)]
    assert [found[:2] for _, found in seen(tmp_path, made, workers=0)] == [[1, 1], [0, 1], [1, 0], [1, 1], [0, 1]]
    past = Scene("v#000004", "v.mp4", hashes[0], "v.mp4", hashes[1], (face,))
    with pytest.raises(UsageError, match=r"v\.mp4: frame 4 cannot be decoded"):
        seen(tmp_path, [(past, LOOKS)], workers=0)


def test_only_the_very_files_are_looked_at(tmp_path: Path, portrait: np.ndarray) -> None:
    made = scenes(tmp_path, portrait)
    place(tmp_path / "data", "r1.png", portrait)
    with pytest.raises(ReleaseError, match=r"data/r1\.png is missing or was altered"):
        seen(tmp_path, made, workers=0)
    (tmp_path / "source" / "0.png").unlink()
    with pytest.raises(UsageError, match=r"0\.png is not in .* or not as it was"):
        seen(tmp_path, made, workers=0)


def test_a_fault_in_a_worker_arrives_as_what_it_was(cluster: Any, tmp_path: Path, portrait: np.ndarray) -> None:
    scene, looks = scenes(tmp_path, portrait)[0]
    text = tmp_path / "data" / "r0.png"
    text.write_text("no image")
    wrong = hashlib.sha256(text.read_bytes()).hexdigest()
    broken = Scene(scene.sample, scene.source_file, scene.source_sha256, "r0.png", wrong, scene.faces)
    with pytest.raises(UsageError, match=r"r0\.png: not an image"):
        seen(tmp_path, [(broken, looks)], workers=1)


class Poisoned(Watcher):
    """Dies of one picture, whoever looks at it."""

    def __call__(self, task: Task) -> list[bytes]:
        if task.scene.source_file == "b.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(task)


def test_an_audit_passes_over_no_picture_that_kills_its_workers(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with a line that names it, and writes nothing."""
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path))
    paths = make_release(tmp_path)
    monkeypatch.setattr(watch, "Watcher", Poisoned)
    done = dsanon("audit", paths.release, "--source", tmp_path / "source", "--workers", 2)
    assert done.code == 2
    assert "or its source b.png: two workers died while they looked at it" in done.error
    assert not (paths.release / "audit").exists()
