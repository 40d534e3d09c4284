"""MOT17: rows that are people, boxes counted from 1, sequences shorter than they say."""

from __future__ import annotations

import configparser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Person, Photo
from dsanon.sources.mot import MotSource

NAMES = Names(b"n" * 32)
GT = "1,1,10,10,20,30,1,1,0.9\n2,1,11,10,20,30,1,1,0.9\n3,1,12,10,20,30,1,1,0.9\n9,1,13,10,20,30,1,1,0.9\n"
DET = "1,-1,10.5,10,20,30,0.7\n9,-1,10.5,10,20,30,0.7\n"
INFO = "[Sequence]\nname={}\nimDir=img1\nframeRate=30\nseqLength=600\nimWidth=64\nimHeight=48\nimExt=.jpg\n\n"


def sequence(
    root: Path, folder: str = "train/MOT17-02-FRCNN", gt: str | None = GT, frames: int = 3, det: str = DET
) -> Path:
    path = root / folder
    for name in ("img1", "gt", "det"):
        (path / name).mkdir(parents=True)
    for number in range(1, frames + 1):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / "img1" / f"{number:06d}.jpg")
    if gt is not None:
        (path / "gt" / "gt.txt").write_text(gt)
    (path / "det" / "det.txt").write_text(det)
    (path / "seqinfo.ini").write_text(INFO.format(path.name))
    return root


def people(root: Path, gt: str | None, det: str = "") -> list[Person]:
    return [p for s in MotSource(sequence(root, gt=gt, det=det)).samples() for p in s.people]


def test_samples(tmp_path: Path) -> None:
    source = MotSource(sequence(tmp_path))
    samples = source.samples()
    assert [sample.id for sample in samples] == [f"train/MOT17-02-FRCNN/img1/{n:06d}.jpg" for n in (1, 2, 3)]
    assert samples[1].people == (Person(subject="MOT17-02-FRCNN/1", body=(10.0, 9.0, 30.0, 39.0)),)
    assert {sample.sequence for sample in samples} == {"MOT17-02-FRCNN"}
    assert {sample.size for sample in samples} == {(64, 48)}
    assert all(isinstance(photo, Photo) for photo in source.read(samples))
    assert source.target(samples[0], NAMES) == samples[0].id
    assert [path.name for path in source.inputs()] == ["gt.txt", "det.txt", "seqinfo.ini"]


@pytest.mark.parametrize(("kind", "count"), [(n, n in (1, 2, 7, 8, 12, 13)) for n in range(1, 14)])
def test_which_classes_are_people(tmp_path: Path, kind: int, count: bool) -> None:
    assert len(people(tmp_path, f"1,4,10,10,20,30,0,{kind},0.5\n")) == count  # conf 0: not evaluated, yet there


def test_a_crowd_is_many(tmp_path: Path) -> None:
    assert people(tmp_path, "1,4,10,10,20,30,0,13,1\n") == [Person(body=(9, 9, 29, 39), many=True)]


@pytest.mark.parametrize(
    "row", ["1,4,10,10,20,30,1", "1,4,10,10,20,30,1,1", "1,4,10,10,20,30,1,-1,-1,-1", "1,4,10,10,20,30,1,3.1,12.5,0,"]
)
def test_fewer_columns_and_mot15(tmp_path: Path, row: str) -> None:
    assert people(tmp_path, f"\n{row}\r\n") == [Person(subject="MOT17-02-FRCNN/4", body=(9, 9, 29, 39))]


def test_boxes_end_at_the_border(tmp_path: Path) -> None:
    gt = "1,1,-9,-19,20,30,1,1,1\n1,2,60,40,5,5,1,1,1\n1,3,60,40,90,90,1,1,1\n1,4,66,10,20,20,1,1,0\n"
    assert [(person.subject, person.body) for person in people(tmp_path, gt)] == [
        ("MOT17-02-FRCNN/1", (0, 0, 10, 10)),
        ("MOT17-02-FRCNN/2", (59, 39, 64, 44)),
        ("MOT17-02-FRCNN/3", (59, 39, 64, 48)),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,1,10,10,20", "line 2 has 5 fields"),
        ("1,1,10,10,20,30,1,1,1,1,1", "line 2 has 11 fields"),
        ("1,1,10,10,x,30,1,1,1", "line 2 is '1,1,10,10,x"),
        ("1,1,10,10,nan,30,1,1,1", "line 2 is"),
        ("1.5,1,10,10,20,30,1,1,1", "line 2 is"),
        ("1,1,10,10,-20,30,1,1,1", "line 2: the box is -20 x 30"),
        ("1 1 2001 48 64 abc", "line 2 has 1 fields"),
        ("1,1,10,10,20,30,1,14,1", "line 2: class 14 is unknown"),
        ("1,1,10,10,20,30,1,0,1", "line 2: class 0 is unknown"),
        ("1,1,10,10,20,30,1,1.5,1", "line 2: class 1.5 is unknown"),
    ],
)
def test_bad_rows(tmp_path: Path, row: str, message: str) -> None:
    source = MotSource(sequence(tmp_path, gt=f"1,1,10,10,20,30,1,1,1\n{row}\n"))
    with pytest.raises(SourceError, match=rf"MOT17-02-FRCNN/gt/gt\.txt {message}"):
        source.samples()


