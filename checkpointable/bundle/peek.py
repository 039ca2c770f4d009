"""What a commit must know of the commit files that are there: whose they are, what they name.

Also the beginning of recognising a checkpoint: by its first or last bytes, never by its name (F-4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from checkpointable.bundle.existing import CommitFileReader
from checkpointable.bundle.files import FileKind, read_name
from checkpointable.errors import CheckpointError
from checkpointable.format.frame import MAGIC
from checkpointable.format.index import decode_index
from checkpointable.format.single import FOOTER_MAGIC
from checkpointable.storage.base import Storage, read_all


@final
class BundleReader(CommitFileReader):
    """Looks into commit files of the native format."""

    def is_ours(self, storage: Storage, path: str) -> bool:
        """Tell whether a regular file is an index or a one-file checkpoint, damaged or not.

        An empty index counts: a power cut after `durable=False` leaves such, and there is nothing
        in it to be lost.
        """
        file = storage.open_read(path)
        try:
            head, tail = bytearray(len(MAGIC)), bytearray(len(MAGIC))
            file.read_into(0, memoryview(head))
            file.read_into(max(0, file.status.size - len(tail)), memoryview(tail))
        finally:
            file.close()
        if not file.status.size:
            return read_name(path).kind is FileKind.INDEX
        return head == MAGIC or tail == FOOTER_MAGIC

    def tokens(self, storage: Storage, index_path: str) -> Sequence[str] | None:
        """Return the tokens that an index names; `None` if it cannot be read."""
        try:
            return decode_index(read_all(storage, index_path), index_path).tokens
        except CheckpointError:
            return None


#: Looks into commit files of the native format.
BUNDLE: Final = BundleReader()
