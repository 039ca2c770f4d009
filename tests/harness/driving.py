"""What the harness asks of a checkpoint format, and the plainest format that answers.

A `Driver` saves a checkpoint made from one number and reads the number back, having checked every
byte. `RawDriver` writes checksummed bytes through the commit protocol: no real writer or reader is
needed to test the protocol itself.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from checkpointable.bundle import files
from checkpointable.bundle.commit import begin
from checkpointable.bundle.existing import CommitFileReader
from checkpointable.errors import CheckpointError, CorruptCheckpointError
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Storage, read_all


class Driver(Protocol):
    """Saves and reads back checkpoints that are made from one number."""

    def save(
        self,
        storage: Storage,
        prefix: str,
        value: int,
        options: SaveOptions,
        *,
        numbered: bool = False,
        counter: int = 0,
    ) -> str:
        """Save; return the final prefix."""

    def load(self, storage: Storage, prefix: str) -> int:
        """Read the checkpoint as a user would; return its number, or raise a CheckpointError."""

    def verify(self, storage: Storage, commit_file: str) -> None:
        """Check every byte of the checkpoint of this very commit file, or raise."""

    def further(self, storage: Storage, prefixes: Collection[str]) -> list[str]:
        """Return which further promises are broken where there are checkpoints at the prefixes."""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


class RawReader(CommitFileReader):
    """Looks into the commit files of `RawDriver`."""

    def is_ours(self, storage: Storage, path: str) -> bool:
        return b"RAW-CHECKPOINT" in read_all(storage, path)

    def tokens(self, storage: Storage, index_path: str) -> Sequence[str] | None:
        try:
            return list(_unseal(read_all(storage, index_path), index_path)["tokens"])
        except CheckpointError:
            return None


class RawDriver:
    """Checksummed random bytes.

    Args:
        shards: how many shards a checkpoint has.
        shard_bytes: how long each is.
        token: what makes a shard's token from its data.
    """

    def __init__(
        self,
        shards: int = 2,
        shard_bytes: int = 5000,
        token: Callable[[bytes], str] = _digest,
    ) -> None:
        self._shards = shards
        self._shard_bytes = shard_bytes
        self._token = token
        self.reader = RawReader()

    def save(
        self,
        storage: Storage,
        prefix: str,
        value: int,
        options: SaveOptions,
        *,
        numbered: bool = False,
        counter: int = 0,
    ) -> str:
        with begin(
            storage, prefix, options, numbered=numbered, counter=counter, reader=self.reader
        ) as commit:
            tokens: list[str] = []
            for shard in range(0 if options.single_file else self._shards):
                data = self._data(value, shard)
                file = commit.create_shard(shard)
                file.write([data[:1000], data[1000:]])
                commit.seal_shard(shard)
                tokens.append(self._token(data))
            if options.single_file:
                commit.file.write([self._data(value, 0)])
            commit.file.write([_seal({"value": value, "tokens": tokens})])
            commit.finish(tokens)
        return commit.prefix

    def load(self, storage: Storage, prefix: str) -> int:
        index = files.index_file(prefix)
        commit_file = index if storage.status(index) is not None else prefix
        return self._checked(storage, commit_file)

    def verify(self, storage: Storage, commit_file: str) -> None:
        self._checked(storage, commit_file)

    def further(self, storage: Storage, prefixes: Collection[str]) -> list[str]:
        return []

    def _checked(self, storage: Storage, commit_file: str) -> int:
        content = read_all(storage, commit_file)
        if not commit_file.endswith(".index"):
            data, content = content[: self._shard_bytes], content[self._shard_bytes :]
            record = _unseal(content, commit_file)
            self._compare(data, int(record["value"]), 0, commit_file)
            return int(record["value"])
        record = _unseal(content, commit_file)
        prefix = commit_file.removesuffix(".index")
        for shard, token in enumerate(record["tokens"]):
            path = files.shard_file(prefix, shard, len(record["tokens"]), token)
            self._compare(read_all(storage, path), int(record["value"]), shard, path)
        return int(record["value"])

    def _compare(self, data: bytes, value: int, shard: int, path: str) -> None:
        if data != self._data(value, shard):
            raise CorruptCheckpointError(f"{path}: is not what was written", file=path)

    def _data(self, value: int, shard: int) -> bytes:
        return random.Random(value * 100 + shard).randbytes(self._shard_bytes)


def _seal(record: dict[str, object]) -> bytes:
    text = json.dumps(record).encode()
    return b"RAW-CHECKPOINT" + _digest(text).encode() + text


def _unseal(content: bytes, path: str) -> dict[str, list[str]]:
    head, token, text = content[:14], content[14:30], content[30:]
    if head != b"RAW-CHECKPOINT" or token != _digest(text).encode():
        raise CorruptCheckpointError(f"{path}: is damaged", file=path)
    return dict(json.loads(text))
