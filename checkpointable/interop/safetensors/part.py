"""A file from some place on, read as if it began there."""

from __future__ import annotations

from typing import final

from checkpointable.storage.base import ReadableFile


@final
class FilePart(ReadableFile):
    """The end of an open file. Closing it closes the file."""

    def __init__(self, file: ReadableFile, begin: int) -> None:
        self.path = file.path
        self.status = file.status
        self._file = file
        self._begin = begin

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill the buffer from an offset on, counted from where the part begins."""
        return self._file.read_into(self._begin + offset, buffer)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
