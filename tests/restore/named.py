"""Name-based checkpoints, for tests of restoring them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from checkpointable.bundle.commit import begin
from checkpointable.bundle.writer import write_bundle
from checkpointable.graph.named import named_snapshot
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL


def write_named(path: Any, values: Mapping[str, Any]) -> str:
    """Write a checkpoint of arrays under names, without an object graph, and return its path."""
    options = SaveOptions(durable=False)
    with begin(LOCAL, str(path), options, numbered=False) as commit:
        arrays = {name: np.asarray(value) for name, value in values.items()}
        write_bundle(commit, named_snapshot(arrays), options)
    return commit.prefix
