"""Recognises a checkpoint of any format by its first or last bytes, never by its name (F-4).

A commit must know so much of the commit files that are there: whose they are, what they name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final, final

from checkpointable.bundle.existing import CommitFileReader
from checkpointable.bundle.files import FileKind, read_name
from checkpointable.errors import CheckpointError
from checkpointable.format.frame import MAGIC
from checkpointable.format.index import decode_index
from checkpointable.format.single import FOOTER_MAGIC
from checkpointable.storage.base import ReadableFile, Storage, read_all

#: The last bytes of a table of TensorFlow (T-2).
TABLE_MAGIC: Final = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
_END: Final = 8

#: How TensorFlow's index begins, if it is not compressed: no key, a value of some bytes, the field
#: of the number of shards, in groups of 7 bits.
_FIRST_ENTRY: Final = re.compile(rb"\0\0[\x02-\x7f]\x08([\x80-\xff]{0,2}[\x01-\x7f])", re.DOTALL)
#: What may follow: that it is big-endian; and what does: the version. An index that is cut short,
#: for TensorFlow does not write it at once, is known by that.
_HEADER: Final = re.compile(_FIRST_ENTRY.pattern + rb"(?:\x10\x01)?\x1a\x02\x08\x01", re.DOTALL)
_BEGINNING: Final = 16

#: Before the header of a safetensors file stands its length, in 8 bytes.
_LENGTH: Final = 8
#: The longest header, in bytes (ST-2).
LONGEST_HEADER: Final = 100_000_000
#: What the header of a safetensors file of this library holds (ST-8).
OWN_MARK: Final = "checkpointable index "


class Content(Enum):
    """What a file is, as its first and last bytes say; it may be damaged all the same."""

    INDEX = "an index of this library"
    ONE_FILE = "a checkpoint of this library in one file"
    TABLE = "a table of TensorFlow: an index, or a part of a checkpoint of its first format"
    SAFETENSORS = "a safetensors file"
    EMPTY = "an empty file"
    UNKNOWN = "something else"


#: What nobody else writes, and what holds nothing of anybody's.
_OWN: Final = (Content.INDEX, Content.ONE_FILE, Content.EMPTY)


def recognise(file: ReadableFile) -> Content:
    """Return what an open file is.

    Raises:
        StorageError: it cannot be read.
    """
    if not file.status.size:
        return Content.EMPTY
    head, tail = _ends(file)
    if head.startswith(MAGIC):
        return Content.INDEX
    if tail == FOOTER_MAGIC:
        return Content.ONE_FILE
    if tail == TABLE_MAGIC or _HEADER.match(head):
        return Content.TABLE
    length = int.from_bytes(head[:_LENGTH], "little")
    is_safetensors = head[_LENGTH] == ord("{") and 2 <= length <= LONGEST_HEADER
    return Content.SAFETENSORS if is_safetensors else Content.UNKNOWN


def _ends(file: ReadableFile) -> tuple[bytearray, bytearray]:
    """Return the first and the last bytes of a file, zeros where it is shorter."""
    head, tail = bytearray(_BEGINNING), bytearray(_END)
    file.read_into(0, memoryview(head))
    file.read_into(max(0, file.status.size - _END), memoryview(tail))
    return head, tail


@final
class CommitFiles(CommitFileReader):
    """Looks into commit files of every format."""

    def is_checkpoint(self, storage: Storage, path: str) -> bool:
        """Tell whether a regular file is the commit file of a checkpoint, damaged or not.

        An empty file that is named as one counts: a power cut after `durable=False` leaves such,
        and there is nothing in it to be lost.
        """
        content = self.content(storage, path)
        if content is Content.EMPTY:
            return read_name(path).kind in (FileKind.INDEX, FileKind.SAFETENSORS)
        return content is not Content.UNKNOWN

    def is_own(self, storage: Storage, path: str) -> bool:
        """Tell whether this library wrote a commit file, as far as can be told from its bytes."""
        file = storage.open_read(path)
        try:
            content = recognise(file)
            if content is not Content.SAFETENSORS:
                return content in _OWN
            length = bytearray(_LENGTH)
            file.read_into(0, memoryview(length))
            size = min(int.from_bytes(length, "little"), file.status.size)
            header = bytearray(size)
            file.read_into(_LENGTH, memoryview(header))
            return OWN_MARK.encode() in header
        finally:
            file.close()

    def content(self, storage: Storage, path: str) -> Content:
        """Return what the file at a path is.

        Raises:
            CheckpointNotFoundError: there is none.
            StorageError: it is no regular file, or cannot be read.
        """
        file = storage.open_read(path)
        try:
            return recognise(file)
        finally:
            file.close()

    def tokens(self, storage: Storage, index_path: str) -> Sequence[str] | None:
        """Return the tokens that an index names, none if it is TensorFlow's; `None`: unknown."""
        try:
            data = read_all(storage, index_path)
            if data.endswith(TABLE_MAGIC) and not data.startswith(MAGIC):
                return ()
            return decode_index(data, index_path).tokens
        except CheckpointError:
            return None

    def count_without_tokens(self, storage: Storage, index_path: str) -> int | None:
        """Return how many shards without token an index names: none, unless it is TensorFlow's.

        TensorFlow's begins with an entry of the empty key, whose value begins with that number.
        """
        file = storage.open_read(index_path)
        try:
            head, tail = _ends(file)
        finally:
            file.close()
        if head.startswith(MAGIC):
            return 0
        match = _FIRST_ENTRY.match(head) if tail == TABLE_MAGIC else None
        if match is None:
            return None
        groups: bytes = match[1]
        return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(groups))


#: Looks into commit files of every format.
COMMIT_FILES: Final = CommitFiles()
