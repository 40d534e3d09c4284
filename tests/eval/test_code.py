"""Code is told from other code, module by module, and nothing that decides what is seen is left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from dsanon_eval.attacks import reversal
from dsanon_eval.reproduce import worst_results
from dsanon_eval.seeing import code
from dsanon_eval.seeing.code import FINDING, LOOKING, PAINTING, RENDERING, digest

# they carry what others made, say what went wrong, or decide when and where work is done: never what is seen
CARRY = {
    "dsanon.config",
    "dsanon.durable",
    "dsanon.errors",
    "dsanon.plan",
    "dsanon.sample",
    "dsanon_eval.intervals",
    "dsanon_eval.measurement",
    "dsanon_eval.seeing.case",
    "dsanon_eval.seeing.code",
}
# code that is reached only where there are bodies or tracks, or where a generator paints; none of it here
ELSEWHERE = {
    "dsanon.bodies",
    "dsanon.sources.silhouettes",
    "dsanon.steady",
}


def test_pages_of_the_worst_faces_and_networks_that_undo_follow_from_all_that_made_them() -> None:
    judged = {"dsanon.detectors", "dsanon_eval.utility.detection", "dsanon_eval.reproduce.shown", *PAINTING}
    assert judged <= set(worst_results._CODE)
    assert {"dsanon.sources.mp4", "dsanon_eval.seeing.clips"} <= set(reversal._CODE)


def files(module: str) -> list[Path]:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    return sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]


def imported(module: str) -> Iterator[str]:
    """The modules of ours that a module, or a package's own modules, import."""
    for file in files(module):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dsanon"):
                for name in node.names:
                    inner = f"{node.module}.{name.name}"
                    yield inner if find_spec_or_none(inner) else str(node.module)


def find_spec_or_none(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_every_module_counts() -> None:
    for modules in (FINDING, RENDERING, PAINTING, LOOKING):
        digests = {digest(*modules), *(digest(*(m for m in modules if m != left)) for left in modules)}
        assert len(digests) == len(modules) + 1
    assert digest(*FINDING) == digest(*FINDING)


@pytest.mark.parametrize(
    ("listed", "beside"),
    [
        (FINDING, ELSEWHERE | {"dsanon.shape_model"}),
        (RENDERING, ELSEWHERE | {"dsanon.methods.ciagan"}),
        (PAINTING, ELSEWHERE),
        # made_by names the code that paints, and an undoing network by what it was trained with
        ((*RENDERING, *LOOKING), ELSEWHERE | {"dsanon.methods.ciagan", "dsanon.naming", "dsanon.shape_model"}),
    ],
)
def test_what_a_remembered_figure_follows_from_is_told_apart(listed: tuple[str, ...], beside: set[str]) -> None:
    known = {*listed, *CARRY, *beside}
    wanted = {name for module in listed for name in imported(module)}
    assert sorted(n for n in wanted if n not in known and n.rpartition(".")[0] not in listed) == []


def test_another_version_of_what_computes_is_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(*FINDING)
    digest.cache_clear()
    monkeypatch.setattr(code, "version", lambda name: "9.9")
    assert digest(*FINDING) != before
    digest.cache_clear()


def test_what_is_not_there_is_no_code() -> None:
    with pytest.raises(ValueError, match="no module"):
        digest("dsanon.nothing")
