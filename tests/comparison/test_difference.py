"""How a difference is written: plain values as one short line."""

import datetime
from typing import Any

import numpy as np
import pytest

from checkpointable.comparison.difference import plain_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"), (None, "None"), ("adam", "'adam'"), (b"\x00", r"b'\x00'"), (0.5, "0.5"),
        ([1, "a"], "[1, 'a']"), ((1,), "(1,)"), ({2, 1}, "{1, 2}"), ({"a": 1}, "{'a': 1}"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, ...]"), ([[[[5]]]], "[[[[...]]]]"),
        (datetime.date(2024, 2, 29), "datetime.date(2024, 2, 29)"),
        (np.float32(0.5), "np.float32(0.5)"), (b"x" * 5000, "<5,000 bytes>"),
        (-(10**5000), "<an int of 16,610 bits>"), (2**100, str(2**100)),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "int",
)  # fmt: skip
def test_how_values_are_written(value: Any, text: str) -> None:
    """Small values are written as Python writes them; of large ones only a part."""
    assert text == plain_text(value)


def test_whatever_its_size_it_is_one_short_line() -> None:
    """Long texts, long containers and deep ones give a line that can be read."""
    deep: Any = "x\n" * 10**6
    for _ in range(10**5):
        deep = [deep, "y" * 1000, deep, deep, deep, deep, deep]
    for value in (
        "x\n" * 10**6,
        [["z" * 10**6] * 7] * 7,
        dict.fromkeys("abcdefgh", "q" * 99),
        deep,
    ):
        text = plain_text(value)
        assert "\n" not in text
        assert 5000 > len(text)
