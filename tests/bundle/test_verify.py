"""Verify: a list of what is wrong, shard by shard; never an exception for damage."""

from __future__ import annotations

import numpy as np
import xxhash

from checkpointable.errors import StorageError
from checkpointable.interop.opening import verify_files
from checkpointable.storage.base import ReadableFile
from checkpointable.storage.memory import MemoryStorage
from tests.bundle.checkpoints import stored, write, written
from tests.format.indexes import sample, seal, tokens

CHUNK = 262_144


def rules(files: dict[str, bytes]) -> list[tuple[str, str]]:
    """Return the rule and the end of the file name of each finding."""
    findings = verify_files(stored(files), "/run/ckpt")
    return [(finding.rule, finding.file.rpartition("/")[2][:15]) for finding in findings]


def test_each_damaged_shard_is_listed() -> None:
    """A missing shard, one of another length and two damaged chunks are four findings."""
    arrays = [np.full(3 * CHUNK, i, dtype=np.uint8) for i in range(4)]
    files = written(arrays, max_shard_bytes=1)
    _, gone, short, flipped, _ = sorted(files, key=lambda name: name.replace(".index", ""))
    damaged = bytearray(files[flipped])
    damaged[0] ^= 1
    damaged[-1] ^= 1
    files |= {short: files[short][:-1], flipped: bytes(damaged)}
    del files[gone]

    assert [
        ("F-2", "ckpt.data-00000"),
        ("F-2", "ckpt.data-00001"),
        ("F-32", "ckpt.data-00002"),
        ("F-32", "ckpt.data-00002"),
    ] == rules(files)


def test_a_finding_says_where_and_what() -> None:
    """The text of a finding names the file, what was expected and what was found."""
    files = written([np.zeros(3)])
    (name,) = [n for n in files if ".data-" in n]
    (finding,) = verify_files(stored(files | {name: files[name][:-1]}), "/run/ckpt")

    assert str(finding).startswith(f"{name}: the file is cut short: expected 24 bytes, found 23.")


def hand_made(shard: bytes) -> list[tuple[str, str]]:
    """Verify the sample of the index, whose first shard has these bytes, rightly checksummed."""
    second = b"\x01" + b"\xc4\x07" + bytes(7)
    digests = [xxhash.xxh3_128_digest(d) for d in (shard[:100], shard[100:], second)]
    columns = sample() | {"chunk_digests": list(b"".join(digests))}
    first_token, second_token = tokens(columns)
    return rules(
        {
            "/run/ckpt.index": seal(columns),
            f"/run/ckpt.data-00000-of-00002.{first_token:016x}": shard,
            f"/run/ckpt.data-00001-of-00002.{second_token:016x}": second,
        }
    )


def test_bytes_between_extents_must_be_zero() -> None:
    """F-30: padding is checked, though its checksum is right."""
    shard = bytes(80) + b"state" + bytes(3) + bytes(48)

    assert [] == hand_made(shard)
    assert [("F-30", "ckpt.data-00000")] == hand_made(shard[:86] + b"\1" + shard[87:])


class Unreadable(MemoryStorage):
    """A storage whose disk fails."""

    def open_read(self, path: str) -> ReadableFile:
        file = super().open_read(path)
        if ".data-" in path:

            def fail(offset: int, buffer: memoryview) -> int:
                raise StorageError(f"{path}: could not read: Input/output error.", path=path)

            file.read_into = fail  # type: ignore[method-assign]
        return file


def test_a_failing_disk_is_a_finding() -> None:
    """What cannot be read is listed like what is wrong."""
    storage = Unreadable()
    write(storage, [np.zeros(3)])
    (finding,) = verify_files(storage, "/run/ckpt")

    assert "Input/output error" in finding.message
