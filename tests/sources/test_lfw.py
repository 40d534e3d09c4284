"""LFW comes out under pseudonyms and still works with the readers that people use."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_scans import scanned

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.regions import NO_FACE, assemble
from dsanon.sample import Unreadable
from dsanon.sources import open_source
from dsanon.sources.lfw import LfwSource, pairs_people, parse_pairs

NAMES = Names(b"l" * 32)
PEOPLE = {"Ann_Ax": 4, "Bob_By": 3, "Cy_Cod": 2, "Di_Day": 1, "Ed_Eel": 2, "Flo_Fox": 3}
PAIRS = [
    "2\t2",
    "Ann_Ax\t1\t4",
    "Bob_By\t1\t2",
    "Ann_Ax\t1\tBob_By\t3",
    "Bob_By\t2\tAnn_Ax\t2",
    "Cy_Cod\t1\t2",
    "Flo_Fox\t1\t3",
    "Di_Day\t1\tCy_Cod\t2",
    "Ed_Eel\t2\tFlo_Fox\t1",
]
PEOPLE_LINES = ["2", "2", "Ann_Ax\t4", "Bob_By\t3", "4", "Cy_Cod\t2", "Di_Day\t1", "Ed_Eel\t2", "Flo_Fox\t3"]


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


def make(root: Path, folder: str = "lfw_funneled") -> Path:
    """Six people; the colour of an image tells person and number."""
    for who, (name, count) in enumerate(PEOPLE.items()):
        (root / folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            image = np.full((250, 250, 3), (40 * who, 50 * number, 0), np.uint8)
            Image.fromarray(image).save(root / folder / name / f"{name}_{number:04d}.jpg")
    write(root / "pairs.txt", PAIRS)
    write(root / "people.txt", PEOPLE_LINES)
    write(root / "pairsDevTest.txt", ["1", "Cy_Cod\t1\t2", "Cy_Cod\t1\tDi_Day\t1"])
    write(root / "peopleDevTest.txt", ["2", "Cy_Cod\t2", "Di_Day\t1"])
    return root


def release(root: Path, data: Path, skip: tuple[str, ...] = (), names: Names = NAMES) -> list[str]:
    """Copies the photos and publishes, as the job does; files that end like ``skip`` are quarantined."""
    source = LfwSource(root)
    samples = source.samples()
    released = []
    with source.sink(data, names) as sink:
        for sample, photo in zip(samples, source.read(samples), strict=True):
            if isinstance(photo, Unreadable) or sample.file.endswith(skip or ("\0",)):
                sink.write(sample, None)
            else:
                sink.write(sample, photo)
                released.append(sample)
    return source.publish(data, released, names)


def colour(path: Path) -> tuple[int, int]:
    """(person, number) that an image of ``make`` shows."""
    red, green, _ = np.array(Image.open(path)).mean(axis=(0, 1))
    return round(red / 40), round(green / 50)


def read_like_facenet(data: Path, folder: str) -> tuple[list[tuple[Path, Path]], list[bool]]:
    """lfw.read_pairs and lfw.get_paths: the header is skipped, three fields are one person, four are two."""
    lines = (data / "pairs.txt").read_text().splitlines()[1:]
    paths, same = [], []
    for pair in [line.strip().split() for line in lines]:
        if len(pair) == 3:
            names, numbers = (pair[0], pair[0]), pair[1:]
        else:
            assert len(pair) == 4
            names, numbers = (pair[0], pair[2]), [pair[1], pair[3]]
        first, second = (data / folder / n / f"{n}_{int(i):04d}.jpg" for n, i in zip(names, numbers, strict=True))
        if first.exists() and second.exists():
            paths.append((first, second))
            same.append(len(pair) == 3)
    return paths, same


def test_samples(tmp_path: Path) -> None:
    source = LfwSource(make(tmp_path))
    samples = source.samples()
    assert [sample.id for sample in samples] == sorted(sample.id for sample in samples)
    assert len(samples) == sum(PEOPLE.values())
    first = samples[0]
    assert first.id == first.file == "lfw_funneled/Ann_Ax/Ann_Ax_0001.jpg"
    assert first.someone
    assert [person.subject for person in first.people] == ["Ann_Ax"]
    assert first.people[0].head_share == (0.16, 0.144, 0.84, 0.896)
    assert first.size is None
    assert {path.name for path in source.inputs()} == {
        "pairs.txt",
        "people.txt",
        "pairsDevTest.txt",
        "peopleDevTest.txt",
    }
    assert isinstance(open_source("lfw", tmp_path), LfwSource)


def test_the_head_follows_the_size_of_the_image(tmp_path: Path) -> None:
    first = LfwSource(make(tmp_path)).samples()[0]
    for width, height, head in ((250, 250, (40, 36, 210, 224)), (125, 500, (20, 72, 105, 448))):
        (missed,) = assemble(first, [], width, height, "face")
        assert missed.reason == NO_FACE
        assert missed.box == pytest.approx(head)


def test_no_picture_is_opened_to_list_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(Image, "open", refused)
    assert len(LfwSource(tmp_path).samples()) == sum(PEOPLE.values())


def test_the_folder_of_people_alone_will_do(tmp_path: Path) -> None:
    samples = LfwSource(make(tmp_path) / "lfw_funneled").samples()
    assert samples[0].id == "Ann_Ax/Ann_Ax_0001.jpg"
    target = LfwSource(tmp_path / "lfw_funneled").target(samples[0], NAMES)
    assert re.fullmatch(r"(p[0-9a-f]{16})/\1_000[1-4]\.jpg", target)


@pytest.mark.parametrize(("folder", "stays"), [("lfw-deepfunneled", True), ("lfw", True), ("Aaron and friends", False)])
def test_the_folder_of_people_has_a_token_where_it_may_be_a_name(tmp_path: Path, folder: str, stays: bool) -> None:
    make(tmp_path / "in", folder)
    release(tmp_path / "in", tmp_path / "out")
    (found,) = [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert (found == folder) is stays
    again = LfwSource(tmp_path / "out").samples()
    assert len(again) == sum(PEOPLE.values())


def test_the_usual_readers_open_the_release(tmp_path: Path) -> None:
    make(tmp_path / "lfw")
    release(tmp_path / "lfw", tmp_path / "data")
    paths, same = read_like_facenet(tmp_path / "data", "lfw_funneled")
    assert same == [True, True, False, False] * 2
    shown = {(frozenset(map(colour, pair)), is_same) for pair, is_same in zip(paths, same, strict=True)}
    order = list(PEOPLE)
    truth = set()
    for line in PAIRS[1:]:
        fields = line.split()
        one, two = (fields[:2], [fields[0], fields[2]]) if len(fields) == 3 else (fields[:2], fields[2:])
        truth.add((frozenset((order.index(n), int(i)) for n, i in (one, two)), len(fields) == 3))
    assert shown == truth  # the very same pairs of photos, under other names


def test_scikit_learn_s_way_of_reading(tmp_path: Path) -> None:
    make(tmp_path / "lfw")
    release(tmp_path / "lfw", tmp_path / "data")
    split = [line.strip().split("\t") for line in (tmp_path / "data/pairs.txt").read_text().splitlines()]
    specs = [fields for fields in split if len(fields) > 2]
    assert len(specs) == 8
    for fields in specs:
        names = (fields[0], fields[0]) if len(fields) == 3 else (fields[0], fields[2])
        numbers = fields[1:] if len(fields) == 3 else (fields[1], fields[3])
        for name, number in zip(names, numbers, strict=True):
            assert (tmp_path / "data/lfw_funneled" / name / f"{name}_{int(number):04d}.jpg").is_file()
    counts = {path.name: len(list(path.iterdir())) for path in (tmp_path / "data/lfw_funneled").iterdir()}
    assert sorted(counts.values()) == sorted(PEOPLE.values())


def test_every_header_is_true(tmp_path: Path) -> None:
    make(tmp_path / "lfw")
    release(tmp_path / "lfw", tmp_path / "data")
    data = tmp_path / "data"
    assert (data / "pairs.txt").read_bytes().startswith(b"2\t2\n")
    assert len((data / "pairs.txt").read_text().splitlines()) == 9
    dev = (data / "pairsDevTest.txt").read_text().splitlines()
    assert dev[0] == "1"
    assert [len(line.split("\t")) for line in dev[1:]] == [3, 4]
    people = (data / "people.txt").read_text().splitlines()
    assert people[0] == "2"
    sizes = [int(line) for line in people if "\t" not in line][1:]
    assert sorted(sizes) == [2, 4]
    for line in people:
        if "\t" in line:
            name, count = line.split("\t")
            assert len(list((data / "lfw_funneled" / name).iterdir())) == int(count)
    assert (data / "peopleDevTest.txt").read_text().splitlines()[0] == "2"
    parse_pairs(data / "pairs.txt")


def test_no_name_survives(tmp_path: Path) -> None:
    make(tmp_path / "lfw")
    (tmp_path / "lfw/Jane_Doe.txt").touch()
    sentences = release(tmp_path / "lfw", tmp_path / "data")
    everything = "".join(sentences) + "".join(str(path) for path in (tmp_path / "data").rglob("*"))
    everything += "".join(path.read_text() for path in (tmp_path / "data").glob("*.txt"))
    for name in [*PEOPLE, "Jane", "Ann", "Bob"]:
        assert name not in everything
    assert "1 other files of the source were not copied." in sentences


def test_order_tells_nothing(tmp_path: Path) -> None:
    """Over many keys, the first line of a fold names each of its people, and either fold comes first."""
    make(tmp_path)
    source = LfwSource(tmp_path)
    samples = source.samples()
    first_people, first_folds, swaps, numbers = set(), set(), set(), set()
    for key in range(40):
        names = Names(bytes([key]) * 32)
        data = tmp_path / f"data{key}"
        source.publish(data, samples, names)
        who = {names.subject("dataset", name): name for name in PEOPLE}
        lines = (data / "people.txt").read_text().splitlines()
        first_folds.add(lines[1])
        first_people.add(who[lines[2].split("\t")[0]])
        assert lines[2 : 2 + int(lines[1])] == sorted(lines[2 : 2 + int(lines[1])])
        for line in (data / "pairs.txt").read_text().splitlines()[1:]:
            fields = line.split("\t")
            if len(fields) == 4 and {who[fields[0]], who[fields[2]]} == {"Di_Day", "Cy_Cod"}:
                swaps.add(who[fields[0]])
            if len(fields) == 3 and who[fields[0]] == "Ann_Ax":
                numbers.add((fields[1], fields[2]))
                assert int(fields[1]) < int(fields[2])
    assert first_folds == {"2", "4"}
    assert first_people == set(PEOPLE)
    assert swaps == {"Di_Day", "Cy_Cod"}
    assert len(numbers) == 6  # pair 1-4 of Ann came out as every pair of 1 … 4


def test_numbers_have_no_gaps(tmp_path: Path) -> None:
    make(tmp_path / "lfw")
    (tmp_path / "lfw/lfw_funneled/Ann_Ax/Ann_Ax_0002.jpg").unlink()
    source = LfwSource(tmp_path / "lfw")
    targets = [source.target(s, NAMES) for s in source.samples() if "Ann_Ax" in s.file]
    assert sorted(target[-8:] for target in targets) == ["0001.jpg", "0002.jpg", "0003.jpg"]
    fresh = LfwSource(tmp_path / "lfw")  # a worker that never called samples()
    assert [fresh.target(s, NAMES) for s in source.samples() if "Ann_Ax" in s.file] == targets


def test_only_released_images_are_named_and_folds_are_cut_alike(tmp_path: Path) -> None:
    make(tmp_path / "lfw")
    sentences = release(tmp_path / "lfw", tmp_path / "data", skip=("Bob_By_0002.jpg", "Di_Day_0001.jpg"))
    data = tmp_path / "data"
    # fold 1 loses one positive and one negative, fold 2 one negative: one of each is left everywhere
    lines = (data / "pairs.txt").read_text().splitlines()
    assert lines[0] == "2\t1"
    assert [len(line.split("\t")) for line in lines[1:]] == [3, 4, 3, 4]
    paths, _ = read_like_facenet(data, "lfw_funneled")
    assert len(paths) == 4  # all of them exist
    assert "pairs.txt: 8 pairs in the source, 4 in the release, 1 of each kind in a fold." in sentences
    assert not (data / "pairsDevTest.txt").exists()
    assert any(sentence.startswith("pairsDevTest.txt was left out") for sentence in sentences)
    di, bob = (NAMES.subject("dataset", name) for name in ("Di_Day", "Bob_By"))
    people = (data / "people.txt").read_text()
    assert di not in people
    assert f"{bob}\t2\n" in people
    assert sorted(re.findall(r"^\d+$", people, re.M)) == ["2", "2", "3"]
    assert (data / "peopleDevTest.txt").read_text().splitlines()[0] == "1"


def test_nothing_released_leaves_the_files_out(tmp_path: Path) -> None:
    source = LfwSource(make(tmp_path / "lfw"))
    sentences = source.publish(tmp_path / "data", [], NAMES)
    assert not (tmp_path / "data").exists()
    assert sum("was left out" in sentence for sentence in sentences) == 4


def test_strange_files_are_quarantined_under_a_token(tmp_path: Path) -> None:
    make(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "lfw_funneled/Ann_Ax/Jane_Doe.jpg")
    (tmp_path / "lfw_funneled/Bob_By/Bob_By_0009.jpg").symlink_to(tmp_path / "pairs.txt")
    source = LfwSource(tmp_path)
    problems = {sample.file: sample for sample in source.samples() if sample.problem}
    assert len(problems) == 2
    strange = problems["lfw_funneled/Ann_Ax/Jane_Doe.jpg"]
    assert "Jane" not in str(strange.problem)
    assert re.fullmatch(r"lfw_funneled/p[0-9a-f]{16}\.jpg", source.target(strange, NAMES))


@pytest.mark.parametrize("twin", ["Ann_Ax_0001.png", "Ann_Ax_00001.jpg"])
def test_two_files_of_one_image_are_told(tmp_path: Path, twin: str) -> None:
    root = make(tmp_path)
    (person,) = root.rglob("Ann_Ax")
    (person / twin).write_bytes((person / "Ann_Ax_0001.jpg").read_bytes())
    with pytest.raises(SourceError, match="are the same image of a person"):
        LfwSource(root).samples()


def test_a_folder_that_no_manifest_can_name_is_told(tmp_path: Path) -> None:
    root = make(tmp_path)
    (person,) = root.rglob("Ann_Ax")
    person.parent.rename(root / os.fsdecode(b"stra\xdfe"))
    with pytest.raises(SourceError, match="no UTF-8"):
        LfwSource(root).samples()


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("pairs.txt", 2, "Ann_Ax\t1", r"pairs.txt line 3: 'Ann_Ax 1': expected NAME<TAB>IMAGE"),
        ("pairs.txt", 2, "Ann_Ax\tone\t2", "pairs.txt line 3"),
        ("pairs.txt", 2, "Ann_Ax\t0\t2", "pairs.txt line 3"),
        ("pairs.txt", 2, "Ann_Ax\t1\t" + "9" * 5000, "pairs.txt line 3"),
        ("pairs.txt", 0, "ten\t300", "pairs.txt line 1: 'ten 300': expected the number of folds"),
        ("pairs.txt", 0, "3\t2", "pairs.txt: 8 pairs, but its first line promises 3 x 2 x 2"),
        ("people.txt", 2, "Ann_Ax\tmany", "people.txt line 3"),
        ("people.txt", 1, "9", "people.txt line 2: promises 9 people, 7 follow"),
        ("people.txt", 0, "3", "people.txt: 2 sets, but its first line promises 3"),
        ("people.txt", 0, "1", "people.txt line 5: more lines"),
    ],
)
def test_malformed_protocol_files(tmp_path: Path, file: str, line: int, text: str, message: str) -> None:
    make(tmp_path)
    lines = (tmp_path / file).read_text().splitlines()
    lines[line] = text
    write(tmp_path / file, lines)
    with pytest.raises(SourceError, match=message):
        LfwSource(tmp_path).samples()


def test_an_empty_protocol_file(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "pairs.txt").write_text("\n")
    with pytest.raises(SourceError, match=r"pairs\.txt is empty"):
        LfwSource(tmp_path).samples()


def test_another_folder_is_not_lfw(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos/a.jpg")
    with pytest.raises(SourceError, match=r"found no folder with NAME/NAME_0001\.jpg"):
        LfwSource(tmp_path)
    make(tmp_path / "two", "lfw")
    make(tmp_path / "two2", "lfw_funneled")
    (tmp_path / "two2/lfw_funneled").rename(tmp_path / "two/lfw_funneled")
    with pytest.raises(SourceError, match="found lfw and lfw_funneled"):
        LfwSource(tmp_path / "two")


def test_pairs_people(tmp_path: Path) -> None:
    make(tmp_path)
    assert pairs_people(tmp_path / "pairs.txt") == set(PEOPLE)
    assert pairs_people(tmp_path / "pairsDevTest.txt") == {"Cy_Cod", "Di_Day"}


def test_the_real_lfw(shared: Path, tmp_path: Path) -> None:
    source = LfwSource(shared / "data/lfw")
    samples = scanned(source, 9250)
    assert not any(sample.problem for sample in samples)
    assert samples == source.samples()
    targets = [source.target(sample, NAMES) for sample in samples]
    assert len(set(targets)) == 9250
    source.publish(tmp_path, samples, NAMES)
    pairs = parse_pairs(tmp_path / "pairs.txt")
    assert [len(fold) for fold in pairs] == [600] * 10
    released = set(targets)
    for pair in (pair for fold in pairs for pair in fold):
        for name, number in ((pair.first, pair.i), (pair.second, pair.j)):
            assert f"lfw-deepfunneled/{name}/{name}_{number:04d}.jpg" in released
    mentioned = pairs_people(shared / "data/lfw/pairs.txt")
    assert len({sample.people[0].subject for sample in samples} - mentioned) == 1468
    assert pairs_people(tmp_path / "pairs.txt") == {NAMES.subject("dataset", name) for name in mentioned}


@pytest.mark.parametrize("key", [0, 1, 2, 3])
def test_the_card_says_where_numbers_tell_of_images_that_are_not_released(tmp_path: Path, key: int) -> None:
    source, names = LfwSource(make(tmp_path / "lfw")), Names(bytes([key]) * 32)
    samples = source.samples()
    some = [sample for sample in samples if not sample.file.endswith(("_0003.jpg", "_0004.jpg"))]
    told = {len(released): " ".join(source.publish(tmp_path, released, names)) for released in (samples, some)}
    last: dict[str, int] = {}
    for sample in some:
        person, number = source.target(sample, names).removesuffix(".jpg").rsplit("_", 1)
        last[person] = max(int(number), last.get(person, 0))
    beyond = sum(number > 2 for number in last.values())  # nobody has more in this release
    assert "numbered among all that the source has" not in told[len(samples)]
    assert (f"The images of {beyond} people are numbered among all" in told[len(some)]) is (beyond > 0)
    assert beyond
