"""Sources made to do harm: bombs, links and pipes among annotations, numbers beyond all measure. Refused in a line."""

from __future__ import annotations

import io
import json
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from dsanon.errors import BadImage, SourceError
from dsanon.images import MAX_PIXELS, decode
from dsanon.naming import Names
from dsanon.sources import open_source
from dsanon.sources.clip import probe
from dsanon.sources.silhouettes import from_segmentation
from dsanon.sources.video import VideoSource

HUGE = 10**12
DIGITS = "9" * 5000  # Python refuses to read more than 4,300


def picture(path: Path, width: int = 24, height: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (40, 90, 10)).save(path)


def stored(kind: str, **options: Any) -> bytearray:
    out = io.BytesIO()
    Image.new("RGB", (24, 16), (40, 90, 10)).save(out, kind, **options)
    return bytearray(out.getvalue())


def jpeg_of(data: bytearray, width: int, height: int) -> bytearray:
    """The same file, whose header says another size."""
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return data


def gif_bomb() -> bytearray:
    data = stored("GIF")
    at = data.index(b",") + 5
    data[6:10] = data[at : at + 4] = struct.pack("<HH", 65_535, 65_535)
    return data


def webp_bomb() -> bytearray:
    data = stored("WEBP", lossless=True)
    at = data.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, bits & ~0xFFFFFFF | 0xFFFFFFF)  # 14 bits each for width and height
    return data


def tiff_bomb() -> bytearray:
    data = stored("TIFF")
    for tag, size in ((256, 24), (257, 16)):
        for kind, code in (("<HHII", 4), ("<HHIHH", 3)):
            value = (tag, code, 1, size) + ((0,) if code == 3 else ())
            found = data.find(struct.pack(kind, *value))
            if found >= 0:
                data[found : found + 12] = struct.pack("<HHII", tag, 4, 1, 100_000)
    return data


BOMBS: dict[str, Callable[[], bytes | bytearray]] = {
    "JPEG": lambda: jpeg_of(stored("JPEG"), 65_500, 65_500),
    "GIF": gif_bomb,
    "WEBP": webp_bomb,
    "TIFF": tiff_bomb,
    "PPM": lambda: b"P6 99999 99999 255\n" + bytes(300),
}


def peak() -> int:
    """Bytes of memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_of_a_huge_picture_is_refused_by_its_header(kind: str) -> None:
    data, before = bytes(BOMBS[kind]()), peak()
    assert len(data) < 10_000
    with pytest.raises(BadImage, match=r"megapixels|damaged"):
        decode(data)
    assert peak() - before < 150 * 2**20


@pytest.mark.parametrize("side", [15_900, 30_000])
def test_a_small_video_of_huge_frames_is_refused(side: int, tmp_path: Path) -> None:
    """Of 15,900 pixels each way FFmpeg itself would decode it."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 50 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack(">HHB", 64, 64, 3), struct.pack(">HHB", side, side, 3)))
    assert side * side > MAX_PIXELS
    before = peak()
    (sample,) = VideoSource(path).samples()
    assert sample.problem
    assert peak() - before < 200 * 2**20


def test_a_video_that_promises_any_number_of_frames_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsanon.demo import write_clip
    from dsanon.sources import clip

    path = tmp_path / "a.mp4"
    write_clip(path, np.zeros((350, 700, 3), np.uint8))
    monkeypatch.setattr(clip, "_index", lambda container, stream: ([0, 1], 10**9))
    with pytest.raises(BadImage, match="1000000002 frames are promised: at most 5000000 are read"):
        probe(path)


def test_an_mp4_whose_header_promises_two_thousand_million_frames_is_refused(tmp_path: Path) -> None:
    """FFmpeg would set aside 51 GB."""
    from dsanon.demo import write_clip

    path = tmp_path / "a.mp4"
    write_clip(path, np.zeros((350, 700, 3), np.uint8))
    assert probe(path).times
    data = bytearray(path.read_bytes())
    at = data.index(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 10, 2**31 - 1)
    path.write_bytes(data)
    before = peak()
    with pytest.raises(BadImage, match="2147483647 samples are promised by"):
        probe(path)
    assert peak() - before < 50 * 2**20


def test_a_video_that_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(BadImage, match="not a regular file"):
        probe(tmp_path / "a.mp4")


# dataset → (an image, an annotation file, what it may hold)
ANNOTATED = {
    "lfw": ("lfw/Ann_By/Ann_By_0001.jpg", "pairs.txt", b"1\t0\n"),
    "celeba": ("img_celeba/000001.jpg", "identity_CelebA.txt", b"000001.jpg 5\n"),
    "coco": ("val2017/1.jpg", "annotations/instances_val2017.json", b'{"images": [], "annotations": []}'),
    "mot": ("A/img1/000001.jpg", "A/gt/gt.txt", b"1,1,2,2,9,9,1,1,1\n"),
    "mots": ("images/0001/000001.jpg", "instances_txt/0001.txt", b""),
}


