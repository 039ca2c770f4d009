"""Tables: whatever way they are cut, compressed or damaged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checkpointable.errors import CorruptCheckpointError, UnsupportedFormatError
from checkpointable.interop.tensorflow import table as reader
from checkpointable.interop.tensorflow.snappy import decompress
from checkpointable.interop.tensorflow.table import read_table
from tests.interop.tensorflow.bundles import (
    MAGIC,
    Style,
    block,
    finished,
    literal,
    on_disk,
    snappy,
    table,
    varint,
)

Rows = list[tuple[bytes, bytes]]
GOLDEN = bytes.fromhex(
    "00000608011a0208010008110070000101018082080312041202080220102808"
    "35bfdfdb7a0602118282080312041202080220182808357443a3aa00020f6162"
    "0801120412020802280835593ce5350201116308071204120208022008280835"
    "9e9e48ed0001167008031204120208043a040a0210023a060a04080210020000"
    "00000100000000422eb893000000000100000000c0f2a1b00001037100860100"
    "00000001000000006cfdf9398b010898010f0000000000000000000000000000"
    "000000000000000000000000000000000000000057fb808b247547db"
)
ROWS: Rows = [(b"", b"head"), *((f"key/{i:03d}".encode(), b"v" * (i % 7)) for i in range(14))]


def read(data: bytes) -> Rows:
    """Return the rows of a table."""
    return list(read_table(memoryview(data), "table"))


def test_the_golden_index() -> None:
    """T-2: the rows of an index of TensorFlow's are those that stand there."""
    assert [
        (b"", "08011a020801"),
        (b"\0p\0\1\1\1\x80\x82", "080312041202080220102808" + "35bfdfdb7a"),
        (b"\0p\0\1\1\1\x82\x82", "080312041202080220182808" + "357443a3aa"),
        (b"ab", "08011204120208022808" + "35593ce535"),
        (b"abc", "080712041202080220082808" + "359e9e48ed"),
        (b"p", "08031204120208043a040a0210023a060a0408021002"),
    ] == [(key, value.hex()) for key, value in read(GOLDEN)]


keys = st.binary(max_size=6) | st.sampled_from([b"\xff" * 3, b"a" * 200, b"a" * 199 + b"b"])
styles = st.builds(
    Style,
    size=st.sampled_from([1, 20, 100, 300, 10**9]),
    interval=st.sampled_from([1, 2, 3, 16, 1000]),
    compress=st.sampled_from([None, snappy, literal]),
)


@given(st.dictionaries(keys, st.binary(max_size=300), max_size=40), styles)
@settings(deadline=None)
@example({b"a" * 300: b"x" * 500, b"a" * 301: b""}, Style(1, 16, snappy))
def test_any_table(content: dict[bytes, bytes], style: Style) -> None:
    """T-2, T-16: rows come back whatever the size of blocks, the restarts, the compression."""
    rows = sorted(content.items())

    assert rows == read(table(rows, style))


@given(
    st.lists(
        st.binary(max_size=200)
        | st.builds(
            lambda b, n: b * n, st.binary(max_size=3), st.sampled_from([0, 1, 60, 61, 257, 3000])
        ),
        max_size=6,
    )
)
@settings(deadline=None, max_examples=60)
@example([bytes(range(256)), b"a" * 70_000, bytes(range(256))])
def test_snappy(parts: list[bytes]) -> None:
    """T-16: what was compressed comes back, with copies of all lengths and distances."""
    data = b"".join(parts)

    assert data == decompress(snappy(data), "file") == decompress(literal(data), "file")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("00", ""),
        ("0a 04 6162 11 02", "6162616261626162 6162"),
        ("0a 00 61 22 0100", "61" * 10),
        ("05 00 61 0f 01000000", "61" * 5),
        ("03 f0 02 616263", "616263"),
        ("03 f4 0200 616263", "616263"),
        ("03 fc 02000000 616263", "616263"),
    ],
)
def test_elements_of_snappy(data: str, expected: str) -> None:
    """T-16: each kind of literal and of copy, bytes by hand."""
    assert bytes.fromhex(expected) == decompress(bytes.fromhex(data), "file")


@pytest.mark.parametrize(
    "data",
    [
        "",  # no length
        "80",  # half a length
        "05 04 61",  # a literal that goes on beyond the end
        "01 04 6162",  # more than was said
        "03 04 6162",  # less than was said
        "0a 04 6162 11 03",  # a copy from before the beginning
        "0a 04 6162 11 00",  # a copy from here
        "0a 04 6162 11",  # a copy cut short
        "04 04 6162 11 02",  # a copy that gives more than was said
        "ffffffff0f 00 61",  # a length that is not there
        "02 fc 020000",  # the length of a literal cut short
    ],
)
def test_damaged_snappy(data: str) -> None:
    """T-16: what is no compressed block is refused, and no more memory taken than it gives."""
    with pytest.raises(CorruptCheckpointError) as error:
        decompress(bytes.fromhex(data), "file")
    assert error.value.rule == "T-16"


def test_a_block_says_what_it_is() -> None:
    """T-2: a block of a type that nobody knows is refused."""
    with pytest.raises(CorruptCheckpointError, match="unknown type"):
        read(table(ROWS, Style(kind=2)))


@pytest.mark.parametrize("style", [Style(), Style(60, 4), Style(60, 4, snappy)], ids=str)
def test_every_flipped_bit_is_found_or_changes_nothing(style: Style) -> None:
    """T-2: a table with a flipped bit is refused, or read as before: only padding is not checked.

    Bits of the footer that make other handles must lead to no other rows.
    """
    data = table(ROWS, style)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert ROWS == read(bytes(changed))
        except CorruptCheckpointError:
            continue


