"""MOTSChallenge and KITTI-MOTS: silhouettes from run lengths or masks, told alike by both."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Photo
from dsanon.sources.mots import MotsSource
from dsanon.sources.silhouettes import to_mask

# pycocotools itself, where a reader of the release decodes with it
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = Names(b"n" * 32)
SIZE = (24, 32)  # height, width
LAYOUTS = {
    "challenge": ("train/images/0001", "train/instances/0001", "train/instances_txt/0001.txt", 1),
    "plain": ("images/0001", "instances/0001", "instances_txt/0001.txt", 1),
    "kitti": ("training/image_02/0001", "instances/0001", "instances_txt/0001.txt", 0),
    "official": ("train/MOTS20-02/img1", None, "train/MOTS20-02/gt/gt.txt", 1),
}


def mask(number: int) -> np.ndarray:
    """A person who walks, a car, and a region to ignore."""
    found = np.zeros(SIZE, np.uint16)
    found[20:, :] = 10000
    found[2:6, 20:30] = 1007
    found[4:18, 3 + number : 9 + number] = 2003
    return found


def text(masks: dict[int, np.ndarray]) -> str:
    lines = []
    for frame, found in masks.items():
        for instance in np.unique(found[found > 0]).tolist():
            counts = coco_mask.encode(np.asfortranarray(found == instance, dtype=np.uint8))["counts"].decode()
            lines.append(f"{frame} {instance} {instance // 1000} {SIZE[0]} {SIZE[1]} {counts}\n")
    return "".join(lines)


def dataset(root: Path, layout: str = "challenge", frames: int = 4, with_text: bool = True, base: int = 0) -> Path:
    """``base``: what the text adds to the numbers of the files."""
    images, instances, rows, start = LAYOUTS[layout]
    masks = {number: mask(number) for number in range(start, start + frames)}
    for number, found in masks.items():
        pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        for folder, array in ((images, pixels), (instances, found)):
            if folder:
                (root / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / folder / f"{number:06d}.png")
    if with_text:
        (root / rows).parent.mkdir(parents=True, exist_ok=True)
        (root / rows).write_text(text({number + base: found for number, found in masks.items()}))
    return root


def load_txt(path: Path) -> dict[int, dict[int, tuple[int, np.ndarray]]]:
    """mots_tools' reader: frame → instance → (class, mask); refuses masks that overlap."""
    frames: dict[int, dict[int, tuple[int, np.ndarray]]] = {}
    combined: dict[int, np.ndarray] = {}
    for line in path.read_text().splitlines():
        fields = line.strip().split(" ")
        frame, instance, kind, height, width = map(int, fields[:5])
        found = coco_mask.decode({"size": [height, width], "counts": fields[5].encode()}).astype(bool)
        covered = combined.setdefault(frame, np.zeros((height, width), bool))
        assert not (covered & found).any()
        covered |= found
        assert instance not in frames.setdefault(frame, {})
        frames[frame][instance] = kind, found
    return frames


def load_images(folder: Path) -> dict[int, dict[int, np.ndarray]]:
    """mots_tools' other reader: frame → instance → mask, of 16-bit PNG."""
    frames = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            assert image.mode == "I;16"
            assert not image.info
            array = np.array(image)
        frames[int(path.stem)] = {i: array == i for i in np.unique(array).tolist() if i}
    return frames


