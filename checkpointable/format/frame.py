"""Records in frames: the envelope of an index and of a record file (F-5 to F-7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgpack
import xxhash

from checkpointable.errors import CorruptCheckpointError
from checkpointable.format.limits import LONGEST_PAYLOAD

#: The first bytes of an index (F-5).
MAGIC: Final = b"\x93ckpt\r\n\x1a"

_DIGEST: Final = 16
_HEAD: Final = _DIGEST + 4

#: Where rules are told, by the letters that they begin with.
_PAGES: Final = {
    "F": "docs/format.md",
    "ST": "docs/safetensors-format.md",
    "T": "docs/tensorflow-format.md",
}

Record = list[Any]


def corrupt(
    file: str, rule: str, message: str, *, expected: object = None, found: object = None
) -> CorruptCheckpointError:
    """Describe a broken rule: where, expected versus found, what to do."""
    page = _PAGES[rule.partition("-")[0]]
    seen = "" if expected is None and found is None else f": expected {expected}, found {found}"
    return CorruptCheckpointError(
        f"{file}: {message}{seen}. The file is damaged ({rule} of {page}); restore another"
        " checkpoint.",
        file=file,
        rule=rule,
        expected=expected,
        found=found,
    )


def digest(data: Any, seed: int = 0) -> bytes:
    """Return the digest of bytes (F-1)."""
    return xxhash.xxh3_128_digest(data, seed)


def encode_record(record: Record) -> bytes:
    """Return the one encoding of a record (F-7)."""
    return bytes(msgpack.packb(record, use_bin_type=True))


def encode_frame(payload: bytes, ordinal: int) -> bytes:
    """Put a payload into the frame of that ordinal (F-6)."""
    body = len(payload).to_bytes(4, "little") + payload
    return digest(body, ordinal) + body


def read_frames(
    data: memoryview, file: str, magic: bytes = MAGIC
) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the digest and the payload of each frame of a file, checked one at a time.

    Raises:
        CorruptCheckpointError: the magic or a frame is damaged.
    """
    if bytes(data[: len(magic)]) != magic:
        raise corrupt(
            file,
            "F-5",
            "this is no index of a checkpoint" if magic is MAGIC else "this is no record file",
            expected=f"the first bytes {magic.hex()}",
            found=bytes(data[: len(magic)]).hex() or "an empty file",
        )
    ordinal, start = 0, len(magic)
    while start < len(data):
        end = start + _HEAD + int.from_bytes(data[start + _DIGEST : start + _HEAD], "little")
        length = end - start - _HEAD
        if not 1 <= length <= LONGEST_PAYLOAD or end > len(data):
            raise corrupt(
                file,
                "F-6",
                f"frame {ordinal} is cut short or its length is damaged",
                expected=f"a payload of 1 to {LONGEST_PAYLOAD} bytes",
                found=f"{length} bytes, {max(len(data) - start - _HEAD, 0)} of them there",
            )
        stored = bytes(data[start : start + _DIGEST])
        computed = digest(data[start + _DIGEST : end], ordinal)
        if stored != computed:
            raise corrupt(
                file,
                "F-6",
                f"the checksum of frame {ordinal} is wrong",
                expected=stored.hex(),
                found=computed.hex(),
            )
        yield stored, data[start + _HEAD : end]
        ordinal, start = ordinal + 1, end


def decode_record(payload: memoryview, file: str, ordinal: int) -> Record:
    """Return the record in a payload: a flat list of int, str and bytes.

    Raises:
        CorruptCheckpointError: the payload is nested, of other types, or not canonical.
    """
    try:
        record = msgpack.unpackb(
            payload,
            use_list=True,
            raw=False,
            strict_map_key=True,
            max_array_len=64,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise corrupt(
            file,
            "F-7",
            f"frame {ordinal} holds no record",
            expected="a MessagePack array",
            found=str(error) or type(error).__name__,
        ) from None
    flat = type(record) is list and all(type(item) in (int, str, bytes) for item in record)
    if not flat or not record or encode_record(record) != bytes(payload):
        raise corrupt(
            file,
            "F-7",
            f"frame {ordinal} holds no canonical record",
            expected="a flat array of integers, strings and binaries",
            found=_shape(record),
        )
    return list(record)


def _shape(record: Any) -> str:
    if type(record) is not list:
        return f"a {type(record).__name__}"
    return f"an array of {', '.join(sorted({type(item).__name__ for item in record})) or 'nothing'}"
