"""Writes a table of keys and values as TensorFlow does, byte for byte (T-2).

Blocks are never compressed: the first versions of TensorFlow could not read compressed ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from checkpointable.interop.tensorflow.checksums import crc, mask
from checkpointable.interop.tensorflow.varints import encode_varint

#: A block of entries is ended once it has this many bytes.
_BLOCK: Final = 262_144
#: After so many entries one is written with its whole key: among the data, and in the index.
_DATA_INTERVAL: Final = 16
_INDEX_INTERVAL: Final = 1
_RAW: Final = b"\x00"
_PLACES: Final = 40
_MAGIC: Final = bytes.fromhex("57fb808b247547db")


def encode_table(rows: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the pieces of the file that holds these keys and values.

    Args:
        rows: keys in strictly increasing order of their bytes, and their values.

    Raises:
        ValueError: a key is not greater than the one before it.
    """
    file = _Pieces()
    index = _Block(_INDEX_INTERVAL)
    data = _Block(_DATA_INTERVAL)
    place: bytes | None = None  # of a block that has no entry in the index yet
    last: bytes | None = None
    for key, value in rows:
        if last is not None:
            if key <= last:
                raise ValueError(f"the key {key!r} follows {last!r}, expected a greater one")
            if len(key) + len(value) >= 2 * _BLOCK and data.count:
                place, data = file.add(data), _Block(_DATA_INTERVAL)
            if place is not None:
                index.add(_between(last, key), place)
                place = None
        data.add(key, value)
        last = key
        if data.size >= _BLOCK:
            place, data = file.add(data), _Block(_DATA_INTERVAL)
    if data.count:
        place = file.add(data)
    metaindex = file.add(_Block(_DATA_INTERVAL))
    if place is not None and last is not None:
        index.add(_after(last), place)
    footer = metaindex + file.add(index)
    file.pieces.append(footer.ljust(_PLACES, b"\x00") + _MAGIC)
    return file.pieces


class _Pieces:
    """The pieces of a file that grows by whole blocks."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._length = 0

    def add(self, block: _Block) -> bytes:
        """Append a block and return its place: offset and size."""
        content = block.content() + _RAW
        place = encode_varint(self._length) + encode_varint(len(content) - len(_RAW))
        self.pieces.append(content + mask(crc(content)).to_bytes(4, "little"))
        self._length += len(self.pieces[-1])
        return place


class _Block:
    """Entries whose keys share what they begin with; every so many one has its whole key."""

    def __init__(self, interval: int) -> None:
        self.count = 0
        self._interval = interval
        self._content = bytearray()
        self._restarts = [0]
        self._key = b""

    @property
    def size(self) -> int:
        """The bytes of the block as it stands."""
        return len(self._content) + 4 * len(self._restarts) + 4

    def add(self, key: bytes, value: bytes) -> None:
        """Append an entry."""
        shared = 0
        if self.count % self._interval:
            shared = _common(self._key, key)
        elif self.count:
            self._restarts.append(len(self._content))
        unshared = len(key) - shared
        if unshared < 0x80 > len(value) and shared < 0x80:
            self._content += bytes((shared, unshared, len(value)))
        else:
            self._content += (
                encode_varint(shared) + encode_varint(unshared) + encode_varint(len(value))
            )
        self._content += key[shared:]
        self._content += value
        self._key = key
        self.count += 1

    def content(self) -> bytes:
        """Return the entries, where keys are whole, and how many these are."""
        numbers = (*self._restarts, len(self._restarts))
        return bytes(self._content) + b"".join(n.to_bytes(4, "little") for n in numbers)


def _common(one: bytes, other: bytes) -> int:
    """Return how many bytes two keys share at their beginning."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    differing = int.from_bytes(one[:length], "big") ^ int.from_bytes(other[:length], "big")
    return length - (differing.bit_length() + 7) // 8


def _between(one: bytes, other: bytes) -> bytes:
    """Return a short key that is not below `one` and below the greater key `other`."""
    common = _common(one, other)
    if common < len(one) and one[common] + 1 < other[common]:
        return one[:common] + bytes((one[common] + 1,))
    return one


def _after(key: bytes) -> bytes:
    """Return a short key that is not below the last one."""
    for i, byte in enumerate(key):
        if byte != 0xFF:
            return key[:i] + bytes((byte + 1,))
    return key
