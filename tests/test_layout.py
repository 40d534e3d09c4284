"""The places of a release: none lies in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsanon.errors import UsageError
from dsanon.layout import ReleasePaths


def test_places(tmp_path: Path) -> None:
    paths = ReleasePaths.of(tmp_path / "source", tmp_path / "out")
    assert paths.private == tmp_path / "out.private"
    assert paths.key == tmp_path / "out.private" / "key"
    assert paths.partial == tmp_path / "out.partial"
    assert ReleasePaths.of(None, tmp_path / "out", tmp_path / "p").key == tmp_path / "p" / "key"


@pytest.mark.parametrize(
    ("source", "release", "private", "key"),
    [
        ("a", "a", None, None),
        ("a", "a/out", None, None),
        ("a/b", "a", None, None),
        ("a.partial", "a", None, None),
        ("s", "a", "a", None),
        ("s", "a", "a/private", None),
        ("s", "a", "a.partial/private", None),
        ("s", "p/a", "p", None),
        ("s", "a", "s/private", None),
        ("s", "a", "p", "a/key"),
        ("s", "a", "p", "a.partial/key"),
        ("s", "a", "p", "p/staging/key"),
        ("s", "a", "p", "s/key"),
        ("p/staging", "a", "p", None),
        ("link", "a", None, None),
        ("s", "a", "link", None),
        ("s", "a", "p", "link/key"),
        ("s", "/", None, None),
    ],
)
def test_places_that_lie_in_one_another(
    tmp_path: Path, source: str, release: str, private: str | None, key: str | None
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match=r"overlap|lies inside|would be made inside|root"):
        ReleasePaths.of(
            tmp_path / source,
            tmp_path / release,
            tmp_path / private if private else None,
            tmp_path / key if key else None,
        )


def test_neighbours_with_a_common_beginning_are_fine(tmp_path: Path) -> None:
    ReleasePaths.of(tmp_path / "lfw", tmp_path / "lfw2", tmp_path / "lfw3")