def test_who_is_there_without_gt_are_the_public_detections_whatever_their_confidence(tmp_path: Path) -> None:
    det = "1,-1,10.5,10,20,30,-0.4\n1,-1,60,40,90,90,0.05,-1,-1,-1\n1,-1,66,10,20,20,1\n2,-1,1,1,0,9,1\n3,-1,1,1,5,9\n"
    assert people(tmp_path, None, det) == [
        Person(body=(9.5, 9, 29.5, 39), aside=True),
        Person(body=(59, 39, 64, 48), aside=True),
        Person(body=(0, 0, 5, 9), aside=True),
    ]
    source = MotSource(tmp_path)
    samples = source.samples()
    assert all(sample.bodies for sample in samples)
    assert "3 people are known from det.txt alone" in " ".join(source.publish(tmp_path / "out", samples, NAMES))


@pytest.mark.filterwarnings("error")
def test_a_detection_beyond_floating_point_is_somebody(tmp_path: Path) -> None:
    root = sequence(tmp_path, det="1,-1,0,0,1e308,1e308,1\n")
    (root / "train/MOT17-02-FRCNN/seqinfo.ini").unlink()
    assert len(MotSource(root).samples()[0].people) == 2


def test_a_detection_that_lies_in_nobody_annotated_is_somebody_too(tmp_path: Path) -> None:
    det = "1,-1,12,12,16,24,1\n1,-1,14,26,8,12,1\n1,-1,26,10,20,30,0.3\n2,-1,10,10,20,30,1\n"
    found = people(tmp_path, "1,4,10,10,20,30,1,1,1\n", det)
    assert [(person.subject, person.body) for person in found] == [
        ("MOT17-02-FRCNN/4", (9, 9, 29, 39)),
        (None, (13, 25, 21, 37)),  # a child before them
        (None, (25, 9, 45, 39)),
        (None, (9, 9, 29, 39)),  # a frame of which gt.txt says nothing
    ]


@pytest.mark.parametrize("gt", [None, ""])
def test_without_gt_and_detections_nothing_tells_of_bodies(tmp_path: Path, gt: str | None) -> None:
    assert not any(sample.bodies for sample in MotSource(sequence(tmp_path, gt=gt, det="")).samples())


def test_of_a_frame_without_a_row_nothing_is_known_but_by_detections(tmp_path: Path) -> None:
    gt = "1,1,10,10,20,30,1,1,1\n3,7,10,10,20,30,1,3,1\n"  # a car in the third
    root = sequence(tmp_path, gt=gt, det="")
    assert [sample.bodies for sample in MotSource(root).samples()] == [True, False, True]
    (root / "train/MOT17-02-FRCNN/det/det.txt").write_text(DET)
    assert [sample.bodies for sample in MotSource(root).samples()] == [True] * 3


@pytest.mark.parametrize("gt", [None, "1,1,10,10,20,30,1,1,1\n6,1,10,10,20,30,1,1,1\n"])
def test_detections_tell_of_the_frames_from_their_first_to_their_last(tmp_path: Path, gt: str | None) -> None:
    det = "2,-1,10.5,10,20,30,0.7\n4,-1,10.5,10,20,30,0.7\n"
    known = [sample.bodies for sample in MotSource(sequence(tmp_path, gt=gt, frames=6, det=det)).samples()]
    assert known == [bool(gt), True, True, True, False, bool(gt)]


def test_a_number_that_is_twice_in_a_frame_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gt\.txt line 2: 'MOT17-02-FRCNN/4' is in frame 1 twice"):
        people(tmp_path, "1,4,10,10,20,30,1,1,1\n1,4,40,10,20,30,1,1,1\n")


