"""CelebA in both layouts; its lists come out in their own formats with other identity numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_scans import scanned

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Sample
from dsanon.sources import open_source
from dsanon.sources.celeba import COLUMNS, CelebaSource, head_box, public_header

NAMES = Names(b"c" * 32)
LANDMARKS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
IMAGES = ("000001", "000002", "000007", "000010")
IDENTITIES = (2880, 2937, 2880, 10177)


def make(root: Path, official: bool = False, size: tuple[int, int] = (178, 218)) -> Path:
    images, anno, evaluation = (
        (root / "Img/img_align_celeba", root / "Anno", root / "Eval")
        if official
        else (root / "img_align_celeba", root, root)
    )
    for folder in (images, anno, evaluation):
        folder.mkdir(parents=True, exist_ok=True)
    for stem in IMAGES:
        Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(images / f"{stem}.jpg")
    (anno / "identity_CelebA.txt").write_text(
        "".join(f"{stem}.jpg {who}\n" for stem, who in zip(IMAGES, IDENTITIES, strict=True))
    )
    (evaluation / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 1\n000007.jpg 2\n")
    (anno / "list_landmarks_align_celeba.txt").write_text(
        f"2\n{LANDMARKS}\n000001.jpg  69  109  106  113   77  142   73  152  108  154\n"
        "000002.jpg 106  113   69  109   77  142  108  154   73  152\n"  # left and right exchanged
    )
    (anno / "list_bbox_celeba.txt").write_text(
        "2\nimage_id x_1 y_1 width height\n000001.jpg    95  71 226 313\n000010.jpg    10  20  30  40\n"
    )
    (anno / "list_attr_celeba.txt").write_text(
        "4\nBig_Nose Male Young \n" + "".join(f"{stem}.jpg -1  1  1\n" for stem in IMAGES)
    )
    return root


def by_file(source: CelebaSource) -> dict[str, Sample]:
    return {sample.file: sample for sample in source.samples()}


@pytest.mark.parametrize("official", [False, True])
def test_samples_of_both_layouts(tmp_path: Path, official: bool) -> None:
    source = CelebaSource(make(tmp_path, official))
    samples = source.samples()
    prefix = "Img/img_align_celeba/" if official else "img_align_celeba/"
    assert [sample.id for sample in samples] == [f"{prefix}{stem}.jpg" for stem in IMAGES]
    assert [sample.people[0].subject for sample in samples] == [str(who) for who in IDENTITIES]
    assert all(sample.someone and sample.problem is None for sample in samples)
    assert len(source.inputs()) == 5
    assert isinstance(open_source("celeba", tmp_path), CelebaSource)


def test_points_are_ordered_as_the_viewer_sees_them(tmp_path: Path) -> None:
    one, two, three, _ = CelebaSource(make(tmp_path)).samples()
    expected = ((69, 109), (106, 113), (77, 142), (73, 152), (108, 154))
    assert one.people[0].points == expected
    assert two.people[0].points == expected
    assert three.people[0].points == ()
    assert (one.size, three.size) == ((178, 218), None)
    assert one.people[0].head == head_box(expected)


def test_head_box_of_an_upright_face() -> None:
    # eyes 40 apart at y 100, mouth at y 140: unit 40 around (50, 120)
    assert head_box(((30, 100), (70, 100), (50, 120), (35, 140), (65, 140))) == pytest.approx((-18, 38, 118, 188))


def test_head_box_follows_a_tilted_or_turned_face() -> None:
    upright = ((30.0, 100.0), (70.0, 100.0), (50.0, 120.0), (35.0, 140.0), (65.0, 140.0))
    lying = tuple((120 - (y - 120), x) for x, y in upright)  # by 90 degrees, around the middle
    x0, y0, x1, y1 = head_box(lying)
    assert (x1 - x0, y1 - y0) == pytest.approx((150, 136))
    profile = ((50.0, 100.0), (54.0, 100.0), (40.0, 120.0), (50.0, 140.0), (54.0, 140.0))
    x0, _, x1, _ = head_box(profile)
    assert x1 - x0 == pytest.approx(136)  # eyes close together do not make a narrow head
    assert head_box(((5.0, 5.0),) * 5) == (5, 5, 5, 5)


def test_aligned_images_without_a_row_have_celeba_s_alignment(tmp_path: Path) -> None:
    make(tmp_path)
    sample = by_file(CelebaSource(tmp_path))["img_align_celeba/000010.jpg"]
    head = sample.people[0].head_share
    assert head is not None
    assert np.multiply(head, (178, 218, 178, 218)) == pytest.approx((22.4, 51.8, 155.6, 198.8), abs=1)
    assert not sample.located
    assert sample.people[0].points == ()


def test_resized_images_scale_the_prior_but_contradict_landmarks(tmp_path: Path) -> None:
    make(tmp_path, size=(89, 109))
    with pytest.raises(SourceError, match=r"has 89x109 pixels, but list_landmarks_align_celeba\.txt is for 178x218"):
        CelebaSource(tmp_path).samples()
    (tmp_path / "list_landmarks_align_celeba.txt").unlink()
    sample = CelebaSource(tmp_path).samples()[0]
    head = sample.people[0].head_share
    assert head is not None
    assert np.multiply(head, (89, 109, 89, 109)) == pytest.approx((11.2, 25.9, 77.8, 99.4), abs=1)


def test_images_in_the_wild(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "img_celeba").mkdir()
    for stem in ("000001", "000002", "000010"):
        Image.new("RGB", (400, 400)).save(tmp_path / f"img_celeba/{stem}.jpg")
    (tmp_path / "list_landmarks_celeba.txt").write_text(
        f"1\n{LANDMARKS}\n000001.jpg 165 184 244 176 196 249 194 271 266 260\n"
    )
    samples = by_file(CelebaSource(tmp_path))
    assert len(samples) == 7
    wild = samples["img_celeba/000001.jpg"].people[0]
    assert wild.points[0] == (165, 184)
    assert wild.subject == "2880"
    assert samples["img_celeba/000001.jpg"].size is None
    assert samples["img_celeba/000010.jpg"].people[0].head == (10, 20, 40, 60)
    assert samples["img_celeba/000002.jpg"].people[0].head is None
    assert samples["img_align_celeba/000001.jpg"].people[0].points[0] == (69, 109)


@pytest.mark.parametrize("official", [False, True])
def test_publish_keeps_the_rows_of_released_images(tmp_path: Path, official: bool) -> None:
    source = CelebaSource(make(tmp_path / "source", official))
    data = tmp_path / "data"
    released = [sample for sample in source.samples() if "000002" not in sample.file]
    sentences = source.publish(data, released, NAMES)
    anno, evaluation = (data / "Anno", data / "Eval") if official else (data, data)
    assert (evaluation / "list_eval_partition.txt").read_text() == "000001.jpg 0\n000007.jpg 2\n"
    assert (anno / "list_landmarks_align_celeba.txt").read_text() == (
        f"1\n{LANDMARKS}\n000001.jpg  69  109  106  113   77  142   73  152  108  154\n"
    )
    assert (anno / "list_bbox_celeba.txt").read_text() == (
        "2\nimage_id x_1 y_1 width height\n000001.jpg    95  71 226 313\n000010.jpg    10  20  30  40\n"
    )
    assert (anno / "list_attr_celeba.txt").read_text().splitlines()[:3] == [
        "3",
        "Big_Nose Male Young",
        "000001.jpg -1  1  1",
    ]
    rows = [line.split(" ") for line in (anno / "identity_CelebA.txt").read_text().splitlines()]
    assert [row[0] for row in rows] == ["000001.jpg", "000007.jpg", "000010.jpg"]
    one, two, three = (int(row[1]) for row in rows)
    assert one == two != three
    assert all(1 <= number <= 10177 for number in (one, two, three))
    assert any("list_attr_celeba.txt describes the original faces" in sentence for sentence in sentences)
    assert any("identity_CelebA.txt: 3 of 4 rows" in sentence for sentence in sentences)


def test_names_in_lists_are_celebas_or_none(tmp_path: Path) -> None:
    root = make(tmp_path / "source")
    (root / "list_attr_celeba.txt").write_text("1\nIs_Jane_Doe Male\tJane \n 000001.jpg 1  -1 +1\n")
    (root / "list_bbox_celeba.txt").write_text("1\nJane x_1 y_1 width height\n000001.JPG    95  71 226 1_0\n")
    source = CelebaSource(root)
    sentences = source.publish(tmp_path / "data", source.samples(), NAMES)
    assert (
        tmp_path / "data/list_attr_celeba.txt"
    ).read_text() == "1\nattribute_1 Male attribute_3\n000001.jpg 1 -1 1\n"
    assert (tmp_path / "data/list_bbox_celeba.txt").read_text() == (
        "1\nattribute_1 x_1 y_1 width height\n000001.JPG 95 71 226 10\n"
    )
    told = [sentence for sentence in sentences if "columns whose names are not CelebA's" in sentence]
    assert [sentence.split(" columns")[0] for sentence in told] == [
        "list_bbox_celeba.txt: 1",
        "list_attr_celeba.txt: 2",
    ]


def test_every_column_of_celeba_keeps_its_name() -> None:
    assert len(COLUMNS) == 40 + 10 + 5
    assert public_header(f"{LANDMARKS} ") == (LANDMARKS, 0)


def test_identity_numbers_are_a_keyed_bijection(tmp_path: Path) -> None:
    make(tmp_path / "source")
    people = list(range(1, 400))
    (tmp_path / "source/identity_CelebA.txt").write_text("".join(f"{who:06d}.jpg {who}\n" for who in people))
    source = CelebaSource(tmp_path / "source")
    samples = [Sample(f"{who:06d}", f"img_align_celeba/{who:06d}.jpg") for who in people]

    def numbers(key: bytes) -> list[int]:
        source.publish(tmp_path / "data", samples, Names(key * 32))
        return [int(line.split()[1]) for line in (tmp_path / "data/identity_CelebA.txt").read_text().splitlines()]

    first, again, other = numbers(b"1"), numbers(b"1"), numbers(b"2")
    assert first == again
    assert first != other
    assert len(set(first)) == len(people)
    assert sum(new == old for new, old in zip(first, people, strict=True)) < 5
    assert max(first) > 5000  # over all of CelebA's numbers, not only those that are here


def test_targets_keep_numbers_and_hide_other_names(tmp_path: Path) -> None:
    make(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "img_align_celeba/Jane_Doe.jpg")
    (tmp_path / "img_align_celeba/000011.jpg").symlink_to(tmp_path / "img_align_celeba/000001.jpg")
    source = CelebaSource(tmp_path)
    samples = by_file(source)
    assert source.target(samples["img_align_celeba/000001.jpg"], NAMES) == "img_align_celeba/000001.jpg"
    jane = samples["img_align_celeba/Jane_Doe.jpg"]
    assert jane.problem is not None
    assert re.fullmatch(r"p[0-9a-f]{16}\.jpg", source.target(jane, NAMES))
    assert "symbolic link" in str(samples["img_align_celeba/000011.jpg"].problem)


def test_files_of_the_source_that_are_not_copied_are_counted(tmp_path: Path) -> None:
    make(tmp_path / "source")
    (tmp_path / "source/README.txt").touch()
    Image.new("RGB", (8, 8)).save(tmp_path / "source/poster.jpg")
    source = CelebaSource(tmp_path / "source")
    assert "2 other files of the source were not copied." in source.publish(tmp_path, source.samples(), NAMES)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("identity_CelebA.txt", "000001.jpg 1\n000002.jpg\n", "identity_CelebA.txt line 2"),
        ("identity_CelebA.txt", "000001.jpg one\n", "identity_CelebA.txt line 1"),
        ("identity_CelebA.txt", "000001.jpg 0\n", "identity 0: expected 1 or more"),
        ("identity_CelebA.txt", "000001.jpg 1\n000001.jpg 2\n", "line 2: '000001.jpg' has a row already"),
        ("identity_CelebA.txt", "Jane/000001.jpg 1\n", "identity_CelebA.txt line 1"),
        ("list_eval_partition.txt", "000001.JaneDoe 0\n", "line 1: .*expected 000001.jpg and 1 whole numbers"),
        ("list_eval_partition.txt", "000001.jpg 0 0\n", "list_eval_partition.txt line 1"),
        ("list_landmarks_align_celeba.txt", f"1\n{LANDMARKS}\n000001.jpg 1 2 3\n", "line 3: .* 10 whole numbers"),
        ("list_landmarks_align_celeba.txt", "000001.jpg 1 2 3\n", "line 1: .*expected the number of images"),
        ("list_attr_celeba.txt", "1\nMale Young\n000001.jpg 1\n", "line 3: .* 2 whole numbers"),
        ("list_bbox_celeba.txt", "", "list_bbox_celeba.txt line 1"),
    ],
)
def test_malformed_lists(tmp_path: Path, file: str, content: str, message: str) -> None:
    make(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(SourceError, match=message):
        CelebaSource(tmp_path).samples()


def test_windows_line_ends_and_any_subset_of_lists(tmp_path: Path) -> None:
    make(tmp_path)
    for path in tmp_path.glob("list_*.txt"):
        path.unlink()
    text = (tmp_path / "identity_CelebA.txt").read_text()
    (tmp_path / "identity_CelebA.txt").write_bytes(text.replace("\n", "\r\n").encode())
    samples = CelebaSource(tmp_path).samples()
    assert [sample.people[0].subject for sample in samples] == [str(who) for who in IDENTITIES]
    (tmp_path / "identity_CelebA.txt").unlink()
    assert CelebaSource(tmp_path).samples()[0].people[0].subject is None


def test_wrong_or_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no img_align_celeba/"):
        CelebaSource(tmp_path)
    (tmp_path / "img_align_celeba").mkdir()
    with pytest.raises(SourceError, match="no image in img_align_celeba/"):
        CelebaSource(tmp_path).samples()
    for name in ("000001.jpg", "000001.JPG"):
        Image.new("RGB", (178, 218)).save(tmp_path / "img_align_celeba" / name, "JPEG")
    with pytest.raises(SourceError, match="differ only by case"):
        CelebaSource(tmp_path).samples()


def test_the_real_celeba(shared: Path, tmp_path: Path) -> None:
    source = CelebaSource(shared / "data/celeba")
    samples = scanned(source, 5736)
    assert all(len(sample.people[0].points) == 5 for sample in samples)
    assert len({sample.people[0].subject for sample in samples}) == 278
    source.publish(tmp_path, samples, NAMES)
    for name in ("list_eval_partition.txt", "list_landmarks_align_celeba.txt"):
        assert (tmp_path / name).read_bytes() == (source.root / name).read_bytes()
    old, new = (
        [line.split()[1] for line in (root / "identity_CelebA.txt").read_text().splitlines()]
        for root in (source.root, tmp_path)
    )
    assert len(set(zip(old, new, strict=True))) == 278
    assert len(set(new)) == 278
