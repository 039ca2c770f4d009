"""The two option records: one for saving, one for restoring."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import attrs

from checkpointable.errors import NotCheckpointableError

_CASTING: Final = ("no", "equiv", "safe", "same_kind", "unsafe")
_SHAPES: Final = ("exact", "reshape", "skip")
_FORMATS: Final = ("native", "tensorflow", "safetensors")
_VERIFY: Final = ("inline", "first")


def _one_of(*allowed: str) -> Any:
    def check(_: object, attribute: attrs.Attribute[str], value: object) -> None:
        if value not in allowed:
            raise ValueError(f"{attribute.name} is {value!r}, expected one of {', '.join(allowed)}")

    return check


def _is_bool(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if type(value) is not bool:
        raise TypeError(f"{attribute.name} is {value!r}, expected True or False")


def _paths(value: str | os.PathLike[str] | tuple[str, ...] | list[str] | None) -> Any:
    """Bring a path or several to a tuple of paths without slashes at their ends."""
    if value is None:
        return None
    given = (value,) if isinstance(value, (str, os.PathLike)) else tuple(value)
    for path in given:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"expected object paths such as 'model/encoder', found {path!r}")
    return tuple(os.fspath(path).strip("/") for path in given)


def _renames(value: Any) -> tuple[tuple[str, str], ...]:
    """Bring a mapping of paths to pairs of paths without slashes at their ends."""
    if value is None:
        return ()
    pairs = value.items() if isinstance(value, Mapping) else value
    if not isinstance(value, (Mapping, tuple)) or not all(
        isinstance(path, str) for pair in pairs for path in pair
    ):
        raise TypeError(
            f"rename is {value!r}, expected a mapping of paths in the program to paths in the"
            " checkpoint, such as {'model/encoder': 'model/enc'}"
        )
    renames = tuple((today.strip("/"), older.strip("/")) for today, older in pairs)
    if not all(path for pair in renames for path in pair):
        raise ValueError("rename: the root has no name. Use at= to restore from a stored part.")
    return renames


def _path(value: str | None) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"at is {value!r}, expected an object path such as 'model/encoder'")
    return None if value is None else value.strip("/")


def _shard_size(_: object, __: Any, value: object) -> None:
    if value is None:
        return
    if type(value) is not int:
        raise TypeError(f"max_shard_bytes is {value!r}, expected a whole number of bytes or None")
    if value < 1:
        raise ValueError(f"max_shard_bytes is {value}, expected at least 1")


def _has_shards(options: Any, _: object, single_file: object) -> None:
    if single_file and options.format == "tensorflow":
        raise ValueError(
            "single_file=True: TensorFlow's checkpoints have an index and shards, always. Leave it"
            " out, or use another format."
        )


def _metadata(_: object, __: Any, value: object) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise NotCheckpointableError(
            f"metadata is a {type(value).__name__}, expected a mapping of names to plain values."
        )


@attrs.frozen(kw_only=True)
class SaveOptions:
    """How a checkpoint is written.

    Attributes:
        format: "native"; "tensorflow": the files of TensorFlow 2, which TensorFlow restores;
            "safetensors": one file `PREFIX.safetensors`, which any reader of that format opens.
        max_shard_bytes: start a new shard before one grows beyond this many bytes (a single tensor
            may be larger than that); `None`: one shard.
        single_file: write one file called exactly as the prefix, instead of an index and shards
            (native format only; that of safetensors always has one file).
        durable: sync files and directories, so that the checkpoint survives a power cut once the
            call has returned. `False` is for scratch data: still atomic against crashes of the
            program, but not against crashes of the machine.
        overwrite: whether calls that name their file exactly may replace a checkpoint.
        metadata: names and plain values to store beside the graph (at most 16 MiB).

    Example:
        >>> SaveOptions(durable=False, metadata={"run": 7}).durable
        False
    """

    format: str = attrs.field(default="native", validator=_one_of(*_FORMATS))
    max_shard_bytes: int | None = attrs.field(default=None, validator=_shard_size)
    single_file: bool = attrs.field(default=False, validator=[_is_bool, _has_shards])
    durable: bool = attrs.field(default=True, validator=_is_bool)
    overwrite: bool = attrs.field(default=True, validator=_is_bool)
    metadata: Mapping[str, Any] | None = attrs.field(default=None, validator=_metadata)


@attrs.frozen(kw_only=True)
class RestoreOptions:
    """What is restored, and what a difference means.

    Attributes:
        at: match the live root with the stored object at this path, not with the stored root.
        rename: where the checkpoint has what the program has under another path: a mapping of
            paths in the program to paths in the checkpoint. It holds before all else that says
            where a value is found.
        only: restore what these paths lead to, and nothing else (a path, or several).
        skip: leave out what these paths lead to.
        casting: which dtype differences are bridged, in numpy's words: "no", "equiv", "safe",
            "same_kind" or "unsafe". Each cast is listed in the report.
        shapes: "exact"; "reshape" (another shape of the same size fits); "skip" (what does not fit
            is left as it is, and listed).
        defer: let values wait for objects that do not exist yet. `False`: everything must match
            now, checked before anything is assigned.
        slots: whether slot variables are restored, such as an optimizer's moments.
        verify: "inline" checks every byte as it is read; "first" checks the whole checkpoint
            before anything is assigned.

    Example:
        >>> RestoreOptions(only="model/encoder").only
        ('model/encoder',)
    """

    at: str | None = attrs.field(default=None, converter=_path)
    rename: tuple[tuple[str, str], ...] = attrs.field(default=None, converter=_renames)
    only: tuple[str, ...] | None = attrs.field(default=None, converter=_paths)
    skip: tuple[str, ...] | None = attrs.field(default=None, converter=_paths)
    casting: str = attrs.field(default="no", validator=_one_of(*_CASTING))
    shapes: str = attrs.field(default="exact", validator=_one_of(*_SHAPES))
    defer: bool = attrs.field(default=True, validator=_is_bool)
    slots: bool = attrs.field(default=True, validator=_is_bool)
    verify: str = attrs.field(default="inline", validator=_one_of(*_VERIFY))


_Options = TypeVar("_Options", SaveOptions, RestoreOptions)


def build_options(
    record: type[_Options], options: _Options | None, fields: Mapping[str, Any]
) -> _Options:
    """Return the record that a call asks for: the given one, or the default, with fields replaced.

    Raises:
        TypeError: `options` is not such a record, or it has no field of that name.
    """
    if options is not None and not isinstance(options, record):
        raise TypeError(
            f"options is a {type(options).__name__}, expected {record.__name__} or None"
        )
    known = [a.name for a in attrs.fields(record)]
    for name in fields:
        if name not in known:
            raise TypeError(f"{record.__name__} has no field {name!r}; it has {', '.join(known)}")
    return attrs.evolve(options, **fields) if options is not None else record(**fields)
