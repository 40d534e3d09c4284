"""Names in any spelling, captions and links, and hashes in any form; and what is none of these."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsanon_eval.leaks.hashes import collect, digests_of, in_bytes
from dsanon_eval.leaks.manifest import follows, runs_along
from dsanon_eval.leaks.names import gather, in_path, in_text, same_identities

LFW = [
    "lfw-deepfunneled/Aaron_Eckhart/Aaron_Eckhart_0001.jpg",
    "lfw-deepfunneled/Al_Card/Al_Card_0001.jpg",
    "pairs.txt",
]
TOKEN = "p0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"data/lfw-deepfunneled/{TOKEN}/{TOKEN}_0001.jpg", False),
        ("data/pairs.txt", False),
        ("CARD.md", False),
        ("data/lfw-deepfunneled/Aaron_Eckhart/x.jpg", True),
        ("data/aaron-eckhart.jpg", True),
        ("data/AARON%20ECKHART/x.jpg", True),
        ("data/x/Eckhart_0001.jpg", True),
        ("data/x/al_card_0001.jpg", True),
        ("data/x/Eckharts.jpg", False),
    ],
)
def test_paths(tmp_path: Path, path: str, told: bool) -> None:
    words = gather("lfw", tmp_path, LFW, ["Aaron_Eckhart", "Al_Card"])
    assert bool(in_path(words, path)) == told


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("data/pairs.txt", f"10\t300\n{TOKEN}\t1\t4\n", False),
        ("data/pairs.txt", "Aaron_Eckhart\t1\t4\n", True),
        ("data/notes.csv", "who\n'Eckhart'\n", True),
        ("CARD.md", "This card says aaron. The weights of Eckhart's law.", False),
        ("CARD.md", "Aaron\nEckhart is not one name over two lines", False),
        ("CARD.md", "(Aaron  Eckhart)", True),
        ("release.json", '{"by": "aaron.eckhart@example.org"}', True),
        ("release.json", '{"by": "\\u0041aron Eckhart"}', True),
    ],
)
def test_texts(tmp_path: Path, name: str, text: str, told: bool) -> None:
    words = gather("lfw", tmp_path, LFW, ["Aaron_Eckhart", "Al_Card"])
    path = tmp_path / Path(name).name
    path.write_text(text)
    assert bool(in_text(words, path, name)) == told


def test_a_suffix_is_no_name(tmp_path: Path) -> None:
    words = gather("folder", tmp_path, ["Aunt Mary/mary.tiff", "Aunt Mary/mary.webp"], [])
    assert in_path(words, f"data/{TOKEN}/{TOKEN}.tiff") == in_path(words, f"data/{TOKEN}/{TOKEN}.webp") == []
    assert in_path(words, f"data/{TOKEN}/mary.tiff") != []


def test_a_sequences_name_is_one_unless_it_is_plain(tmp_path: Path) -> None:
    words = gather("mot", tmp_path, ["train/Jane_Doe/img1/000001.jpg", "train/MOT17-02-FRCNN/gt/gt.txt"], [])
    assert in_path(words, "data/train/Jane_Doe/img1/000001.jpg")
    assert not in_path(words, "data/train/MOT17-02-FRCNN/img1/000001.jpg")


def test_prose_of_dsanon_is_no_file_name(tmp_path: Path) -> None:
    words = gather("folder", tmp_path, ["image 1.jpg", "faces/source image.jpg", "img_0417.jpg"], [])
    path = tmp_path / "CARD.md"
    path.write_text("The source image, image 1, shows faces.")
    assert in_text(words, path, "CARD.md") == []
    assert in_text(words, path, "data/CARD.txt") != []
    path.write_text("Made of img_0417.jpg.")
    assert in_text(words, path, "CARD.md") != []
    path.write_text("Will Young")
    assert in_text(gather("lfw", tmp_path, LFW, ["Will_Young"]), path, "CARD.md") != []


def test_a_name_across_the_border_of_two_pieces(tmp_path: Path) -> None:
    words = gather("lfw", tmp_path, LFW, [])
    path = tmp_path / "long.txt"
    path.write_text("1\n" * ((1 << 19) - 3) + "Aaron_Eckhart\n" + "2\n" * 9)
    assert in_text(words, path, "data/long.txt")


def test_names_in_a_table_and_in_its_metadata(tmp_path: Path) -> None:
    words = gather("folder", tmp_path / "a" / "source", ["Ann Example/ann 0.jpg"], [])
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": ["fine"]}), path)
    assert in_text(words, path, "manifest.parquet") == []
    pq.write_table(pa.table({"x": ["fine", "Ann Example"]}), path)
    assert "name" in in_text(words, path, "manifest.parquet")[0]
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({"from": str(tmp_path / "a" / "source")}), path)
    assert "where the source lies" in in_text(words, path, "manifest.parquet")[0]


def test_captions_and_links_of_coco(tmp_path: Path) -> None:
    source = {
        "info": {"description": "COCO 2017 Dataset", "contributor": "Ann Example"},
        "images": [{"id": 1, "file_name": "000000000001.jpg", "flickr_url": "http://example.org/1"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": 'Ann says "hé"'}, {"id": 2, "caption": "a photo"}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps(source))
    words = gather("coco", tmp_path, ["val2017/000000000001.jpg"], [])
    path = tmp_path / "released.json"

    def told(content: object, **options: bool) -> list[str]:
        path.write_text(json.dumps(content, **options))
        return [part.split()[2] for part in in_text(words, path, "data/annotations/captions_val2017.json")]

    public = {"info": {"description": "COCO 2017 Dataset"}, "images": [{"file_name": "000000000001.jpg"}]}
    assert told(public | {"annotations": [{"caption": "a photo"}]}) == []
    assert told({"caption": 'Ann says "hé"'}) == told({"caption": 'Ann says "hé"'}, ensure_ascii=False) == ["a"]
    assert told({"x": "http://example.org/1"}) == told({"by": "Ann Example"}) == ["a"]
    assert told({"images": [{"flickr_url": "elsewhere"}]}) == ["links"]


def test_identity_numbers_that_came_through(tmp_path: Path) -> None:
    (tmp_path / "release" / "data").mkdir(parents=True)
    rows = {f"{number:06d}.jpg": number // 3 for number in range(1, 60)}
    for folder, shift in ((tmp_path, 0), (tmp_path / "release" / "data", 100)):
        lines = "".join(f"{file} {identity + shift}\n" for file, identity in rows.items())
        (folder / "identity_CelebA.txt").write_text(lines)
    assert not same_identities(tmp_path, tmp_path / "release")
    (tmp_path / "release" / "data" / "identity_CelebA.txt").write_bytes((tmp_path / "identity_CelebA.txt").read_bytes())
    assert same_identities(tmp_path, tmp_path / "release")


def test_hashes_in_any_form(tmp_path: Path) -> None:
    path, empty, other = (tmp_path / name for name in ("a", "empty", "other"))
    path.write_bytes(b"a photo")
    empty.write_bytes(b"")
    other.write_bytes(b"a wall")
    rows = [digests_of(file) for file in (path, empty, other, tmp_path / "missing")]
    wall = hashlib.sha256(b"a wall")
    digests = collect(rows, frozenset({wall.hexdigest()}))
    for each in (hashlib.sha256, hashlib.sha1, hashlib.md5):
        digest = each(b"a photo")
        for text in (
            digest.hexdigest(),
            digest.hexdigest().upper(),
            digest.hexdigest()[:16],
            "abc" + digest.hexdigest(),
        ):
            assert in_bytes(digests, b"x: " + text.encode() + b"\n")
        assert not in_bytes(digests, digest.hexdigest()[:15].encode())
        for shift in range(8):
            assert in_bytes(digests, b"x" * shift + digest.digest() + b"y")
    assert not in_bytes(digests, wall.hexdigest().encode())  # it is released as it was, for nobody is in it
    assert not in_bytes(digests, hashlib.sha256(b"").hexdigest().encode())
    assert not in_bytes(collect([]), hashlib.sha256(b"").digest())


def test_an_order_that_is_no_chance() -> None:
    assert follows(range(12), range(12))
    assert follows(range(12), range(11, -1, -1))
    assert not follows(range(11), range(11))
    assert not follows([5] * 40, range(40))
    keyed = sorted(range(500), key=lambda number: hashlib.sha256(bytes([number % 256, number // 256])).digest())
    assert not follows(keyed, range(500))
    assert follows([number + keyed[number] // 4 for number in range(500)], range(500))


def test_few_large_folders_in_order_are_chance() -> None:
    order = sorted(range(200), key=lambda number: hashlib.sha256(bytes([number])).digest())
    place = {f"{folder}/{number}": 1000 * (folder == "b") + number for folder in "ab" for number in range(200)}
    keyed = {file: 1000 * (file[0] == "b") + order[int(file[2:])] for file in place}
    assert follows([keyed[file] for file in place], [place[file] for file in place])
    assert not runs_along(keyed, place)
    assert runs_along(place, place)
    assert not runs_along(dict.fromkeys(place, 7), place)


def test_many_small_folders_in_order_are_none() -> None:
    place = {f"p{folder}/p{folder}_000{number}": 10 * folder + number for folder in range(40) for number in (1, 2, 3)}
    numbers = {file: int(file[-1]) for file in place}
    assert runs_along(numbers, place)
    turned = {file: (number if int(file[1 : file.index("/")]) % 2 else 4 - number) for file, number in numbers.items()}
    folders = sorted(range(40), key=lambda number: hashlib.sha256(bytes([number])).digest())
    shuffled = {file: 10 * folders[where // 10] + where % 10 for file, where in place.items()}
    assert not runs_along(turned, shuffled)