@pytest.mark.parametrize(
    ("layout", "with_text"),
    [*((layout, True) for layout in LAYOUTS), *((layout, False) for layout in LAYOUTS if layout != "official")],
)
def test_people(tmp_path: Path, layout: str, with_text: bool) -> None:
    images, _, _, start = LAYOUTS[layout]
    source = MotsSource(dataset(tmp_path, layout, with_text=with_text))
    samples = source.samples()
    assert [sample.file for sample in samples] == [f"{images}/{n:06d}.png" for n in range(start, start + 4)]
    name = "MOTS20-02" if layout == "official" else "0001"
    for number, sample in enumerate(samples, start=start):
        assert (sample.sequence, sample.size) == (name, (32, 24))
        walker, ignored = sorted(sample.people, key=lambda person: person.many)
        assert (walker.subject, walker.many, walker.body) == (f"{name}/2003", False, (3 + number, 4, 9 + number, 18))
        assert (ignored.subject, ignored.many, ignored.body) == (None, True, (0, 20, 32, 24))
        assert walker.silhouette is not None
        assert np.array_equal(to_mask(walker.silhouette), mask(number) == 2003)
    assert all(isinstance(photo, Photo) for photo in source.read(samples))
    assert source.target(samples[0], NAMES) == samples[0].file
    assert len(source.inputs()) == with_text + (0 if layout == "official" else 4)


@pytest.mark.parametrize(("layout", "base"), [("challenge", -1), ("kitti", 1), ("official", -1)])
def test_texts_that_start_elsewhere(tmp_path: Path, layout: str, base: int) -> None:
    _, _, rows, start = LAYOUTS[layout]
    source = MotsSource(dataset(tmp_path / "in", layout, base=base))
    samples = source.samples()
    bodies = [max(sample.people, key=lambda person: person.subject or "").body for sample in samples]
    assert bodies == [(3 + n, 4, 9 + n, 18) for n in range(start, start + 4)]
    source.publish(tmp_path / "out", samples[:2], NAMES)
    assert sorted(load_txt(tmp_path / "out" / rows)) == [start + base, start + base + 1]  # numbered as the source is


@pytest.mark.parametrize("layout", LAYOUTS)
def test_release(tmp_path: Path, layout: str) -> None:
    images, instances, rows, start = LAYOUTS[layout]
    root = dataset(tmp_path / "in", layout)
    (root / "notes.txt").write_text("Aaron")
    source = MotsSource(root)
    samples = source.samples()
    sentences = source.publish(tmp_path / "out", [samples[0], samples[2]], NAMES)
    kept = {start, start + 2}
    found = load_txt(tmp_path / "out" / rows)
    assert set(found) == kept
    for number in kept:
        assert {i: kind for i, (kind, _) in found[number].items()} == {1007: 1, 2003: 2, 10000: 10}
        assert all(np.array_equal(array, mask(number) == i) for i, (_, array) in found[number].items())
    if instances:
        masks = load_images(tmp_path / "out" / instances)
        assert set(masks) == kept
        assert all(np.array_equal(masks[n][i], mask(n) == i) for n in kept for i in (1007, 2003, 10000))
    assert not (tmp_path / "out" / images).exists()  # the sink's
    told = " ".join(sentences)
    assert "6 rows" in told
    assert "1 other files" in told
    assert "Aaron" not in told


def test_a_mask_loses_its_metadata(tmp_path: Path) -> None:
    root = dataset(tmp_path / "in", frames=1)
    path = root / "train/instances/0001/000001.png"
    with Image.open(path) as image:
        image.load()
        extra = Image.Exif()
        extra[0x010E] = "Aaron"
        image.save(path, exif=extra)
    assert b"Aaron" in path.read_bytes()
    source = MotsSource(root)
    source.publish(tmp_path / "out", source.samples(), NAMES)
    assert b"Aaron" not in (tmp_path / "out/train/instances/0001/000001.png").read_bytes()