def test_minus_one_is_nobodys_number(tmp_path: Path) -> None:
    found = people(tmp_path, "1,-1,10,10,20,30,1,1,1\n1,-1,40,10,20,30,0,7,1\n")
    assert [person.subject for person in found] == [None, None]
    source = MotSource(tmp_path)
    assert "det.txt alone" not in " ".join(source.publish(tmp_path / "out", source.samples(), NAMES))


def test_images_that_are_counted_from_0_are_told(tmp_path: Path) -> None:
    """Each box would lie where its person is a frame later."""
    root = sequence(tmp_path, gt="1,4,10,10,20,30,1,1,1\n2,4,10,10,20,30,1,1,1\n3,4,10,10,20,30,1,1,1\n", det="")
    for number in (1, 2, 3):
        path = root / "train/MOT17-02-FRCNN/img1"
        (path / f"{number:06d}.jpg").rename(path / f"{number - 1:06d}.jpg")
    with pytest.raises(SourceError, match=r"gt\.txt counts frames from 1, img1 from 0"):
        MotSource(root).samples()


@pytest.mark.parametrize("file", ["gt/gt.txt", "det/det.txt"])
def test_rows_that_are_counted_from_0_are_told(tmp_path: Path, file: str) -> None:
    """Each box would lie where its person was a frame before, whatever the other file counts from."""
    root = sequence(tmp_path, gt="".join(f"{n},4,10,10,20,30,1,1,1\n" for n in (1, 2, 3)))
    assert len(MotSource(root).samples()) == 3
    (root / "train/MOT17-02-FRCNN" / file).write_text("".join(f"{n},4,10,10,20,30,1\n" for n in (0, 1, 2)))
    with pytest.raises(SourceError, match=rf"{file} counts frames from 0, img1 from 1: .* renumber its rows"):
        MotSource(root).samples()
    path = root / "train/MOT17-02-FRCNN/img1"
    for number in (1, 2, 3):
        (path / f"{number:06d}.jpg").rename(path / f"{number - 1:06d}.jpg")
    other = "det/det.txt" if file == "gt/gt.txt" else "gt/gt.txt"  # which is right no more
    with pytest.raises(SourceError, match=rf"{other} counts frames from 1, img1 from 0"):
        MotSource(root).samples()


def test_detections_of_other_frames_alone_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"det\.txt has no row of any frame in img1"):
        MotSource(sequence(tmp_path, det="9,-1,10,10,20,30,1\n")).samples()


