"""Run lengths and polygons, by hand and against pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from dsanon.sources.silhouettes import box_of, from_counts, from_mask, from_segmentation, run_lengths, to_mask


def test_run_lengths_by_hand() -> None:
    # 3 rows x 2 columns, the lower two pixels of the second column: 4 background, 2 silhouette
    mask = np.array([[0, 0], [0, 1], [0, 1]], bool)
    assert run_lengths(b"42").tolist() == [4, 2]
    assert from_counts(b"42", 2, 3) == from_mask(mask)
    rle = from_counts(b"42", 2, 3)
    assert rle is not None
    assert box_of(rle) == (1.0, 1.0, 2.0, 3.0)
    # 100 = 4 + 3 * 32: low digit 4 with 'more' (0x24 -> 'T'), then 3
    assert run_lengths(b"T3").tolist() == [100]
    # the fourth number is a difference to the second: 5 - 1 = 4, -1 = 0x1f -> 'O'
    assert run_lengths(b"156O").tolist() == [1, 5, 6, 4]


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_run_lengths_are_pycocotools(mask: np.ndarray) -> None:
    height, width = mask.shape
    counts = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    runs = run_lengths(counts)
    assert np.array_equal(np.repeat(np.arange(runs.size) % 2, runs).reshape(width, height).T, mask)
    rle = from_counts(counts, width, height)
    assert (rle is None) == (not mask.any())
    assert rle == from_mask(mask)
    if rle:
        rows, columns = np.nonzero(mask)
        assert np.array_equal(to_mask(rle), mask)
        assert box_of(rle) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=30))
def test_any_bytes_are_checked(counts: bytes) -> None:
    try:
        rle = from_counts(counts, 7, 5)
    except ValueError:
        return
    assert int(run_lengths(counts).sum()) == 35
    assert rle is None or to_mask(rle).sum() > 0


@pytest.mark.parametrize("counts", [b"", b"T", b"41", b"43", b"\xff2", b"TTTTTTTT0", b"1O6"])
def test_bad_counts(counts: bytes) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        from_counts(counts, 2, 3)


def test_segmentations() -> None:
    square = [[1, 1, 3, 1, 3, 3, 1, 3]]
    polygon = from_segmentation(square, 5, 4)
    assert polygon is not None
    assert to_mask(polygon).sum() == 4
    assert box_of(polygon) == (1, 1, 3, 3)
    uncompressed = from_segmentation({"size": [3, 2], "counts": [4, 2]}, 2, 3)
    assert uncompressed == from_segmentation({"size": [3, 2], "counts": "42"}, 2, 3) == from_counts(b"42", 2, 3)
    assert from_segmentation([[1, 1, 3, 3]], 5, 4) is None  # pycocotools would read a box
    assert from_segmentation([[9, 9, 12, 9, 12, 12]], 5, 4) is None
    assert from_segmentation({"size": [3, 2], "counts": [6]}, 2, 3) is None


@pytest.mark.parametrize(
    "segmentation",
    [
        "polygon",
        [[1, 1, 3, 1, 3]],
        [1, 2, 3, 4, 5, 6],
        [[1, 1, 3, 1, float("nan"), 3]],
        [[1, 1, 3, 1, 1e30, 3]],
        [[1, 1, 3, 1, "3", 3]],
        {"size": [4, 4], "counts": [16]},
        {"size": [4, 5], "counts": [19]},
        {"size": [4, 5], "counts": [-1, 21]},
        {"size": [4, 5], "counts": None},
        {"size": [4, 5], "counts": "é0"},
    ],
)
def test_nonsense_is_refused(segmentation: Any) -> None:
    with pytest.raises(ValueError, match=r"polygon|segmentation|run lengths"):
        from_segmentation(segmentation, 5, 4)
