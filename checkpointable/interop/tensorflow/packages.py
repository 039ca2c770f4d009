"""The packages that TensorFlow's formats need, and how their absence is told."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs

from checkpointable.errors import MissingDependencyError


@attrs.frozen
class Protobuf:
    """What is used of the package protobuf.

    Attributes:
        descriptors: descriptions of messages.
        pools: where descriptions become classes.
        factory: makes these classes.
        errors: what parsing raises.
    """

    descriptors: Any
    pools: Any
    factory: Any
    errors: Any


@cache
def protobuf() -> Protobuf:
    """Return what is used of the package protobuf.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError:
        raise _missing("protobuf") from None
    return Protobuf(descriptor_pb2, descriptor_pool, message_factory, message)


@cache
def crc32c() -> Any:
    """Return the package crc32c.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import crc32c as package
    except ImportError:
        raise _missing("crc32c") from None
    return package


def _missing(name: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"TensorFlow's checkpoints need the package {name}, which is not installed. Install it:"
        " pip install 'checkpointable[tensorflow]' (that does not install TensorFlow)"
    )
