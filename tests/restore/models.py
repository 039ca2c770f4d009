"""Small objects for tests of restoring."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import checkpointable as ckpt
from checkpointable.trackable import waiting


class Node(ckpt.Trackable):
    """Anything, under any names."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class Declared(Node):
    """A node with a declared attribute."""

    state_attributes = ("x",)


def variable(*values: float, name: str | None = None) -> ckpt.Variable:
    """Return a float64 Variable of one dimension."""
    return ckpt.Variable(np.array(values, float), name=name)


@contextmanager
def nothing_is_left_waiting() -> Iterator[None]:
    """Check that whatever waits in a test is gone once its objects are."""
    yield
    gc.collect()
    assert not waiting.anything()
