"""Every flipped bit and every cut of a small checkpoint is found; nothing but findings comes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from checkpointable.errors import CheckpointNotFoundError
from checkpointable.format.records import Blob
from checkpointable.interop.opening import verify_files
from tests.bundle.checkpoints import Tensor, stored, written

TENSORS: list[Tensor] = [
    np.arange(5, dtype=np.int8),
    np.arange(12.0).reshape(3, 4),
    np.array([True, False]),
    Blob("bytes", (), b"state"),
    np.arange(30, dtype=np.int16),
]
FORMS = {
    "index and shards": written(
        TENSORS, [b"\x01", b"\xc0"], metadata={"run": 7}, max_shard_bytes=110
    ),
    "one file": written(TENSORS, [b"\x01", b"\xc0"], metadata={"run": 7}, single_file=True),
}


def is_found(files: dict[str, bytes]) -> bool:
    """Tell whether verify finds something wrong; not finding the checkpoint counts too."""
    try:
        return bool(verify_files(stored(files), "/run/ckpt"))
    except CheckpointNotFoundError:
        return True


def flips(files: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield the files with one bit flipped, every bit of all."""
    for name, data in files.items():
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            yield files | {name: bytes(changed)}


def cuts(files: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield the files with one cut to every shorter length, and with bytes added."""
    for name, data in files.items():
        for length in range(len(data)):
            yield files | {name: data[:length]}
        for more in (b"\0", bytes(7), bytes(4096), data):
            yield files | {name: data + more}


def overwritten(files: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Yield the files with one byte set to 0 or 255, a stretch zeroed, or a file gone."""
    for name, data in files.items():
        for i, byte in enumerate(data):
            for value in {0, 255} - {byte}:
                yield files | {name: data[:i] + bytes([value]) + data[i + 1 :]}
        for i in range(0, len(data), 64):
            if any(data[i : i + 64]):
                yield files | {name: data[:i] + bytes(len(data[i : i + 64])) + data[i + 64 :]}
        yield {other: content for other, content in files.items() if other != name}
        for other, content in files.items():
            if other != name and content != data:
                yield files | {name: content}


@pytest.mark.parametrize("form", FORMS)
def test_the_checkpoint_is_right_to_begin_with(form: str) -> None:
    """What follows means nothing unless the undamaged files verify."""
    assert [] == verify_files(stored(FORMS[form]), "/run/ckpt")
    assert (4 if form == "index and shards" else 1) == len(FORMS[form])


@pytest.mark.parametrize("form", FORMS)
def test_every_flipped_bit_is_found(form: str, figures: dict[str, str]) -> None:
    """No bit of any file can be flipped without a finding."""
    found = [is_found(files) for files in flips(FORMS[form])]
    figures[f"flipped bits, {form}"] = f"{len(found)}, missed {found.count(False)}"

    assert [True] * len(found) == found


@pytest.mark.parametrize("form", FORMS)
def test_every_cut_is_found(form: str, figures: dict[str, str]) -> None:
    """No file can be shorter or longer without a finding."""
    found = [is_found(files) for files in cuts(FORMS[form])]
    figures[f"cuts and additions, {form}"] = f"{len(found)}, missed {found.count(False)}"

    assert [True] * len(found) == found


@pytest.mark.parametrize("form", FORMS)
def test_every_overwritten_byte_is_found(form: str, figures: dict[str, str]) -> None:
    """Bytes set to 0 or 255, zeroed stretches, missing and exchanged files are found."""
    found = [is_found(files) for files in overwritten(FORMS[form])]
    figures[f"overwritten bytes, {form}"] = f"{len(found)}, missed {found.count(False)}"

    assert [True] * len(found) == found
