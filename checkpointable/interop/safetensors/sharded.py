"""The JSON index of a checkpoint in several safetensors files, as model hubs have them (ST-11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from checkpointable.bundle.files import MOST_SHARDS, in_directory_of
from checkpointable.bundle.opening import read_exactly
from checkpointable.bundle.peek import LONGEST_HEADER
from checkpointable.format.frame import corrupt
from checkpointable.interop.safetensors.header import Header, parse_object
from checkpointable.names import shorten
from checkpointable.storage.base import ReadableFile

_SUFFIX: Final = ".safetensors"


@attrs.frozen
class ShardedIndex:
    """What the index of a sharded checkpoint says.

    Attributes:
        metadata: what it says of the whole.
        files: the paths of the files.
        weight_map: for each tensor the position of its file.
    """

    metadata: Mapping[str, Any]
    files: Sequence[str]
    weight_map: Mapping[str, int]


def read_sharded_index(file: ReadableFile) -> ShardedIndex:
    """Return what an open index says. Its files lie in its own directory.

    Raises:
        CorruptCheckpointError: it breaks a rule of the format.
        StorageError: the storage failed.
    """
    path, size = file.path, file.status.size
    if size > LONGEST_HEADER:
        raise corrupt(path, "ST-11", "the index is too long", expected=LONGEST_HEADER, found=size)
    parsed = parse_object(bytes(read_exactly(file, 0, size)).strip(), "ST-11", path)
    weights, metadata = parsed.get("weight_map"), parsed.get("metadata", {})
    if type(weights) is not dict or not weights or type(metadata) is not dict:
        raise corrupt(path, "ST-11", "the index has no weight_map, or its metadata are no object")
    numbers: dict[str, int] = {}
    weight_map: dict[str, int] = {}
    for name, own in weights.items():
        if type(own) is not str or not _is_file_name(own):
            raise corrupt(
                path,
                "ST-11",
                f"the tensor {shorten(name)!r} is said to lie in a file that cannot be",
                expected=f"a name that ends with {_SUFFIX}, without a directory",
                found=repr(own)[:100],
            )
        weight_map[name] = numbers.setdefault(own, len(numbers))
    if len(numbers) > MOST_SHARDS:
        raise corrupt(
            path, "ST-11", "there are too many files", expected=MOST_SHARDS, found=len(numbers)
        )
    files = [in_directory_of(path, name) for name in numbers]
    return ShardedIndex(metadata, files, weight_map)


def check_complete(index: ShardedIndex, headers: Sequence[Header], file: str) -> None:
    """Check that each file holds the tensors that it is said to hold, and no others.

    Raises:
        CorruptCheckpointError: it does not.
    """
    found = 0
    for number, header in enumerate(headers):
        for name in header.tensors.names:
            if index.weight_map.get(name) != number:
                raise corrupt(
                    file,
                    "ST-11",
                    f"{index.files[number]} holds the tensor {shorten(name)!r}, which the index"
                    " does not look for there",
                )
        found += len(header.tensors.names)
    if found != len(index.weight_map):
        held = {name for header in headers for name in header.tensors.names}
        missing = next(name for name in index.weight_map if name not in held)
        raise corrupt(
            file,
            "ST-11",
            f"the tensor {shorten(missing)!r} is missing in its file",
            expected=f"{len(index.weight_map)} tensors",
            found=found,
        )


def _is_file_name(name: str) -> bool:
    return name.endswith(_SUFFIX) and len(name) <= 255 and not set(name) & set("/\\\0")
