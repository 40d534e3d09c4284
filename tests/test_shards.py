from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from dsanon import shards
from dsanon.sample import Sample
from dsanon.shards import make_shards


def frames(name: str | None, count: int) -> list[Sample]:
    return [Sample(f"{name}#{number:06d}", f"{name}.mp4", sequence=name) for number in range(count)]


@pytest.mark.parametrize(("count", "pieces"), [(1, 1), (1000, 1), (1001, 2), (5000, 5), (16_000, 16), (50_000, 16)])
def test_a_long_sequence_is_searched_in_pieces_and_stays_one_shard(count: int, pieces: int) -> None:
    (shard,) = make_shards(frames("clip", count))
    parts = shard.pieces()
    assert len(parts) == pieces
    assert tuple(chain.from_iterable(part.samples for part in parts)) == shard.samples
    assert len({part.found(Path()) for part in parts}) == len({part.at(Path()) for part in parts}) == pieces
    assert {part.linked(Path()) for part in parts} == {shard.linked(Path())}
    assert {part.number for part in parts} == {0}


def test_a_piece_without_what_kills_workers_is_still_that_piece() -> None:
    (shard,) = make_shards(frames("clip", 2500))
    piece = shard.pieces()[2]
    condemned = piece.without({piece.samples[3].id}, "it kills")
    assert condemned.samples[3].problem == "it kills"
    assert condemned.found(Path()) == piece.found(Path())


def test_stills_have_no_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PIECE", 2)
    for shard in make_shards([Sample(f"{n:03d}.png", f"{n:03d}.png") for n in range(100)]):
        assert shard.pieces() == [shard]
