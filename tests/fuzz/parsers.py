"""Every parser of untrusted input, with whole files of made-up content to start from."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dsanon.images import decode
from dsanon.key import create_key, load_key
from dsanon.layout import ReleasePaths
from dsanon.lock import owned
from dsanon.manifest import ManifestRow, count, read_rows, to_table
from dsanon.models import store, weights
from dsanon.models.checks import check
from dsanon.naming import Names
from dsanon.plan import read_cameras, read_kept
from dsanon.private_map import MapRow, QuarantineRow, read_map, read_quarantine, write_map, write_quarantine
from dsanon.release import open_release
from dsanon.review import read_review
from dsanon.sources import open_source
from dsanon.sources.silhouettes import box_of, from_counts, from_mask, from_segmentation, to_mask

NAMES = Names(bytes(32))
TEXT = [b"-1", b"0", b"1e999", b"nan", b"-inf", b"9" * 20, b"9" * 400, b"9" * 5000, b"\0", b"\xff", b"\n", b"\t", b" "]
TEXT += [b"../../x.jpg", b"/etc/passwd", "²".encode(), "人".encode(), b"1_0", b"0x10", b'"', b"\\", b","]
JSON = [*TEXT, b"[", b"]", b"{", b"}", b"null", b"true", b'""', b"1" * 30, b"[" * 3000, b'"\\ud800"', b"0.5", b"-0"]
BYTES = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80", b"\0\0\0\1", b"\x01\0\0\0"]


@dataclass(frozen=True)
class Parser:
    """seeds: whole files that it takes · words: what damage may put into them · read: raises what it refuses with"""

    seeds: Callable[[], list[bytes]]
    words: list[bytes]
    read: Callable[[bytes, Path], object]


def _file(data: bytes, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _picture(width: int = 24, height: int = 16) -> Image.Image:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 9, y * 9, x + y], axis=-1).astype(np.uint8))


def _stored(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _images() -> list[bytes]:
    picture = _picture()
    kinds = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]
    more = [_stored(picture.convert(mode), kind) for mode in ("L", "P", "1") for kind in ("PNG", "TIFF", "GIF")]
    more += [_stored(picture.convert("CMYK"), kind) for kind in ("JPEG", "TIFF")]
    more += [_stored(picture, "TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")]
    more += [_stored(picture, "GIF", save_all=True, append_images=[picture]), _stored(picture, "WEBP", lossless=True)]
    return [_stored(picture, kind) for kind in kinds] + more


def _source(dataset: str, root: Path, image: str) -> None:
    """Read what is in ``root`` as the job does, and write its annotations again."""
    if not (root / image).exists():
        _file(_stored(_picture(), "PNG" if image.endswith("png") else "JPEG"), root / image)
    source = open_source(dataset, root)
    source.publish(root.with_name("data"), source.samples(), NAMES)


def _coco_seeds() -> list[bytes]:
    people = {
        "images": [{"id": 1, "width": 24, "height": 16, "file_name": "000000000001.jpg", "license": 1}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 9.5, 8], "iscrowd": 0, "area": 70.5,
             "segmentation": [[2, 2, 11, 2, 11, 10]], "keypoints": [4, 4, 2, 5, 4, 1, 6, 5, 2], "num_keypoints": 3},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 3], "iscrowd": 1,
             "segmentation": {"size": [16, 24], "counts": [10, 20, 354]}},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}],
        "info": {"description": "COCO 2017 Dataset"}, "licenses": [{"id": 1, "name": "x", "url": "y"}],
    }  # fmt: skip
    captions = {"images": people["images"], "annotations": [{"id": 1, "image_id": 1, "caption": "Ann"}]}
    return [json.dumps(content).encode() for content in (people, captions)]


def _coco(data: bytes, folder: Path) -> None:
    _file(data, folder / "coco/annotations/instances_val2017.json")
    _source("coco", folder / "coco", "val2017/000000000001.jpg")


def _rle_seeds() -> list[bytes]:
    mask = np.zeros((16, 24), bool)
    mask[3:9, 4:15] = True
    rle = from_mask(mask)
    assert rle is not None
    segmentations: list[Any] = [{"size": [16, 24], "counts": rle.counts.decode()}, [[2, 2, 11, 2, 11, 10]]]
    return [rle.counts, *(json.dumps(one).encode() for one in segmentations)]


def _rle(data: bytes, folder: Path) -> None:
    try:
        found = from_segmentation(json.loads(data), 24, 16) if data[:1] in b"[{" else from_counts(data, 24, 16)
    except (ValueError, RecursionError):  # what its callers turn into a line
        return
    if found is not None:
        assert to_mask(found).shape == (16, 24)
        box_of(found)


def _lfw(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        root = folder / f"lfw-{name}"
        _file(data, root / name)
        _source("lfw", root, "lfw/Ann_By/Ann_By_0001.jpg")

    return read


_CELEBA = {
    "identity_CelebA.txt": [b"000001.jpg 5\n000002.jpg 77\n"],
    "list_landmarks_celeba.txt": [b"1\na b c d e f g h i j\n000001.jpg 1 2 3 4 5 6 7 8 9 10\n"],
    "list_bbox_celeba.txt": [b"1\nimage_id x_1 y_1 width height\n000001.jpg 1 2 10 10\n"],
    "list_attr_celeba.txt": [b"1\nBald Young\n000001.jpg -1 1\n"],
}


def _celeba(data: bytes, folder: Path) -> None:
    """The first line tells which of the lists it is."""
    name, _, content = data.partition(b"\n")
    names = sorted(_CELEBA)
    root = folder / "celeba"
    for other in names:
        (root / other).unlink(missing_ok=True)
    _file(content, root / names[sum(name) % len(names)])
    _source("celeba", root, "img_celeba/000001.jpg")


def _celeba_seeds() -> list[bytes]:
    return [bytes([number]) + b"\n" + _CELEBA[name][0] for number, name in enumerate(sorted(_CELEBA))]


_SEQINFO = b"[Sequence]\nname=A\nimDir=img1\nframeRate=30\nseqLength=2\nimWidth=24\nimHeight=16\nimExt=.jpg\n"


def _mot(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        root = folder / f"mot-{name.replace('/', '-')}"
        _file(data, root / "A" / name)
        _source("mot", root, "A/img1/000001.jpg")

    return read


def _mots_text(data: bytes, folder: Path) -> None:
    root = folder / "mots-text"
    _file(data, root / "instances_txt/0001.txt")
    _source("mots", root, "images/0001/000001.jpg")


def _mots_seeds() -> list[bytes]:
    return [b"1 2001 2 16 24 " + _rle_seeds()[0] + b"\n1 10000 10 16 24 " + _rle_seeds()[0] + b"\n"]


def _instances(data: bytes, folder: Path) -> None:
    root = folder / "mots-masks"
    _file(data, root / "instances/0001/000001.png")
    _source("mots", root, "images/0001/000001.jpg")


def _instances_seeds() -> list[bytes]:
    mask = np.zeros((16, 24), np.uint16)
    mask[2:9, 3:12], mask[10:, 10:] = 2001, 10_000
    return [_stored(Image.fromarray(mask), "PNG")]


@cache
def _videos() -> list[bytes]:
    import av

    found = []
    for name, codec, pixels in (
        ("mp4", "libx264", "yuv420p"),
        ("matroska", "mjpeg", "yuvj420p"),
        ("avi", "mpeg4", "yuv420p"),
    ):
        out = io.BytesIO()
        with av.open(out, "w", format=name) as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, pixels
            for number in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 50 * number, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        found.append(out.getvalue())
    return found


def _video(data: bytes, folder: Path) -> None:
    _file(data, folder / "video/a.mp4")
    source = open_source("video", folder / "video")
    samples = source.samples()
    assert len(list(source.read(samples))) == len(samples)


def _table(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _manifest_seeds() -> list[bytes]:
    row = ManifestRow(
        "a", "a.png", "dataset", "anonymized", 0, "face", (0, 0, 5, 5), "p1", "blur", output_sha256="ab" * 32
    )
    return [_table(to_table([row, ManifestRow("b", "b.png", "dataset", "empty", output_sha256="cd" * 32)]))]


def _manifest(data: bytes, folder: Path) -> None:
    table = read_rows(_file(data, folder / "manifest.parquet"))
    table.to_pylist()
    count(table)


@cache
def _map_seeds() -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "map")
        write_map(path, [MapRow("a", 0, "a.png", "ab" * 32, "Ann", "p1", "dataset", (1,), (1.0,))], bytes(32))
        return [path.read_bytes()]


@cache
def _quarantine_seeds() -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "quarantine")
        write_quarantine(path, [QuarantineRow("a", "a.png", "why", "ab" * 32)])
        return [path.read_bytes()]


def _state(name: str) -> Callable[[bytes, Path], None]:
    """A JSON file of the private side or the release, in front of a run that resumes."""

    def read(data: bytes, folder: Path) -> None:
        (folder / "source").mkdir(exist_ok=True)
        paths = ReleasePaths.of(folder / "source", folder / f"state-{name.replace('/', '-')}" / "release")
        if not paths.key.exists():
            paths.private.mkdir(mode=0o700, parents=True)
            create_key(paths.key)
        places = {"job": paths.job, "made": paths.made, "owner": paths.private / "owner.json"}
        for place in places.values():
            place.unlink(missing_ok=True)
        paths.staging.mkdir(mode=0o700, exist_ok=True)
        (paths.staging / "000000.at").write_text("0")
        paths.data.mkdir(parents=True, exist_ok=True)
        (paths.data / "a.png").touch()
        _file(data, places[name])
        with open_release(paths, {"configuration": {"method": "blur"}}, resume=name == "job", overwrite=name != "job"):
            pass

    return read


def _state_seeds() -> list[bytes]:
    job = {"schema": 1, "release": "/x", "entries": {"configuration": {"method": "blur"}, "key": "00"}}
    return [
        json.dumps(one).encode()
        for one in (job, {"schema": 1, "release": "/x", "key": "/y"}, {"pid": 1, "host": "h", "started": "now"})
    ]


def _release_json(data: bytes, folder: Path) -> None:
    """In front of a review that is applied."""
    from dsanon.revision import _refuse_another_job

    paths = ReleasePaths.of(None, folder / "about" / "release")
    _file(data, paths.release / "release.json")
    _refuse_another_job(paths, {}, (), bytes(32))


def _review_seeds() -> list[bytes]:
    decisions = [{"sample": "a", "region": 0, "verdict": "mask"}, {"sample": "b", "region": 1, "verdict": "drop"}]
    return [json.dumps({"schema": 1, "manifest_sha256": "ab" * 32, "decisions": decisions}).encode()]


def _recipe(data: bytes, folder: Path) -> None:
    from dsanon_training.recipe import load_recipe

    load_recipe(str(_file(data, folder / "recipe.toml")))


def _gates(data: bytes, folder: Path) -> None:
    from dsanon_eval.gates import read_rules

    read_rules(_file(data, folder / "gates.toml"), "lfw")


@cache
def _tensor_seeds() -> list[bytes]:
    import torch
    from safetensors.torch import save

    from dsanon.models.generator import GeneratorConfig

    config = {"identities": 2, "widths": (8, 8, 8, 8, 8), "embedding": 4}
    about = {"kind": "generator", "config": config, "identities": ["a", "b"], "steps": 1, "recipe": "r"}
    assert GeneratorConfig(**config)
    return [save({"a": torch.zeros(2, 3)}, {"dsanon": json.dumps(about)}), pickle.dumps({"a": 1})]


def _tensors(data: bytes, folder: Path) -> None:
    path = _file(data, folder / "a.safetensors")
    for read in (
        lambda: check("my-face", ".safetensors", data),
        lambda: store.metadata(path),
        lambda: weights.read_card(path),
    ):
        _refused(read)


def _refused(read: Callable[[], object]) -> None:
    from dsanon.errors import WeightsError

    try:
        read()
    except WeightsError:
        return


def _onnx(data: bytes, folder: Path) -> None:
    check("yunet", ".onnx", data)


def _dlib(data: bytes, folder: Path) -> None:
    check("landmarks68", ".dat", data)


def _register(data: bytes, folder: Path) -> None:
    import os
    from unittest import mock

    with mock.patch.dict(os.environ, DSANON_MODELS=str(folder)):
        _file(data, folder / store.REGISTER)
        store.describe()


def _key(data: bytes, folder: Path) -> None:
    path = _file(data, folder / "key")
    path.chmod(0o600)
    load_key(path)


def _write_owner(data: bytes, folder: Path) -> None:
    private = folder / "private"
    private.mkdir(exist_ok=True)
    _file(data, private / "owner.json")
    with owned(private):
        pass


PARSERS: dict[str, Parser] = {
    "images": Parser(_images, BYTES, lambda data, _: decode(data)),
    "coco": Parser(_coco_seeds, JSON, _coco),
    "rle": Parser(_rle_seeds, JSON, _rle),
    "pairs.txt": Parser(lambda: [b"1\t1\nAnn_By\t1\t1\nAnn_By\t1\tBob\t1\n"], TEXT, _lfw("pairs.txt")),
    "people.txt": Parser(lambda: [b"1\n2\nAnn_By\t1\nBob\t2\n"], TEXT, _lfw("people.txt")),
    "celeba": Parser(_celeba_seeds, TEXT, _celeba),
    "gt.txt": Parser(lambda: [b"1,1,2,2,9,9,1,1,0.5\n1,2,3,3,4,4,1,7,1\n"], TEXT, _mot("gt/gt.txt")),
    "seqinfo.ini": Parser(
        lambda: [_SEQINFO], [*TEXT, b"[", b"=", b"[Sequence]", b"imWidth=", b"%(x)s"], _mot("seqinfo.ini")
    ),
    "instances_txt": Parser(_mots_seeds, TEXT, _mots_text),
    "instances": Parser(_instances_seeds, BYTES, _instances),
    "video": Parser(_videos, BYTES, _video),
    "manifest": Parser(_manifest_seeds, BYTES, _manifest),
    "identity_map": Parser(
        _map_seeds, BYTES, lambda data, folder: read_map(_file(data, folder / "map"), bytes(32)).to_pylist()
    ),
    "quarantine": Parser(
        _quarantine_seeds, BYTES, lambda data, folder: read_quarantine(_file(data, folder / "q")).to_pylist()
    ),
    "review.json": Parser(_review_seeds, JSON, lambda data, folder: read_review(_file(data, folder / "review.json"))),
    "release.json": Parser(lambda: [b'{"schema": 1, "state": "complete", "fingerprint": "ab"}'], JSON, _release_json),
    "job.json": Parser(_state_seeds, JSON, _state("job")),
    "made.json": Parser(_state_seeds, JSON, _state("made")),
    "owner.json": Parser(_state_seeds, JSON, _write_owner),
    "recipe": Parser(lambda: [b'name = "x"\nsteps = 5\nwidths = [8, 8]\nema = 0.5\n'], JSON, _recipe),
    "gates": Parser(lambda: [b'[[gate]]\nname = "linkage"\nmax = 0.5\ndatasets = ["lfw"]\n'], JSON, _gates),
    "safetensors": Parser(_tensor_seeds, [*BYTES, *JSON], _tensors),
    "onnx": Parser(lambda: [b"\x08\x07\x12\x04test:\x04\n\x00\x12\x00"], BYTES, _onnx),
    "dlib": Parser(lambda: [b"\x01\x01\x01\x02\x01\x44"], BYTES, _dlib),
    "registered.json": Parser(
        lambda: [b'{"yunet": {"file": "yunet.onnx", "sha256": "ab", "size": 3}}'], JSON, _register
    ),
    "key": Parser(lambda: [b"ab" * 32 + b"\n"], TEXT, _key),
    "cameras": Parser(
        lambda: [b"sequence\tcamera\nA\t1\nB,2\n"], TEXT, lambda data, folder: read_cameras(_file(data, folder / "c"))
    ),
    "keep": Parser(lambda: [b"# who\nAnn\n"], TEXT, lambda data, folder: read_kept(_file(data, folder / "k"))),
}
