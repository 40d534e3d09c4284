from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

DSANON = [sys.executable, "-c", "from dsanon.cli import main; main()"]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DSANON, *map(str, arguments)], capture_output=True, text=True, env={**os.environ, **environment}, timeout=300
    )


def digest(release: Path) -> dict[str, str]:
    files = [p for p in (release / "data").rglob("*") if p.is_file()]
    files += [release / "manifest.parquet", release / "release.json", release / "CARD.md"]
    return {p.relative_to(release).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """A folder with faces, without, and with what cannot be read; more than one shard of it."""
    root = tmp_path_factory.mktemp("source")
    (root / "Ann Example").mkdir()
    for number in range(3):
        Image.fromarray(np.roll(portrait, 40 * number, axis=1)).save(root / "Ann Example" / f"ann {number}.jpg")
    for number in range(35):
        grey = np.full((40, 50, 3), 5 * number, np.uint8)
        Image.fromarray(grey).save(root / f"wall {number:02d}.png")
    (root / "broken.jpg").write_bytes((root / "Ann Example" / "ann 0.jpg").read_bytes()[:3000])
    (root / "empty.png").write_bytes(b"")
    (root / "link.jpg").symlink_to(root / "Ann Example" / "ann 0.jpg")
    return root


@pytest.fixture(scope="module")
def inline(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    release = tmp_path_factory.mktemp("inline") / "release"
    done = run("anonymize", "--dataset", "folder", folder, release, "--workers", 0, "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["counts"] | {"regions": 0} == {
        "samples": 41,
        "anonymized": 3,
        "fallback": 0,
        "kept": 0,
        "empty": 35,
        "quarantined": 3,
        "regions": 0,
    }
    return release


def test_the_release_accounts_for_everything_and_names_nobody(folder: Path, inline: Path) -> None:
    rows = pq.read_table(inline / "manifest.parquet").to_pylist()
    assert len({r["sample"] for r in rows}) == 41
    published = {p.relative_to(inline / "data").as_posix() for p in (inline / "data").rglob("*") if p.is_file()}
    assert published == {r["file"] for r in rows if r["status"] != "quarantined"}
    for row in rows:
        if row["status"] != "quarantined":
            assert row["output_sha256"] == hashlib.sha256((inline / "data" / row["file"]).read_bytes()).hexdigest()
    everything = b"".join(p.read_bytes() for p in inline.rglob("*") if p.is_file())
    names = str(sorted(p.as_posix() for p in inline.rglob("*"))).encode()
    for word in (b"Example", b"ann 0", b"wall", str(folder).encode()):
        assert word not in everything
        assert word not in names
    assert json.loads((inline / "release.json").read_text())["state"] == "incomplete"
    private = inline.with_name("release.private")
    assert private.stat().st_mode & 0o077 == 0
    assert {p.name for p in private.iterdir()} >= {"key", "identity_map.parquet", "quarantine.parquet"}


def test_the_face_is_new_and_the_rest_is_not(folder: Path, inline: Path) -> None:
    done = run("lookup", inline, "--json")
    rows = [r for r in json.loads(done.stdout) if r["source_file"].endswith("ann 0.jpg")]
    row = max(rows, key=lambda r: r["landmarks"][33] - r["landmarks"][1] if r["landmarks"] else 0)
    manifest = pq.read_table(inline / "manifest.parquet").to_pylist()
    (released,) = [r for r in manifest if (r["sample"], r["region"]) == (row["sample"], row["region"])]
    before = np.asarray(Image.open(folder / row["source_file"]).convert("RGB")).astype(int)
    after = np.asarray(Image.open(inline / "data" / released["file"]).convert("RGB")).astype(int)
    x0, y0, x1, y1 = (round(v) for v in released["box"])
    middle = np.s_[y0 + (y1 - y0) // 3 : y1 - (y1 - y0) // 4, x0 + (x1 - x0) // 4 : x1 - (x1 - x0) // 4]
    assert np.abs(before - after)[middle].mean() > 8
    assert np.abs(before - after)[200:].mean() < 1.5
    assert sum(row["control_weights"]) == pytest.approx(1)


def test_two_workers_and_a_killed_run_give_the_same_bytes(folder: Path, inline: Path, tmp_path: Path) -> None:
    key = inline.with_name("release.private") / "key"
    arguments = ["anonymize", "--dataset", "folder", str(folder)]
    two = tmp_path / "two"
    done = run(*arguments, two, "--workers", 2, "--key", key)
    assert done.returncode == 3, done.stderr
    assert digest(two) == digest(inline)
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [*DSANON, *arguments, str(killed), "--workers", "0", "--key", str(key)], stderr=subprocess.DEVNULL
    )
    staging = tmp_path / "killed.private" / "staging"
    deadline = time.monotonic() + 120
    while not list(staging.glob("*.found.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    refused = run(*arguments, killed, "--workers", 0, "--key", key)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    other = run(*arguments, killed, "--workers", 0, "--key", key, "--method", "mask", "--resume")
    assert other.returncode == 2
    assert "configuration.method" in other.stderr
    done = run(*arguments, killed, "--workers", 0, "--key", key, "--resume")
    assert done.returncode == 3, done.stderr
    assert digest(killed) == digest(inline)


def test_forget_makes_the_map_unreadable(inline: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    shutil.copytree(inline, release)
    shutil.copytree(inline.with_name("release.private"), tmp_path / "release.private")
    private = ["--private", tmp_path / "release.private"]
    assert run("lookup", release, *private, "--json").returncode == 0
    assert run("forget", release, *private, "--key", tmp_path / "release.private" / "key").returncode == 0
    gone = run("lookup", release, *private, "--json")
    assert gone.returncode == 2
    assert "destroyed" in gone.stderr
    assert "Traceback" not in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "nothing"], "choose one of"),
        (["--dataset", "folder", "--method", "swirl"], "--method"),
        (["--dataset", "folder", "--method", "pix2pix", "--regions", "body"], "pix2pix paints faces"),
        (["--dataset", "folder", "--regions", "both"], "have no annotations of bodies"),
        (["--dataset", "folder", "--detectors", "eyes"], "eyes"),
        (["--dataset", "folder", "--kernel", "8"], "odd"),
        (["--dataset", "folder", "--on-miss", "ignore"], "--on-miss"),
        (["--dataset", "folder", "--limit", "0"], "--limit"),
        (["--dataset", "lfw"], "LFW"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(folder: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = run("anonymize", folder, tmp_path / "release", "--workers", 0, *arguments)
    assert done.returncode == 2
    assert words.lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "release").exists()


def test_a_finished_release_is_never_touched_without_overwrite(folder: Path, inline: Path) -> None:
    before = digest(inline)
    done = run("anonymize", "--dataset", "folder", folder, inline, "--workers", 0)
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert digest(inline) == before


def test_a_sample_on_which_the_detectors_fail_is_withheld(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsanon import worker
    from dsanon.config import JobConfig
    from dsanon.job import anonymize
    from dsanon.layout import ReleasePaths

    def explode(sample: object, pixels: object) -> None:
        raise RuntimeError(f"secret {sample}")

    monkeypatch.setattr(worker, "_open_finder", lambda *_: explode)
    release = tmp_path / "release"
    config = JobConfig(dataset="folder", source=folder / "Ann Example", method="mask")
    outcome = anonymize(config, ReleasePaths.of(folder, release), workers=0, quiet=True)
    assert outcome.counts.quarantined == 3
    assert not list((release / "data").rglob("*.jpg"))
    assert b"secret" not in (release / "manifest.parquet").read_bytes()


def test_a_sample_that_breaks_its_batch_is_withheld_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsanon import worker
    from dsanon.config import JobConfig
    from dsanon.job import anonymize
    from dsanon.layout import ReleasePaths
    from dsanon.render import render

    bright = np.asarray(Image.open(folder / "wall 30.png"))

    def fragile(photos: list[np.ndarray], *further: object) -> object:
        if any(np.array_equal(photo, bright) for photo in photos):
            raise ZeroDivisionError
        return render(photos, *further)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "render", fragile)
    release = tmp_path / "release"
    config = JobConfig(dataset="folder", source=folder, method="mask", detectors="hog")
    outcome = anonymize(config, ReleasePaths.of(folder, release), workers=0, quiet=True)
    assert outcome.counts.quarantined == 4  # the three unreadable ones and this
    assert outcome.counts.samples == 41
