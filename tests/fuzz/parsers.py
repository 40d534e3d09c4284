"""Every parser of untrusted input, with whole files of made-up content to start from."""

from __future__ import annotations

from fuzz import annotations, orders, pictures, state, weights
from fuzz.parser import Parser

PARSERS: dict[str, Parser] = pictures.PARSERS | annotations.PARSERS | state.PARSERS | orders.PARSERS | weights.PARSERS
