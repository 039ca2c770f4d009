"""What a commit must know of the commit files that are there: whose they are, what they name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from checkpointable.bundle.existing import CommitFileReader
from checkpointable.storage.base import Storage


class _BundleReader:
    """Commit files of the native format."""

    def is_ours(self, storage: Storage, path: str) -> bool:
        return True

    def tokens(self, storage: Storage, index_path: str) -> Sequence[str] | None:
        return None


#: Reads commit files of the native format.
BUNDLE: Final[CommitFileReader] = _BundleReader()