def test_bad_detections_and_frames(tmp_path: Path) -> None:
    root = sequence(tmp_path)
    (root / "train/MOT17-02-FRCNN/det/det.txt").write_text("Aaron Eckhart\n")
    with pytest.raises(SourceError, match=r"det\.txt line 1"):
        MotSource(root).samples()
    (root / "train/MOT17-02-FRCNN/det/det.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match=r"det\.txt cannot be read"):
        MotSource(root).samples()
    (root / "train/MOT17-02-FRCNN/det/det.txt").unlink()
    (root / "train/MOT17-02-FRCNN/gt/gt.txt").write_text("100,1,10,10,20,30,1,1,1\n")
    with pytest.raises(SourceError, match="no row of any frame"):
        MotSource(root).samples()
    (root / "train/MOT17-02-FRCNN/gt/gt.txt").unlink()
    (root / "train/MOT17-02-FRCNN/det/det.txt").write_text("100,-1,10,10,20,30,1\n")
    with pytest.raises(SourceError, match=r"det\.txt has no row of any frame"):
        MotSource(root).samples()


def test_folders_that_are_no_mot(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="SEQUENCE/img1"):
        MotSource(tmp_path)
    (tmp_path / "S" / "img1").mkdir(parents=True)
    with pytest.raises(SourceError, match="no frame in"):
        MotSource(tmp_path).samples()


def test_train_and_test_may_share_names(tmp_path: Path) -> None:
    sequence(sequence(tmp_path, "train/01"), "test/01", gt=None)
    samples = MotSource(tmp_path).samples()
    assert {sample.sequence for sample in samples} == {"train/01", "test/01"}
    assert {person.subject for sample in samples for person in sample.people} == {"train/01/1", None}


def test_frames_come_by_their_numbers(tmp_path: Path) -> None:
    for folder in ("train/B", "train/A"):
        for path in (sequence(tmp_path, folder, frames=12) / folder / "img1").iterdir():
            path.rename(path.with_name(f"{int(path.stem)}.jpg"))
    source = MotSource(tmp_path)
    samples = source.samples()
    assert [sample.id for sample in samples] == [f"train/{s}/img1/{n}.jpg" for s in "AB" for n in range(1, 13)]
    assert [source.target(sample, NAMES) for sample in samples] == [sample.id for sample in samples]
    assert [sample.time for sample in samples] == [n / 30 for _ in "AB" for n in range(1, 13)]
    assert [len(sample.people) for sample in samples[:4]] == [1, 1, 1, 0]


def test_a_release_has_the_rows_of_its_frames(tmp_path: Path) -> None:
    root = sequence(tmp_path / "in")
    (root / "train" / "notes.txt").write_text("Aaron")
    source = MotSource(root)
    samples = source.samples()
    sentences = source.publish(tmp_path / "out", samples[:2], NAMES)
    folder = tmp_path / "out" / "train" / "MOT17-02-FRCNN"
    assert (folder / "gt" / "gt.txt").read_text() == "".join(GT.splitlines(keepends=True)[:2])
    assert (folder / "det" / "det.txt").read_text() == DET.splitlines(keepends=True)[0]
    assert (folder / "seqinfo.ini").read_text().strip() == INFO.format(folder.name).replace("600", "2").strip()
    told = " ".join(sentences)
    assert "3 rows" in told
    assert "seqLength" in told
    assert "1 other files" in told
    assert "Aaron" not in told


@pytest.mark.parametrize("name", ["Jane_Doe", "07.Jane_Doe", "Jane.02", "\u091c\u0947\u0928"])
def test_a_sequence_that_may_be_named_for_somebody_is_released_under_a_token(tmp_path: Path, name: str) -> None:
    source = MotSource(sequence(tmp_path / "in", folder=f"train/{name}"))
    samples = source.samples()
    sentences = source.publish(tmp_path / "out", samples, NAMES)
    targets = [source.target(sample, NAMES) for sample in samples]
    (folder,) = {target.rsplit("/", 2)[0] for target in targets}
    written = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")]
    assert sorted(written) == [f"{folder}/det/det.txt", f"{folder}/gt/gt.txt", f"{folder}/seqinfo.ini"]
    everything = "".join([*targets, *sentences, *(path.read_text() for path in (tmp_path / "out").rglob("*.*"))])
    assert "Jane" not in everything
    assert name not in everything
    assert "The names of 1 sequences" in everything
    assert f"name={folder.split('/')[1]}" in everything


def test_seqinfo_says_no_more_than_numbers(tmp_path: Path) -> None:
    root = sequence(tmp_path / "in")
    info = root / "train/MOT17-02-FRCNN/seqinfo.ini"
    info.write_text(info.read_text().replace("imExt=.jpg", "imExt=.jpg ; filmed by Jane Doe\nowner=Jane"))
    source = MotSource(root)
    source.publish(tmp_path / "out", source.samples(), NAMES)
    said = (tmp_path / "out/train/MOT17-02-FRCNN/seqinfo.ini").read_text().split()
    expected = "name=MOT17-02-FRCNN imDir=img1 frameRate=30 seqLength=3 imWidth=64 imHeight=48"
    assert said == ["[Sequence]", *expected.split()]


def test_real_data_round_trip(shared: Path, tmp_path: Path) -> None:
    source = MotSource(shared / "data" / "mot17")
    samples = source.samples()
    assert len(samples) == 12
    with source.sink(tmp_path, NAMES) as sink:
        for sample, photo in zip(samples[:4], source.read(samples[:4]), strict=True):
            assert isinstance(photo, Photo)
            sink.write(sample, photo)
        assert len(sink.close()) == 4
    told = " ".join(source.publish(tmp_path, samples, NAMES))
    assert "rows of annotation files" in told
    assert "other files" not in told
    for name, length in {"MOT17-02-FRCNN": 4, "MOT17-04-FRCNN": 8}.items():
        parser = configparser.ConfigParser()
        parser.read(tmp_path / "train" / name / "seqinfo.ini")
        assert int(parser["Sequence"]["seqLength"]) == length
        old = np.loadtxt(source.root / "train" / name / "gt" / "gt.txt", delimiter=",")
        new = np.loadtxt(tmp_path / "train" / name / "gt" / "gt.txt", delimiter=",")
        assert np.array_equal(new, old[old[:, 0] <= length])
        listed = {int(row[0]) for row in new}
        assert listed == set(range(1, length + 1))
        pedestrians = new[(new[:, 0] == 1) & (new[:, 7] == 1)]
        first = next(sample for sample in samples if sample.sequence == name)
        known = {person.subject: person.body for person in first.people}
        for _, number, x, y, width, height, *_ in pedestrians.tolist():
            box = np.clip([x - 1, y - 1, x - 1 + width, y - 1 + height], 0, [1920, 1080, 1920, 1080])
            assert known[f"{name}/{int(number)}"] == tuple(box)
