"""The protocol-buffer messages of TensorFlow's checkpoints, described for the protobuf runtime.

They live in a pool of their own, so TensorFlow may be imported in the same program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from checkpointable.errors import CheckpointError
from checkpointable.format.frame import corrupt
from checkpointable.interop.tensorflow.packages import protobuf

_PACKAGE: Final = "checkpointable.tensorflow"

#: Per message its fields: number, name and type; `*` means repeated, `?` that absence is told
#: apart from the default. Names, whose text need not be UTF-8, are bytes where TensorFlow takes
#: any; enumerations are numbers. Fields that nobody here reads are left out.
_MESSAGES: Final = {
    "VersionDef": "1 producer int32, 2 min_consumer int32, 3 bad_consumers int32*",
    "TensorShape": "2 dim Dim*, 3 unknown_rank bool",
    "Dim": "1 size int64",
    "TensorSlice": "1 extent Extent*",
    "Extent": "1 start int64, 2 length int64?",
    # The index of a bundle.
    "BundleHeader": "1 num_shards int32, 2 endianness int32, 3 version VersionDef",
    "BundleEntry": (
        "1 dtype int32, 2 shape TensorShape, 3 shard_id int32, 4 offset int64, 5 size int64,"
        " 6 crc32c fixed32, 7 slices TensorSlice*"
    ),
    # The same, the shape left as it is: a checkpoint has many tensors and few shapes.
    "StoredEntry": (
        "1 dtype int32, 2 shape bytes, 3 shard_id int32, 4 offset int64, 5 size int64,"
        " 6 crc32c fixed32, 7 slices TensorSlice*"
    ),
    # The object graph.
    "TrackableObjectGraph": "1 nodes TrackableObject*",
    "TrackableObject": (
        "1 children ObjectReference*, 2 attributes SerializedTensor*,"
        " 3 slot_variables SlotVariableReference*, 4 registered_saver RegisteredSaver,"
        " 5 has_checkpoint_values BoolValue"
    ),
    "ObjectReference": "1 node_id int32, 2 local_name string",
    "SerializedTensor": (
        "1 name string, 2 full_name string, 3 checkpoint_key string, 4 optional_restore bool"
    ),
    "SlotVariableReference": (
        "1 original_variable_node_id int32, 2 slot_name string, 3 slot_variable_node_id int32"
    ),
    "RegisteredSaver": "1 name string, 2 object_name string",
    "BoolValue": "1 value bool",
    # Files of version 1.
    "SavedTensorSlices": "1 meta SavedTensorSliceMeta, 2 data SavedSlice",
    "SavedTensorSliceMeta": "1 tensor SavedSliceMeta*, 2 versions VersionDef",
    "SavedSliceMeta": "1 name bytes, 2 shape TensorShape, 3 type int32, 4 slice TensorSlice*",
    "SavedSlice": "1 name bytes, 2 slice TensorSlice, 3 data bytes",
    # The values of a slice as they are written, and each for itself, as they might be written.
    "PackedTensor": (
        "5 float_val bytes*, 6 double_val bytes*, 7 int_val bytes*, 8 string_val bytes*,"
        " 9 scomplex_val bytes*, 10 int64_val bytes*, 11 bool_val bytes*, 12 dcomplex_val bytes*,"
        " 13 half_val bytes*, 16 uint32_val bytes*, 17 uint64_val bytes*"
    ),
    "Tensor": (
        "5 float_val float*, 6 double_val double*, 7 int_val int32*, 8 string_val bytes*,"
        " 9 scomplex_val float*, 10 int64_val int64*, 11 bool_val bool*, 12 dcomplex_val double*,"
        " 13 half_val int32*, 16 uint32_val uint32*, 17 uint64_val uint64*"
    ),
}
#: The numbers that protobuf itself gives to types of fields.
_TYPES: Final = {
    "double": 1,
    "float": 2,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "fixed32": 7,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
}
_MESSAGE_TYPE: Final = 11
_OPTIONAL, _REPEATED = 1, 3


@cache
def message(name: str) -> Any:
    """Return the class of a message.

    Raises:
        MissingDependencyError: the package protobuf is not installed.
    """
    return protobuf().factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def parse(name: str, data: bytes | memoryview, file: str, where: str) -> Any:
    """Return a message that was parsed.

    Args:
        name: of the message.
        data: its bytes.
        file: where they come from, for messages.
        where: what it is, for messages.

    Raises:
        CorruptCheckpointError: they are no such message.
        MissingDependencyError: the package protobuf is not installed.
    """
    try:
        return message(name).FromString(bytes(data))
    except protobuf().errors.DecodeError:
        raise _no_message(name, file, where) from None


def parse_each(
    name: str, stored: Iterable[tuple[bytes, bytes]], file: str
) -> Iterator[tuple[bytes, Any]]:
    """Yield keys with the messages that were parsed from their values.

    Args:
        name: of the messages.
        stored: keys and values of a table.
        file: where they come from, for messages.

    Raises:
        CorruptCheckpointError: a value is no such message.
        MissingDependencyError: the package protobuf is not installed.
    """
    from_string, errors = message(name).FromString, protobuf().errors
    for key, value in stored:
        try:
            yield key, from_string(value)
        except errors.DecodeError:
            raise _no_message(name, file, f"the value of {key[:80]!r}") from None


def _no_message(name: str, file: str, where: str) -> CheckpointError:
    return corrupt(file, "T-4", f"{where} is no {name} message")


@cache
def _pool() -> Any:
    file = protobuf().descriptors.FileDescriptorProto(
        name="checkpointable/tensorflow.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field in fields.split(","):
            _add_field(described, *field.split())
    pool = protobuf().pools.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(described: Any, number: str, name: str, kind: str) -> None:
    """Add a field to the description of a message."""
    base = kind.rstrip("*?")
    field = described.field.add(
        name=name,
        number=int(number),
        label=_REPEATED if kind.endswith("*") else _OPTIONAL,
        type=_TYPES.get(base, _MESSAGE_TYPE),
    )
    if base in _MESSAGES:
        field.type_name = f".{_PACKAGE}.{base}"
    if kind.endswith("?"):
        field.proto3_optional = True
        field.oneof_index = len(described.oneof_decl)
        described.oneof_decl.add(name=f"_{name}")
