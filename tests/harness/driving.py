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
from typing import Any, Protocol

from checkpointable.bundle import files
from checkpointable.bundle.commit import begin
from checkpointable.bundle.existing import CommitFileReader
from checkpointable.bundle.files import form_for
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

    def is_checkpoint(self, storage: Storage, path: str) -> bool:
        return b"RAW-CHECKPOINT" in read_all(storage, path)

    def is_own(self, storage: Storage, path: str) -> bool:
        return True

    def tokens(self, storage: Storage, index_path: str) -> Sequence[str] | None:
        try:
            return list(_unseal(read_all(storage, index_path), index_path).get("tokens", ()))
        except CheckpointError:
            return None

    def count_without_tokens(self, storage: Storage, index_path: str) -> int | None:
        try:
            return int(_unseal(read_all(storage, index_path), index_path).get("count", 0))
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
            if not form_for(options).has_shards:
                commit.file.write([self._data(value, 0)])
                commit.file.write([_seal({"value": value, "tokens": []})])
                commit.finish([])
                return commit.prefix
            tokens: list[str] = []
            for shard in range(self._shards):
                data = self._data(value, shard)
                file = commit.create_shard(shard)
                file.write([data[:1000], data[1000:]])
                commit.seal_shard(shard)
                tokens.append(self._token(data))
            if options.format == "tensorflow":
                commit.finish_without_tokens(
                    self._shards,
                    lambda count: commit.file.write([_seal({"value": value, "count": count})]),
                )
            else:
                commit.file.write([_seal({"value": value, "tokens": tokens})])
                commit.finish(tokens)
        return commit.prefix

    def load(self, storage: Storage, prefix: str) -> int:
        there = [p for p in files.commit_files(prefix) if storage.status(p) is not None]
        return self._checked(storage, there[0] if there else prefix)

    def verify(self, storage: Storage, commit_file: str) -> None:
        self._checked(storage, commit_file)

    def further(self, storage: Storage, prefixes: Collection[str]) -> list[str]:
        return []

    def _checked(self, storage: Storage, commit_file: str) -> int:
        content = read_all(storage, commit_file)
        if not commit_file.endswith(".index"):
            data, content = content[: self._shard_bytes], content[self._shard_bytes :]
            record = _unseal(content, commit_file)
            _compare(data, self._data(int(record["value"]), 0), commit_file)
            return int(record["value"])
        record = _unseal(content, commit_file)
        prefix = commit_file.removesuffix(".index")
        tokens = record.get("tokens") or [""] * int(record.get("count", 0))
        for shard, token in enumerate(tokens):
            path = files.shard_file(prefix, shard, len(tokens), token)
            is_further = shard >= self._shards
            expected = b"" if is_further else self._data(int(record["value"]), shard)
            _compare(read_all(storage, path), expected, path)
        return int(record["value"])

    def _data(self, value: int, shard: int) -> bytes:
        return random.Random(value * 100 + shard).randbytes(self._shard_bytes)


def _compare(data: bytes, expected: bytes, path: str) -> None:
    if data != expected:
        raise CorruptCheckpointError(f"{path}: is not what was written", file=path)


def _seal(record: dict[str, object]) -> bytes:
    text = json.dumps(record).encode()
    return b"RAW-CHECKPOINT" + _digest(text).encode() + text


def _unseal(content: bytes, path: str) -> dict[str, Any]:
    head, token, text = content[:14], content[14:30], content[30:]
    if head != b"RAW-CHECKPOINT" or token != _digest(text).encode():
        raise CorruptCheckpointError(f"{path}: is damaged", file=path)
    return dict(json.loads(text))
