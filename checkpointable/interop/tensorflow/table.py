"""Reads a table: sorted keys and values in one file, as TensorFlow keeps an index (T-2, T-3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, final, overload

import numpy as np

from checkpointable.bundle.peek import TABLE_MAGIC
from checkpointable.errors import CheckpointError, UnsupportedFormatError
from checkpointable.format.frame import corrupt
from checkpointable.interop.tensorflow.checksums import crc, mask
from checkpointable.interop.tensorflow.snappy import decompress
from checkpointable.interop.tensorflow.varints import read_varint

_FOOTER: Final = 48
#: A block is followed by its type and its checksum.
_TRAILER: Final = 5
_RAW, _SNAPPY = 0, 1
#: Keys share their beginnings, so a small file could claim many long ones. TensorFlow shares with
#: 15 keys at most.
_MOST_KEY_BYTES: Final = 64
_FREE_KEY_BYTES: Final = 2**24


class Data(Protocol):
    """The bytes of a file, in memory or read when they are asked for."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, place: int, /) -> int: ...

    @overload
    def __getitem__(self, place: slice, /) -> memoryview | bytes: ...


def read_table(data: Data, file: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table, in ascending order, every block checked first.

    Args:
        data: the whole file.
        file: its name, for messages.

    Raises:
        CorruptCheckpointError: it is no table, or is damaged.
        UnsupportedFormatError: its keys take far more memory than the file.
        MissingDependencyError: the package crc32c is not installed.
    """
    return ((key, value) for key, value, _ in read_places(data, file))


def read_block(data: Data, handle: bytes, file: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of one block of a table again, given its handle.

    Raises:
        CorruptCheckpointError: it has been damaged meanwhile.
    """
    return _entries(_Table(data, file).block(handle), file, None)


def read_places(data: Data, file: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Do as `read_table`, and yield beside each value the handle of its block.

    Raises:
        CheckpointError: as `read_table`.
    """
    table = _Table(data, file)
    metaindex, index = table.footer()
    for _ in _entries(table.block(metaindex), file, None):
        pass
    last: bytes | None = None
    room = _MOST_KEY_BYTES * len(data) + _FREE_KEY_BYTES
    separators: bytes | None = None
    for separator, handle in _entries(table.block(index), file, None):
        if last is not None and separators is not None and separators < last:
            raise _misplaced(file)
        first = True
        for key, value in _entries(table.block(handle), file, last):
            if first and separators is not None and key <= separators:
                raise _misplaced(file)
            first = False
            room -= len(key)
            if room < 0:
                raise _too_long(file)
            yield key, value, handle
            last = key
        separators = separator
    if last is not None and separators is not None and separators < last:
        raise _misplaced(file)


@final
class _Table:
    """The blocks of a table. All that are asked for together are no longer than the file."""

    def __init__(self, data: Data, file: str) -> None:
        self._data = data
        self._file = file
        self._left = len(data)

    def footer(self) -> tuple[bytes, bytes]:
        """Return where the metaindex and the index are, as a handle each."""
        footer = bytes(self._data[-_FOOTER:])
        if len(footer) < _FOOTER or not footer.endswith(TABLE_MAGIC):
            raise corrupt(
                self._file,
                "T-2",
                "this is no table of TensorFlow's",
                expected=f"at least {_FOOTER} bytes, the last {TABLE_MAGIC.hex()}",
                found=f"{len(self._data)} bytes, the last {footer[-len(TABLE_MAGIC) :].hex()}",
            )
        middle = position = 0
        for i in range(4):
            _, position = read_varint(footer, position, _FOOTER - 8, self._file, "T-2")
            if i == 1:
                middle = position
        return footer[:middle], footer[middle:]

    def block(self, handle: bytes) -> bytes:
        """Return the contents of a block, its checksum checked, decompressed.

        Raises:
            CorruptCheckpointError: it is damaged, or is not there.
        """
        file, end = self._file, len(handle)
        offset, position = read_varint(handle, 0, end, file, "T-2")
        size, _ = read_varint(handle, position, end, file, "T-2")
        stop = offset + size + _TRAILER
        if stop > len(self._data) - _FOOTER:
            raise corrupt(
                file,
                "T-2",
                "a block lies outside of the file",
                expected=f"its end at most at {len(self._data) - _FOOTER}",
                found=stop,
            )
        self._left -= size + _TRAILER
        if self._left < 0:
            raise corrupt(file, "T-2", "two blocks share their bytes")
        stored = int.from_bytes(self._data[stop - 4 : stop], "little")
        computed = mask(crc(self._data[offset : stop - 4]))
        if stored != computed:
            raise corrupt(
                file,
                "T-2",
                f"the checksum of the block at {offset} is wrong",
                expected=f"{stored:08x}",
                found=f"{computed:08x}",
            )
        contents, kind = bytes(self._data[offset : offset + size]), self._data[offset + size]
        if kind == _SNAPPY:
            return decompress(contents, file)
        if kind != _RAW:
            raise corrupt(
                file,
                "T-2",
                f"the block at {offset} is of an unknown type",
                expected=f"{_RAW} (plain) or {_SNAPPY} (Snappy)",
                found=kind,
            )
        return contents


def _entries(block: bytes, file: str, last: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block; the first key must come after `last`."""
    end = _entries_end(block, file)
    position, restarts, key = 0, list[int](), b""
    while position < end:
        # Most of the three numbers take one byte; the restarts follow, so there are three.
        shared, unshared, length = block[position], block[position + 1], block[position + 2]
        start = position + 3
        if shared | unshared | length > 127:
            shared, start = read_varint(block, position, end, file, "T-2")
            unshared, start = read_varint(block, start, end, file, "T-2")
            length, start = read_varint(block, start, end, file, "T-2")
        middle = start + unshared
        if middle + length > end or shared > len(key):
            raise corrupt(file, "T-2", f"an entry reaches beyond its block (byte {position})")
        if not shared:
            restarts.append(position)
        key = key[:shared] + block[start:middle]
        if last is not None and key <= last:
            raise corrupt(
                file,
                "T-3",
                "the keys do not ascend",
                expected=f"one above {last[:80]!r}",
                found=f"{key[:80]!r}",
            )
        last = key
        position = middle + length
        yield key, block[middle:position]
    _check_restarts(block[end:-4], restarts, file)


def _entries_end(block: bytes, file: str) -> int:
    """Return where the entries of a block end and its restarts begin."""
    count = int.from_bytes(block[-4:], "little") if len(block) >= 4 else -1
    end = len(block) - 4 * (count + 1)
    if count < 0 or end < 0 or (end and not count):
        raise corrupt(
            file,
            "T-2",
            "the restarts of a block do not fit it",
            expected=f"at most {max(len(block) // 4 - 1, 0)}, and one if there is an entry",
            found=count if count >= 0 else f"a block of {len(block)} bytes",
        )
    return end


def _check_restarts(stored: bytes, found: list[int], file: str) -> None:
    """Check that restarts are entries which share nothing, the first of them first."""
    restarts = np.frombuffer(stored, "<u4")
    if not found:
        found = [0]
    if not np.isin(restarts, found).all() or (len(restarts) and restarts[0]):
        raise corrupt(file, "T-2", "a restart of a block is no entry with its whole key")


def _misplaced(file: str) -> CheckpointError:
    return corrupt(file, "T-3", "a block has keys that the index of the table puts elsewhere")


def _too_long(file: str) -> CheckpointError:
    return UnsupportedFormatError(
        f"{file}: the keys of this table together are more than {_MOST_KEY_BYTES} times as long as"
        " the file (T-3 of docs/tensorflow-format.md). TensorFlow writes no such file: it is"
        " damaged, or was made to exhaust memory."
    )
