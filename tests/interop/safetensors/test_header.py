"""Headers made by hand are read exactly; what breaks a rule is refused, and nothing else comes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from checkpointable.errors import CorruptCheckpointError, UnsupportedFormatError
from checkpointable.interop.safetensors.dtypes import OURS
from tests.interop.safetensors.files import entry, file_of, opened

GOLDEN = (
    b"\x8a\0\0\0\0\0\0\0"
    b'{"__metadata__":{"by":"hand"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    b'"n.b":{"dtype":"I16","shape":[],"data_offsets":[8,10]}}'
    b"\0\0\x80\x3f\0\0\0\xc0\x02\x01"
)
#: The same file, its tensors told in another order.
U8 = {"a": entry("U8", [2], 0, 2), "b": entry("U8", [1], 2, 3)}


def broken(header: Any, data: bytes = b"abc") -> bytes:
    """Return a file with this header over three bytes."""
    return file_of(header, data)


BROKEN: dict[str, bytes] = {
    "ST-2 empty": b"",
    "ST-2 no length": b"\x02\0\0",
    "ST-2 no header": bytes(8),
    "ST-2 header beyond the file": (9).to_bytes(8, "little") + b"{}      ",
    "ST-2 header beyond any file": b"\xff" * 8 + b"{}",
    "ST-3 no object": broken([1]),
    "ST-3 no JSON": broken(b'{"a":'),
    "ST-3 two objects": broken(b"{}{}"),
    "ST-3 begins with a space": broken(b' {"a":1}'),
    "ST-3 no UTF-8": broken(b'{"\xff":1}'),
    "ST-3 a mark at the beginning": broken(b"\xef\xbb\xbf{}"),
    "ST-3 NaN": broken(b'{"a":NaN}'),
    "ST-3 a number of 10,000 digits": broken(b'{"a":' + b"9" * 10_000 + b"}"),
    "ST-3 nested": broken(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "ST-3 a name twice": broken(
        b'{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},'
        b'"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}'
    ),
    "ST-3 a field twice": broken(
        b'{"a":{"dtype":"U8","dtype":"U8","shape":[3],"data_offsets":[0,3]}}'
    ),
    "ST-3 half a surrogate pair": broken(
        b'{"\\ud800":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}'
    ),
    "ST-4 metadata are a list": broken({"__metadata__": ["a"], **U8}),
    "ST-4 metadata are a number": broken({"__metadata__": {"a": 1}, **U8}),
    "ST-5 a number": broken({"a": 7}),
    "ST-5 a list": broken({"a": [1, 2]}),
    "ST-5 no dtype": broken({"a": {"shape": [3], "data_offsets": [0, 3]}}),
    "ST-5 a dtype that is no text": broken({"a": entry([], [3], 0, 3)}),  # type: ignore[arg-type]
    "ST-5 a shape that is no list": broken({"a": entry("U8", [], 0, 3) | {"shape": "3"}}),
    "ST-5 a dimension that is no integer": broken({"a": entry("U8", [3.0], 0, 3)}),
    "ST-5 a dimension that is a list": broken({"a": entry("U8", [[3]], 0, 3)}),
    "ST-5 a dimension that is true": broken({"a": entry("U8", [3, True], 0, 3)}),
    "ST-5 a negative dimension": broken({"a": entry("U8", [-1, -3], 0, 3)}),
    "ST-5 a dimension of 2^63": broken({"a": entry("U8", [0, 2**63], 0, 0)}),
    "ST-5 more than 2^63 bytes": broken({"a": entry("U8", [2**32, 2**32, 3], 0, 3)}),
    "ST-5 2^63 bytes but for a zero": broken({"a": entry("F64", [2**60, 0], 0, 0)}),
    "ST-5 33 dimensions": broken({"a": entry("U8", [1] * 32 + [3], 0, 3)}),
    "ST-5 offsets that are no pair": broken(
        {"a": entry("U8", [3], 0, 3) | {"data_offsets": [0, 3, 3]}}
    ),
    "ST-5 offsets that are texts": broken({"a": entry("U8", [3], "0", "3")}),
    "ST-5 offsets that are floats": broken({"a": entry("U8", [3], 0, 3.0)}),
    "ST-5 a negative offset": broken({"a": entry("U8", [3], -3, 0)}),
    "ST-5 too few bytes": broken({"a": entry("U16", [3], 0, 3)}),
    "ST-6 an overlap": broken({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}),
    "ST-6 a hole": broken({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}),
    "ST-6 a hole at the beginning": broken({"a": entry("U8", [2], 1, 3)}),
    "ST-6 an empty tensor inside another": broken({**U8, "c": entry("U8", [0], 1, 1)}),
    "ST-6 data cut short": broken({"a": entry("U8", [4], 0, 4)}),
    "ST-6 more data": broken({"a": entry("U8", [2], 0, 2)}),
    "ST-6 data beyond 2^64": broken({"a": entry("U8", [3], 2**70, 2**70 + 3)}),
}


def test_a_file_made_by_hand_is_read() -> None:
    """Names, dtypes, shapes, values and metadata are those that stand in the bytes."""
    source = opened(GOLDEN)

    assert {"w": 0, "n.b": 1} == source.keys
    assert {"by": "hand"} == source.metadata
    assert [1.0, -2.0] == source.read(0).tolist()
    assert (258, np.int16) == (source.read(1)[()], source.read(1).dtype)


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_rule_is_refused(what: str) -> None:
    """Each file breaks one rule, and the error names it and the file."""
    with pytest.raises(CorruptCheckpointError, match=r"/run/a\.safetensors") as caught:
        opened(BROKEN[what])

    assert what.split(maxsplit=1)[0] == caught.value.rule


def test_a_pointer_to_a_large_file_is_refused_as_such() -> None:
    """Where Git LFS has not fetched the file, the message says how to."""
    with pytest.raises(UnsupportedFormatError, match="git lfs pull"):
        opened(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def test_an_order_of_the_tensors_is_not_asked_for() -> None:
    """A header may tell its tensors in any order, and empty ones lie between any two."""
    header = {
        "b": entry("U8", [1], 2, 3),
        "e": entry("F64", [0, 7], 2, 2),
        "a": entry("U8", [2], 0, 2),
    }
    source = opened(file_of(header, b"abc"))

    assert [[99], [], [97, 98]] == [source.read(i).tolist() for i in range(3)]


def test_an_unknown_dtype_is_refused_as_such() -> None:
    """A dtype that this library lacks is no damage; the message names tensor and dtype."""
    with pytest.raises(UnsupportedFormatError, match="'a' is of dtype 'F4'"):
        opened(file_of({"a": entry("F4", [4], 0, 2)}, b"ab"))


@pytest.mark.parametrize("dtype", OURS)
def test_every_dtype_is_read(dtype: str) -> None:
    """A tensor of each dtype has the item size and the dtype that it says."""
    size = np.dtype(opened(file_of({"a": entry(dtype, [0], 0, 0)})).read(0).dtype).itemsize
    source = opened(file_of({"a": entry(dtype, [3], 0, 3 * size)}, bytes(3 * size)))

    assert OURS[dtype] == str(source.read(0).dtype) == source.tensors[0].dtype


def test_a_header_without_tensors_is_a_file() -> None:
    """The smallest file holds nothing."""
    assert {} == opened(file_of({})).keys
    assert {"a": "b"} == opened(file_of({"__metadata__": {"a": "b"}})).metadata


def test_fields_that_are_not_known_are_left_alone() -> None:
    """A later version of the format may say more of a tensor."""
    header = {"a": entry("U8", [3], 0, 3) | {"more": {"a": [1]}}}

    assert [97, 98, 99] == opened(file_of(header, b"abc")).read(0).tolist()


def test_the_golden_header_is_what_it_seems() -> None:
    """The length in the bytes made by hand is right, which all else here rests on."""
    assert 0x8A == len(GOLDEN) - 8 - 10
    assert {"__metadata__", "w", "n.b"} == json.loads(GOLDEN[8:-10]).keys()