def test_contradiction_is_told(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    wrong = mask(2)
    wrong[0, 0] = 2009
    Image.fromarray(wrong).save(root / "train/instances/0001/000002.png")
    with pytest.raises(SourceError, match=r"instances/0001/000002\.png and .*0001\.txt show different"):
        MotsSource(root).samples()


def test_masks_must_have_16_bits(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    path = root / "train/instances/0001/000001.png"
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)
    with pytest.raises(SourceError, match=r"000001\.png has the colour mode L"):
        MotsSource(root).samples()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SourceError, match=r"000001\.png cannot be read"):
        MotsSource(root).samples()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2001 2 24 32", "line 14 is '1 2001 2 24 32'"),
        ("x 2001 2 24 32 0", "line 14 is 'x"),
        ("1,1,10,10,20,30,1,1,1", "line 14 is"),
        ("1 2001 2 24 32 zz", "line 14: the run lengths"),
        ("1 2001 2 24 32 ooooo", "line 14: the run lengths"),
        ("1 2001 2 10 10 T3", "frame 1 has masks of two sizes"),
        ("1,1,10,10,20,30,1,1,1", ".*boxes are of --dataset mot"),
    ],
)
def test_bad_rows(tmp_path: Path, line: str, message: str) -> None:
    root = dataset(tmp_path)
    path = root / "train/instances_txt/0001.txt"
    path.write_text(path.read_text() + "\n" + line + "\n")
    shutil.rmtree(root / "train/instances")
    with pytest.raises(SourceError, match=rf"instances_txt/0001\.txt:? {message}"):
        MotsSource(root).samples()


def test_a_class_that_the_number_contradicts_is_told(tmp_path: Path) -> None:
    """Else a pedestrian whom the rows take for a car would not be hidden."""
    root = dataset(tmp_path)
    rows = root / "train/instances_txt/0001.txt"
    rows.write_text(rows.read_text().replace("2003 2 ", "2003 1 "))
    with pytest.raises(SourceError, match="instance 2003 has the class 1: expected 2"):
        MotsSource(root).samples()


def test_rows_that_may_count_from_0_or_1_are_told(tmp_path: Path) -> None:
    """Neither the first nor the last frame has any: each silhouette might lie a frame late. Masks tell."""
    root = dataset(tmp_path, "kitti")
    path = root / "instances_txt/0001.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if line[0] in "12"))
    for number in (0, 3):
        Image.fromarray(np.zeros(SIZE, np.uint16)).save(root / f"instances/0001/{number:06d}.png")
    assert [len(sample.people) for sample in MotsSource(root).samples()] == [0, 2, 2, 0]
    shutil.rmtree(root / "instances")
    with pytest.raises(SourceError, match=r"0001\.txt has no row of frame 0, and none of frame 4: it may count from"):
        MotsSource(root).samples()


def test_rows_of_other_frames(tmp_path: Path) -> None:
    root = dataset(tmp_path, base=100)
    with pytest.raises(SourceError, match="no row of any frame"):
        MotsSource(root).samples()


def test_kittis_testing_has_no_annotations(tmp_path: Path) -> None:
    root = dataset(tmp_path, "kitti")
    shutil.copytree(root / "training/image_02/0001", root / "testing/image_02/0001")
    samples = MotsSource(root).samples()
    assert [len(sample.people) for sample in samples] == [0] * 4 + [2] * 4
    assert [sample.bodies for sample in samples] == [False] * 4 + [True] * 4
    assert {sample.sequence for sample in samples} == {"testing/0001", "training/0001"}


def test_of_a_frame_without_its_mask_nothing_is_known(tmp_path: Path) -> None:
    root = dataset(tmp_path, with_text=False)
    (root / "train/instances/0001/000002.png").unlink()
    assert [sample.bodies for sample in MotsSource(root).samples()] == [True, False, True, True]


def test_of_a_frame_without_row_and_mask_nothing_is_known(tmp_path: Path) -> None:
    """A row of a car is one; a mask of nobody is a mask."""
    root = dataset(tmp_path)
    lines = (root / "train/instances_txt/0001.txt").read_text().splitlines(keepends=True)
    kept = [line for line in lines if line[0] in "14" or line.startswith("3 1007")]
    for number in (2, 3):
        shown = mask(number)
        shown[shown != (1007 if number == 3 else 0)] = 0
        Image.fromarray(shown).save(root / f"train/instances/0001/{number:06d}.png")
    (root / "train/instances_txt/0001.txt").write_text("".join(kept))
    assert [sample.bodies for sample in MotsSource(root).samples()] == [True] * 4
    shutil.rmtree(root / "train/instances")
    assert [sample.bodies for sample in MotsSource(root).samples()] == [True, False, True, True]


