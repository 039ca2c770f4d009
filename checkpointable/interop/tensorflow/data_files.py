"""The open data files of a bundle: every piece is read from there and verified (T-7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from checkpointable.errors import CheckpointError, UnsupportedFormatError
from checkpointable.format.dtypes import stored_dtype
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import CHUNK
from checkpointable.interop.tensorflow.checksums import crc, mask
from checkpointable.interop.tensorflow.dtypes import VARIANT_NUMBER
from checkpointable.interop.tensorflow.entries import Entries
from checkpointable.interop.tensorflow.strings import decode_strings, decode_variants
from checkpointable.storage.base import ReadableFile

Array = npt.NDArray[Any]

#: How much is read before it is summed up: little enough to be in a cache still.
_BLOCK: Final = 2 * CHUNK


@final
class DataFiles:
    """Reads what the entries of an index stand for. Thread-safe.

    Attributes:
        entries: what the index says.
    """

    def __init__(self, entries: Entries, files: Mapping[int, ReadableFile]) -> None:
        self.entries = entries
        self._files = files
        self._verified: set[int] = set()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def read_bytes(self, entry: int, buffer: memoryview) -> None:
        """Fill a buffer with all bytes of an entry as they are stored, verified.

        Raises:
            CorruptCheckpointError: the file is cut short, or the checksum is wrong.
            StorageError: the storage failed.
        """
        self._scan(entry, _parts(buffer))

    def read_raw(self, entry: int, begin: int, end: int) -> bytearray:
        """Return the bytes between two places of an entry, not verified.

        Raises:
            CorruptCheckpointError: the file is cut short.
            StorageError: the storage failed.
        """
        buffer = bytearray(end - begin)
        self._read(entry, begin, memoryview(buffer))
        return buffer

    def read_elements(self, entry: int, first: int, last: int) -> Array:
        """Return the elements between two positions of an entry, all of which is verified once.

        Raises:
            CorruptCheckpointError: the file is cut short, or the checksum is wrong.
            StorageError: the storage failed.
        """
        self.verify_once(entry)
        stored = stored_dtype(self.entries.kinds[entry].info.dtype)
        data = self.read_raw(entry, first * stored.itemsize, last * stored.itemsize)
        array = np.frombuffer(data, np.uint8).view(stored)
        self.to_little_endian(array)
        return array

    def verify_once(self, entry: int) -> None:
        """Check the checksum of an entry of fixed item size unless that was done before.

        Raises:
            CorruptCheckpointError: the file is cut short, or the checksum is wrong.
            StorageError: the storage failed.
        """
        if entry not in self._verified:
            self.verify(entry)

    def verify(self, entry: int, look: Callable[[memoryview], None] | None = None) -> None:
        """Check the checksum of an entry of fixed item size, a block at a time.

        Args:
            entry: its number.
            look: is shown every block.

        Raises:
            CorruptCheckpointError: the file is cut short, or the checksum is wrong.
            StorageError: the storage failed.
        """
        self._scan(entry, self._blocks(entry), look)
        self._verified.add(entry)

    def read_items(self, entry: int) -> list[bytes]:
        """Return the elements of an entry of strings or variants, verified.

        Raises:
            CorruptCheckpointError: they are damaged.
            StorageError: the storage failed.
        """
        entries, file = self.entries, self._file(entry).path
        kind, size = entries.kinds[entry], entries.size[entry]
        data = memoryview(self.read_raw(entry, 0, size))
        if kind.number == VARIANT_NUMBER:
            if entries.order == "big":
                raise UnsupportedFormatError(
                    f"{file}: the tensor {entries.keys[entry][:80]!r} holds variants in big-endian"
                    " order, which nothing can read (T-9 of docs/tensorflow-format.md). Skip it."
                )
            decoded = decode_variants(data, kind.info.size, file)
        else:
            decoded = decode_strings(data, kind.info.size, entries.order, file)
        if size and decoded.checksum != entries.checksum[entry]:
            raise self._wrong(entry, decoded.checksum)
        return decoded.items

    def to_little_endian(self, array: Array) -> None:
        """Turn the bytes of elements round, in place, if the files have the other order."""
        if self.entries.order == "little":
            return
        item = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
        if item > 1:
            array.reshape(-1).view(f"u{item}").byteswap(inplace=True)

    def check(self, entry: int, checksum: int) -> None:
        """Check the checksum of an entry whose bytes were read elsewhere.

        Raises:
            CorruptCheckpointError: it is wrong.
        """
        if mask(checksum) != self.entries.checksum[entry]:
            raise self._wrong(entry, mask(checksum))

    def _scan(
        self,
        entry: int,
        blocks: Iterator[memoryview],
        look: Callable[[memoryview], None] | None = None,
    ) -> None:
        """Read an entry into one block after the other; check the checksum of all."""
        checksum = place = 0
        for block in blocks:
            self._read(entry, place, block)
            checksum = crc(block, checksum)
            place += len(block)
            if look is not None:
                look(block)
        if place:
            self.check(entry, checksum)

    def _blocks(self, entry: int) -> Iterator[memoryview]:
        """Yield one buffer over and over, as often as an entry has bytes for it."""
        size = self.entries.size[entry]
        buffer = memoryview(bytearray(min(size, _BLOCK)))
        for begin in range(0, size, _BLOCK):
            yield buffer[: min(_BLOCK, size - begin)]

    def _read(self, entry: int, begin: int, buffer: memoryview) -> None:
        file, offset = self._file(entry), self.entries.offset[entry] + begin
        found = file.read_into(offset, buffer)
        if found != len(buffer):
            raise corrupt(
                file.path,
                "T-7",
                "the file is cut short",
                expected=f"{offset + len(buffer)} bytes",
                found=offset + found,
            )

    def _file(self, entry: int) -> ReadableFile:
        return self._files[self.entries.shard[entry]]

    def _wrong(self, entry: int, checksum: int) -> CheckpointError:
        entries = self.entries
        return corrupt(
            self._file(entry).path,
            "T-7",
            f"the checksum of the tensor {entries.keys[entry][:80]!r} (bytes"
            f" {entries.offset[entry]} to {entries.offset[entry] + entries.size[entry]}) is wrong",
            expected=f"{entries.checksum[entry]:08x}",
            found=f"{checksum:08x}",
        )


def _parts(buffer: memoryview) -> Iterator[memoryview]:
    """Yield a buffer block by block."""
    for begin in range(0, len(buffer), _BLOCK):
        yield buffer[begin : begin + _BLOCK]
