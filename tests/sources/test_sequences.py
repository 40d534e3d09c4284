"""Numbered frames and seqinfo.ini."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sources.sequences import (
    frame_rate,
    frames_of,
    public_path,
    publish_seqinfo,
    read_seqinfo,
    sequence_names,
    stated_size,
)

NAMES = Names(b"n" * 32)


def test_frames() -> None:
    assert frames_of(["a/000002.jpg", "b/7.png", "a/000001.jpg"]) == {
        "a": {1: "a/000001.jpg", 2: "a/000002.jpg"},
        "b": {7: "b/7.png"},
    }
    assert list(frames_of(["b/1.jpg", "a/10.jpg", "a/2.jpg"]).items()) == [
        ("a", {2: "a/2.jpg", 10: "a/10.jpg"}),
        ("b", {1: "b/1.jpg"}),
    ]
    assert list(frames_of(["a/10.jpg", "a/2.jpg"])["a"]) == [2, 10]
    with pytest.raises(SourceError, match="no frame number"):
        frames_of(["a/aaron.jpg"])
    with pytest.raises(SourceError, match="no frame number"):
        frames_of(["a/².jpg"])
    with pytest.raises(SourceError, match="same frame"):
        frames_of(["a/01.jpg", "a/1.jpg"])


def test_names() -> None:
    assert sequence_names(["train/0001", "train/0002"]) == {"train/0001": "0001", "train/0002": "0002"}
    assert sequence_names(["train/1", "test/1", "test/2"]) == {"train/1": "train/1", "test/1": "test/1", "test/2": "2"}


def test_a_name_that_may_be_somebodys_is_a_token_everywhere() -> None:
    kept = ["train/MOT17-02-FRCNN/img1/000001.jpg", "train/images/0001/000001.jpg", "training/image_02/0003/000000.png"]
    kept += [
        "train/instances_txt/0001.txt",
        "MOTS20-02/gt/gt.txt",
        "test/ADL-Rundle-6/img1/000001.jpg",
        "PETS09-S2L1/det/det.txt",
    ]
    assert [public_path(path, NAMES) for path in kept] == kept
    frame, rows = (
        public_path(path, NAMES)
        for path in ("train/images/John_Smith/000001.jpg", "train/instances_txt/John_Smith.txt")
    )
    token = frame.split("/")[2]
    assert (frame, rows) == (f"train/images/{token}/000001.jpg", f"train/instances_txt/{token}.txt")
    assert token != public_path("John_Smyth", NAMES)
    assert not {"john", "smith"} & set(token.lower().split("_"))


def test_seqinfo(tmp_path: Path) -> None:
    (tmp_path / "in" / "S").mkdir(parents=True)
    path = tmp_path / "in" / "S" / "seqinfo.ini"
    assert read_seqinfo(path) == {}
    assert stated_size(path) is None
    assert frame_rate(path) == 30  # as most have
    assert not publish_seqinfo(tmp_path / "in", tmp_path / "out", "S", {1: "x"}, NAMES)
    path.write_text(
        "[Sequence]\nname=S\nimDir=img1\nframeRate=30\nseqLength=600\nimWidth=64\nimHeight=48\nimExt=.jpg\nowner=Aaron\n"
    )
    assert stated_size(path) == (64, 48)
    assert frame_rate(path) == 30
    assert publish_seqinfo(tmp_path / "in", tmp_path / "out", "S", {1: "x", 2: "y"}, NAMES)
    released = tmp_path / "out" / "S" / "seqinfo.ini"
    assert released.read_text() == path.read_text().replace("600", "2").replace("owner=Aaron\n", "")
    assert not publish_seqinfo(tmp_path / "out", tmp_path / "again", "S", {1: "x", 2: "y"}, NAMES)
    assert publish_seqinfo(tmp_path / "in", tmp_path / "gap", "S", {1: "x", 5: "y"}, NAMES)
    assert read_seqinfo(tmp_path / "gap" / "S" / "seqinfo.ini")["seqLength"] == "5"
    for text, message in {"nothing": "no readable", "[Other]\na=1": "no readable"}.items():
        path.write_text(text)
        with pytest.raises(SourceError, match=message):
            read_seqinfo(path)
    path.write_text("[Sequence]\nimWidth=-3\nimHeight=4\n")
    with pytest.raises(SourceError, match="states -3 x 4"):
        stated_size(path)
    path.write_text("[Sequence]\nframeRate=12.5\n")
    assert frame_rate(path) == 12.5
    for rate in ("0", "nan", "fast", "-25"):
        path.write_text(f"[Sequence]\nframeRate={rate}\n")
        with pytest.raises(SourceError, match="frameRate"):
            frame_rate(path)
