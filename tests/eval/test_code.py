"""Code is told from other code, module by module."""

from __future__ import annotations

import pytest
from dsanon_eval.seeing.code import FINDING, LOOKING, PAINTING, RENDERING, digest


def test_every_module_counts() -> None:
    for modules in (FINDING, RENDERING, PAINTING, LOOKING):
        digests = {digest(*modules), *(digest(*(m for m in modules if m != left)) for left in modules)}
        assert len(digests) == len(modules) + 1
    assert digest(*FINDING) == digest(*FINDING)


def test_what_is_not_there_is_no_code() -> None:
    with pytest.raises(ValueError, match="no module"):
        digest("dsanon.nothing")
