"""Name-based checkpoints, written straight through the protocol."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from checkpointable.bundle.commit import begin
from checkpointable.bundle.writer import write_bundle
from checkpointable.format.records import Divided
from checkpointable.graph.named import named_snapshot
from checkpointable.options import SaveOptions
from checkpointable.storage.base import Storage
from checkpointable.storage.local import LOCAL


def write_named(
    prefix: str | os.PathLike[str],
    arrays: Mapping[str, npt.NDArray[Any] | Divided],
    groups: Sequence[int] = (),
    storage: Storage = LOCAL,
    **fields: Any,
) -> str:
    """Write a name-based checkpoint and return its path."""
    options = SaveOptions(**fields)
    with begin(storage, os.fspath(prefix), options, numbered=False) as commit:
        write_bundle(commit, named_snapshot(arrays, options.metadata), options, groups)
    return commit.prefix