@pytest.mark.parametrize("dataset", ANNOTATED)
@pytest.mark.parametrize("what", ["link", "device", "pipe"])
def test_annotations_that_are_no_part_of_the_source_are_refused(dataset: str, what: str, tmp_path: Path) -> None:
    image, file, content = ANNOTATED[dataset]
    root = tmp_path / "source"
    picture(root / image)
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert len(open_source(dataset, root).samples()) == 1
    path.unlink()
    (tmp_path / "secret").write_bytes(content)
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if what == "device" else tmp_path / "secret")
    with pytest.raises(SourceError, match=r"leads out of SOURCE|no regular file"):
        open_source(dataset, root).samples()


def test_a_seqinfo_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "A/img1/000001.jpg")
    (tmp_path / "A/seqinfo.ini").symlink_to("/etc/hostname")
    with pytest.raises(SourceError, match="leads out of SOURCE"):
        open_source("mot", tmp_path).samples()


@pytest.mark.parametrize("what", ["pipe", "link"])
def test_instance_masks_are_regular_files(what: str, tmp_path: Path) -> None:
    picture(tmp_path / "images/0001/000001.jpg")
    path = tmp_path / "instances/0001/000001.png"
    path.parent.mkdir(parents=True)
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/hostname")
    with pytest.raises(SourceError, match="expected"):
        open_source("mots", tmp_path).samples()


def coco(root: Path, **changes: Any) -> None:
    """One person, of whom some fields are others; and what a release says of them."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 9, 8]}
    image = {"id": 1, "width": 24, "height": 16, "file_name": "1.jpg"}
    image |= {name: value for name, value in changes.items() if name in image}
    person |= {name: value for name, value in changes.items() if name not in image}
    content = {"images": [image], "annotations": [person], "categories": [{"id": 1, "name": "person"}]}
    picture(root / "val2017/1.jpg")
    (root / "annotations").mkdir(parents=True)
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"bbox": [10**400, 0, 1, 1]},
        {"keypoints": [10**400, 0, 2]},
        {"segmentation": [[10**400, 0, 5, 5, 9, 9]]},
        {"width": 10**400},
        {"segmentation": {"size": [16, 24], "counts": [10**30, 384 - 10**30]}},
    ],
)
def test_numbers_beyond_all_measure_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    coco(tmp_path, **changes)
    with pytest.raises(SourceError, match=r"image 1|annotation 1"):
        open_source("coco", tmp_path).samples()


def test_polygons_cost_no_more_memory_than_their_picture() -> None:
    before = peak()
    with pytest.raises(ValueError, match="pixels around"):
        from_segmentation([[float(x) for n in range(500) for x in (n % 2 * 1e6, n)]], 24, 16)
    assert peak() - before < 50 * 2**20


@pytest.mark.parametrize("number", [HUGE, DIGITS])
@pytest.mark.parametrize("file", ["identity_CelebA.txt", "list_landmarks_celeba.txt"])
def test_celebas_numbers_have_an_end(number: object, file: str, tmp_path: Path) -> None:
    """Up to the largest identity all are shuffled."""
    picture(tmp_path / "img_celeba/000001.jpg")
    text = f"000001.jpg {number}\n" if file.startswith("id") else f"1\na\n000001.jpg 1 2 3 4 5 6 7 8 9 {number}\n"
    (tmp_path / file).write_text(text)
    source = open_source("celeba", tmp_path)
    with pytest.raises(SourceError, match=f"{file} line"):
        source.publish(tmp_path / "data", source.samples(), Names(bytes(32)))


@pytest.mark.parametrize(
    ("dataset", "image", "file", "text"),
    [
        ("mots", "images/0001/000001.jpg", "instances_txt/0001.txt", f"1 {DIGITS} 2 16 24 0"),
        ("mot", "A/img1/000001.jpg", "A/seqinfo.ini", f"[Sequence]\nimWidth={DIGITS}\nimHeight=9\n"),
        ("mot", "A/img1/000001.jpg", "A/seqinfo.ini", "[Sequence]\nimWidth=²\nimHeight=9\n"),
        ("mot", "A/img1/000001.jpg", "A/gt/gt.txt", f"1,1,1,1,{DIGITS},5,1,1,1\n"),
    ],
)
def test_long_numbers_of_sequences_are_refused(dataset: str, image: str, file: str, text: str, tmp_path: Path) -> None:
    picture(tmp_path / image)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(SourceError, match=Path(file).name):
        open_source(dataset, tmp_path).samples()