def test_every_cut_is_found() -> None:
    """T-2: no beginning of a table, and no table with bytes after it, is one."""
    data = table(ROWS, Style(60))
    for changed in [*(data[:n] for n in range(len(data))), data + b"\0", data[1:], b"\0" + data]:
        with pytest.raises(CorruptCheckpointError):
            read(changed)


def odd(contents: bytes, key: bytes = b"z") -> bytes:
    """Return a table of one block of these contents."""
    data = on_disk(contents, Style())
    return finished(data, [(key, varint(0) + varint(len(contents)))], Style())


def two(first: Rows, second: Rows, keys: Sequence[bytes]) -> bytes:
    """Return a table of two blocks that stand in the index under these keys."""
    parts = [on_disk(block(rows), Style()) for rows in (first, second)]
    places = [varint(0) + varint(len(parts[0]) - 5)]
    places.append(varint(len(parts[0])) + varint(len(parts[1]) - 5))
    return finished(b"".join(parts), list(zip(keys, places, strict=True)), Style())


A, B, C = (b"a", b"1"), (b"b", b"2"), (b"c", b"3")
RESTART = bytes(4) + (1).to_bytes(4, "little")
LARGE = (2**32 - 1).to_bytes(4, "little")
BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "T-2"),
    "47 bytes": (bytes(39) + MAGIC, "T-2"),
    "no magic": (bytes(48), "T-2"),
    "a footer without handles": (bytes(40) + MAGIC, "T-2"),
    "handles beyond the end": ((varint(0) + varint(99)).ljust(40, b"\0") + MAGIC, "T-2"),
    "handles of 2**64": ((b"\xff" * 9 + b"\1" + varint(1)).ljust(40, b"\0") + MAGIC, "T-2"),
    "numbers of 11 bytes": (b"\x80" * 40 + MAGIC, "T-2"),
    "a number of 70 bits": ((b"\xff" * 9 + b"\x7f").ljust(40, b"\0") + MAGIC, "T-2"),
    "a block of 3 bytes": (odd(b"abc"), "T-2"),
    "more restarts than the block": (odd(bytes(4) + LARGE), "T-2"),
    "no restart": (odd(b"\0\1\0a" + bytes(4)), "T-2"),
    "a restart beyond the entries": (odd(b"\0\1\0a" + b"\5\0\0\0\1\0\0\0"), "T-2"),
    "a restart between entries": (odd(b"\0\2\0ab" + bytes(4) + b"\1\0\0\0\2\0\0\0"), "T-2"),
    "a first restart that is not the first": (
        odd(b"\0\1\0a\0\1\0b" + b"\4\0\0\0\1\0\0\0"),
        "T-2",
    ),
    "a restart that shares": (
        odd(b"\0\1\0a\1\1\0b" + bytes(4) + b"\4\0\0\0\2\0\0\0"),
        "T-2",
    ),
    "a key that shares more than there is": (odd(b"\1\1\0a" + RESTART), "T-2"),
    "a key beyond the entries": (odd(b"\0\x09\0a" + RESTART), "T-2"),
    "a value beyond the entries": (odd(b"\0\1\x09a" + RESTART), "T-2"),
    "lengths of 2**63": (odd(b"\0" + varint(2**63) + b"\1a" + RESTART), "T-2"),
    "half a number": (odd(b"\0\1\x80" + RESTART), "T-2"),
    "a key twice": (odd(block([A, A])), "T-3"),
    "keys that descend": (odd(block([B, A])), "T-3"),
    "keys that descend between blocks": (two([B], [A], [b"b", b"z"]), "T-3"),
    "an index key below its block": (two([A], [C], [b"A", b"z"]), "T-3"),
    "a last index key below its block": (two([A], [C], [b"a", b"b"]), "T-3"),
    "an index key that reaches into the next block": (two([A], [B, C], [b"b", b"z"]), "T-3"),
    "index keys that descend": (two([A], [B], [b"z", b"b"]), "T-3"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_table_is_refused(what: str) -> None:
    """T-2, T-3: each breach is told with its rule, and the file."""
    data, rule = BAD[what]
    with pytest.raises(CorruptCheckpointError) as error:
        read(data)
    assert (rule, "table") == (error.value.rule, error.value.file)


def test_blocks_that_share_bytes_are_refused() -> None:
    """T-2: an index that leads to one empty block again and again takes no more than one look."""
    data = on_disk(block([]), Style())
    index = [(f"{i:06d}".encode(), varint(0) + varint(len(data) - 5)) for i in range(3000)]
    with pytest.raises(CorruptCheckpointError, match="share their bytes"):
        read(finished(data, index, Style(interval=16)))


def test_keys_that_would_fill_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-3: keys that share a long beginning are refused when they are far longer than the file."""
    monkeypatch.setattr(reader, "_FREE_KEY_BYTES", 1000)
    rows = [(b"k" * 1000 + i.to_bytes(2, "big"), b"") for i in range(1000)]
    assert rows == read(table(rows, Style(interval=16)))
    with pytest.raises(UnsupportedFormatError, match="exhaust memory"):
        read(table(rows, Style(10**9, interval=10**6)))


def test_the_padding_of_the_footer_is_not_looked_at() -> None:
    """T-2: TensorFlow ignores what stands between the handles and the magic; so is it here."""
    data = bytearray(table(ROWS))
    data[-20:-8] = b"\x55" * 12

    assert ROWS == read(bytes(data))


def test_more_bytes_in_the_index_of_blocks_are_ignored() -> None:
    """T-2: what follows a place in the index of a table is not looked at."""
    data = on_disk(block(ROWS), Style())
    index = [(b"z", varint(0) + varint(len(data) - 5) + b"more")]

    assert ROWS == read(finished(data, index, Style()))