def test_a_number_that_is_twice_in_a_frame_is_told(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    path = root / "train/instances_txt/0001.txt"
    (row,) = [line for line in path.read_text().splitlines() if line.startswith("2 2003")]
    path.write_text(path.read_text() + row + "\n")
    shutil.rmtree(root / "train/instances")
    with pytest.raises(SourceError, match=r"0001\.txt: '0001/2003' is in frame 2 twice"):
        MotsSource(root).samples()


@pytest.mark.parametrize("with_text", [True, False])
def test_unknown_classes_are_told(tmp_path: Path, with_text: bool) -> None:
    """Cyclists, of whom MOTS itself has none, would stay as they are."""
    root = dataset(tmp_path, with_text=with_text)
    folder = root / "train/instances/0001"
    if with_text:
        path = root / "train/instances_txt/0001.txt"
        path.write_text(path.read_text().replace(" 2003 2 ", " 3003 3 "))
        shutil.rmtree(folder)
    else:
        shown = mask(2)
        shown[shown == 2003] = 3003
        Image.fromarray(shown).save(folder / "000002.png")
    with pytest.raises(SourceError, match=r"(0001\.txt|000002\.png): instance 3003 has the class 3: expected"):
        MotsSource(root).samples()


def test_folders_that_are_no_mots(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expects MOTSChallenge"):
        MotsSource(tmp_path)
    (tmp_path / "images" / "0001").mkdir(parents=True)
    with pytest.raises(SourceError, match="no frame in"):
        MotsSource(tmp_path).samples()


def test_real_data_round_trip(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "mots"
    source = MotsSource(root)
    samples = source.samples()
    assert len(samples) == 150
    assert {person.subject for sample in samples for person in sample.people} == {f"000{n}/2001" for n in (1, 2, 3)}
    released = [sample for sample in samples if int(Path(sample.file).stem) <= 12]
    source.publish(tmp_path, released, NAMES)
    for name in ("0001", "0002", "0003"):
        old, new = (load_txt(folder / f"train/instances_txt/{name}.txt") for folder in (root, tmp_path))
        assert sorted(new) == sorted(frame for frame in old if frame <= 12)
        masks = load_images(tmp_path / "train/instances" / name)
        assert sorted(masks) == list(range(1, 13))
        for frame, instances in new.items():
            for instance, (kind, found) in instances.items():
                assert kind == old[frame][instance][0]
                assert np.array_equal(found, old[frame][instance][1])
                assert np.array_equal(found, masks[frame][instance])
        for sample in released:
            if sample.sequence == name and sample.people:
                silhouette = sample.people[0].silhouette
                assert silhouette is not None
                assert np.array_equal(to_mask(silhouette), new[int(Path(sample.file).stem)][2001][1])


def test_a_sequence_in_two_places_is_told(tmp_path: Path) -> None:
    dataset(tmp_path, "plain")
    (tmp_path / "image_02").mkdir()
    (tmp_path / "images" / "0001").rename(tmp_path / "image_02" / "0001")
    dataset(tmp_path, "plain")
    with pytest.raises(SourceError, match="'image_02/0001' and 'images/0001' are the same sequence"):
        MotsSource(tmp_path).samples()


def test_frames_come_by_their_numbers(tmp_path: Path) -> None:
    root = dataset(tmp_path, frames=12)
    for kind in ("images", "instances"):
        for path in (root / "train" / kind / "0001").iterdir():
            path.rename(path.with_name(f"{int(path.stem)}.png"))
    source = MotsSource(root)
    samples = source.samples()
    assert [sample.id for sample in samples] == [f"train/images/0001/{n}.png" for n in range(1, 13)]
    assert [source.target(sample, NAMES) for sample in samples] == [sample.id for sample in samples]
    assert [sample.time for sample in samples] == [n / 30 for n in range(1, 13)]
