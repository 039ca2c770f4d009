"""Arrays of str and bytes: each element comes back as the type it was."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.errors import CorruptCheckpointError, NotCheckpointableError
from checkpointable.format.strings import decode_strings, encode_strings


@given(st.lists(st.text(st.characters(), max_size=4) | st.binary(max_size=4), max_size=12))
@settings(max_examples=100, deadline=None)
def test_each_element_comes_back_as_the_type_it_was(items: list[Any]) -> None:
    """Text, surrogates included, and bytes come back equal and of equal types."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    blob = encode_strings(array)
    found = decode_strings(blob.data, blob.shape, array.size, "x").tolist()

    assert [(type(item), item) for item in items] == [(type(item), item) for item in found]


def test_the_bytes_are_those_of_the_specification() -> None:
    """F-37: kinds, lengths, contents, in C order."""
    array = np.array([["a", b"\xff"], ["", "é"]], dtype=object).T
    blob = encode_strings(array)

    assert ("string", (2, 2)) == (blob.dtype, blob.shape)
    assert b"\0\0\1\0" + struct.pack("<4Q", 1, 0, 1, 2) + b"a\xff\xc3\xa9" == blob.data


def test_variable_width_strings_of_numpy_come_back_as_objects() -> None:
    """An array of StringDType is stored as one of dtype object."""
    blob = encode_strings(np.array(["a", "bcd"], dtype=np.dtypes.StringDType()))

    assert ["a", "bcd"] == decode_strings(blob.data, blob.shape, 2, "x").tolist()


@pytest.mark.parametrize("item", [1, None, np.str_("a"), ["a"]], ids=repr)
def test_other_elements_are_refused(item: Any) -> None:
    """Anything but str and bytes is refused by the name of its type."""
    array = np.empty(2, dtype=object)
    array[:] = ["a", "b"]
    array[1] = item

    with pytest.raises(NotCheckpointableError, match=f"holds a {type(item).__name__}, expected"):
        encode_strings(array)


GOOD = b"\0\1" + struct.pack("<2Q", 1, 2) + b"abc"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:17],
        GOOD[:-1],
        GOOD + b"x",
        b"\2" + GOOD[1:],
        b"\0\1" + struct.pack("<2Q", 2**64 - 1, 4) + b"abc",
        b"\0\1" + struct.pack("<2Q", 2**63, 2**63 + 3) + b"abc",
        b"\0\1" + struct.pack("<2Q", 1, 2) + b"\xffbc",
    ],
    ids=["nothing", "no lengths", "short", "long", "kind", "overflow", "two overflows", "UTF-8"],
)
def test_damaged_arrays_are_refused(data: bytes) -> None:
    """F-37: bytes that do not add up are refused, without an error of numpy's."""
    with pytest.raises(CorruptCheckpointError) as raised:
        decode_strings(data, (2,), 2, "x")

    assert raised.value.rule == "F-37"
    assert ["a", b"bc"] == decode_strings(GOOD, (2,), 2, "x").tolist()
