"""What is written into tables is what TensorFlow writes, and is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpointable.bundle.peek import TABLE_MAGIC
from checkpointable.interop.tensorflow.table import read_table
from checkpointable.interop.tensorflow.table_writer import encode_table

SAMPLES = Path(__file__).parents[2] / "fixtures" / "tensorflow"
TABLES = sorted(
    path
    for path in SAMPLES.rglob("*")
    if path.is_file() and path.read_bytes().endswith(TABLE_MAGIC)
)
BLOCK = 262_144


def table(rows: list[tuple[bytes, bytes]]) -> bytes:
    """Return the file that holds these rows."""
    return b"".join(encode_table(rows))


def read(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the rows in a file."""
    return list(read_table(memoryview(data), "table"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_tables_of_tensorflow_are_written_byte_for_byte(path: Path) -> None:
    """T-2: the rows of every index and of every file of version 1 give that very file again."""
    data = path.read_bytes()

    assert data == table(read(data))


def test_there_are_samples_of_both_kinds() -> None:
    """Indexes and files of version 1 are among the samples, and one of several blocks."""
    assert {".index", ""} <= {path.suffix if path.suffix == ".index" else "" for path in TABLES}
    assert max(path.stat().st_size for path in TABLES) > BLOCK


def test_an_empty_table_is_written_as_specified() -> None:
    """T-2: two blocks without entries and the footer."""
    block = bytes.fromhex("00000000 01000000 00 c0f2a1b0")
    footer = bytes.fromhex("0008 0d08").ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")

    assert block + block + footer == table([])


SIZES = st.sampled_from([0, 1, 127, 128, 300]) | st.integers(0, 600)
LARGE = st.sampled_from([n + d for n in (BLOCK, 2 * BLOCK) for d in range(-40, 3)])


@given(st.dictionaries(st.binary(max_size=12) | st.binary(min_size=120, max_size=300), SIZES))
def test_any_keys_and_values_are_read_back(sizes: dict[bytes, int]) -> None:
    """T-2, T-3: whatever is written is read back, the empty key and NULs included."""
    rows = sorted((key, bytes(size)) for key, size in sizes.items())

    assert rows == read(table(rows))


@given(st.dictionaries(st.text("ab\xff", max_size=6), SIZES | LARGE, max_size=12))
@settings(max_examples=50, deadline=None)
def test_any_number_of_blocks_is_read_back(sizes: dict[str, int]) -> None:
    """T-2: values about as large as a block, and as two, give blocks that are read back."""
    rows = sorted((key.encode("latin-1"), bytes(size)) for key, size in sizes.items())

    assert rows == read(table(rows))


def number(data: bytes, position: int) -> tuple[int, int]:
    """Return the number in groups of seven bits at a position, and the position after it."""
    value = shift = 0
    while data[position] >= 128:
        value |= (data[position] - 128) << shift
        position, shift = position + 1, shift + 7
    return value | data[position] << shift, position + 1


def values(block: bytes) -> list[bytes]:
    """Return the values of the entries of a block."""
    end, position = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little"), 0
    found = []
    while position < end:
        _, position = number(block, position)
        unshared, position = number(block, position)
        length, position = number(block, position)
        position += unshared + length
        found.append(block[position - length : position])
    return found


def blocks(data: bytes) -> list[int]:
    """Return how many entries each block of a table has, read by the letter of the format."""
    places = data[-48:]
    for _ in range(2):
        places = places[number(places, 0)[1] :]
    return [len(values(block_at(data, place))) for place in values(block_at(data, places))]


def block_at(data: bytes, place: bytes) -> bytes:
    """Return the block at a place."""
    offset, position = number(place, 0)
    return data[offset : offset + number(place, position)[0]]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([100, BLOCK, 100], [2, 1]),  # the block is full after the second entry
        ([100, 2 * BLOCK, 100], [1, 1, 1]),  # what is twice as long has a block of its own
        ([100, 2 * BLOCK - 2, 100], [2, 1]),
        ([BLOCK - 15, 100], [2]),  # three numbers (5 bytes), the key, one restart, their count
        ([BLOCK - 14, 100], [1, 1]),
    ],
)
def test_blocks_end_where_tensorflow_ends_them(lengths: list[int], expected: list[int]) -> None:
    """T-2: a block is ended once it has 262,144 bytes, and before an entry twice as long."""
    rows = [(bytes([65 + i]), bytes([97 + i]) * n) for i, n in enumerate(lengths)]

    assert expected == blocks(table(rows))


@pytest.mark.parametrize("keys", [[b"a", b"a"], [b"b", b"a"], [b"a\0", b"a"], [b"", b""]])
def test_keys_that_do_not_ascend_are_refused(keys: list[bytes]) -> None:
    """T-3: the writer never makes a table that no reader takes."""
    with pytest.raises(ValueError, match="expected a greater one"):
        encode_table([(key, b"") for key in keys])
