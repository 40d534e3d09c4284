from __future__ import annotations

import hashlib
import hmac
import re

from hypothesis import given
from hypothesis import strategies as st

from dsanon.naming import Names

NAMES = Names(b"k" * 32)
parts = st.lists(st.text(max_size=5), max_size=4)


def test_digest_is_hmac_over_length_prefixed_parts() -> None:
    message = b"\x00\x00\x00\x02ab\x00\x00\x00\x02\xc3\xab"
    assert NAMES.digest("ab", "ë") == hmac.new(b"k" * 32, message, hashlib.sha256).digest()


@given(parts, parts)
def test_other_parts_other_digest(one: list[str], other: list[str]) -> None:
    assert (NAMES.digest(*one) == NAMES.digest(*other)) == (one == other)


def test_names_that_are_no_utf8_have_a_digest() -> None:
    assert NAMES.digest("\udcff") != NAMES.digest("\udcfe")


def test_tokens() -> None:
    token = NAMES.subject("dataset", "Aaron_Eckhart")
    assert re.fullmatch("p[0-9a-f]{16}", token)
    assert token == NAMES.subject("dataset", "Aaron_Eckhart")
    assert token != NAMES.subject("0002", "Aaron_Eckhart"), "one pseudonym per person and scope"
    assert token != Names(b"l" * 32).subject("dataset", "Aaron_Eckhart")
    assert NAMES.token("a", prefix="f_").startswith("f_")


@given(st.integers(1, 10**9), st.text(max_size=5))
def test_number_is_below_its_limit(limit: int, part: str) -> None:
    assert 0 <= NAMES.number(limit, part) < limit


@given(st.lists(st.integers(0, 100), max_size=20))
def test_order_does_not_depend_on_the_order(items: list[int]) -> None:
    ordered = NAMES.order(items, "x")
    assert sorted(ordered) == sorted(items)
    assert ordered == NAMES.order(items[::-1], "x")


def test_order_depends_on_key_and_purpose() -> None:
    items = list(range(50))
    assert len({tuple(order) for order in (items, NAMES.order(items), NAMES.order(items, "x"))}) == 3
    assert NAMES.order(items) != Names(b"l" * 32).order(items)


@given(st.sets(st.integers(0, 1000), max_size=20))
def test_permutation_is_a_bijection(items: set[int]) -> None:
    mapping = NAMES.permutation(sorted(items), "ids")
    assert set(mapping) == set(mapping.values()) == items
    assert mapping == NAMES.permutation(sorted(items, reverse=True), "ids")
