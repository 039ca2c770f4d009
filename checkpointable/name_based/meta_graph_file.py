"""Meta graphs as files: binary or text, and the file that says where variables were made (F-47)."""

from __future__ import annotations

import base64
import math
import posixpath
from collections.abc import Iterable, Mapping
from functools import partial
from types import NoneType
from typing import Any, Final, TypeAlias

import attrs

from checkpointable.bundle.files import split_path
from checkpointable.directory.replace import replace_file
from checkpointable.errors import CorruptCheckpointError, NotCheckpointableError
from checkpointable.format.frame import corrupt
from checkpointable.format.limits import LONGEST_RECORD
from checkpointable.format.record_file import decode_record_file, encode_record_file
from checkpointable.format.record_text import decode_record_text, encode_record_text
from checkpointable.format.values import decode_value, encode_value
from checkpointable.name_based.meta_graph import (
    CollectionItem,
    MetaGraphDef,
    VariableDef,
    VariableReference,
)
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.storage.base import Storage
from checkpointable.trackable.save_slice import SaveSlice

KIND: Final = "meta graph"
DEBUG_KIND: Final = "meta graph debug info"

#: Fields of one part of a meta graph: what types each may have in the file.
_Fields: TypeAlias = Mapping[str, tuple[type[Any], ...]]
_Tree: TypeAlias = dict[str, Any]

_GRAPH: Final[_Fields] = {
    "library_version": (str,),
    "variables": (list,),
    "collections": (dict,),
    "saver_def": (dict, NoneType),
    "items": (dict,),
    "left_out": (list,),
    "tags": (list,),
    "stripped_default_attrs": (bool,),
}
_GRAPH_DEFAULTS: Final[_Tree] = {
    "variables": [],
    "collections": {},
    "saver_def": None,
    "items": {},
    "left_out": [],
    "tags": [],
    "stripped_default_attrs": False,
}
_VARIABLE: Final[_Fields] = {
    "name": (str,),
    "dtype": (str,),
    "shape": (list,),
    "trainable": (bool,),
    "device": (str, NoneType),
    "save_slice": (dict, NoneType),
}
_VARIABLE_DEFAULTS: Final[_Tree] = {"trainable": True, "device": None, "save_slice": None}
_SLICE: Final[_Fields] = {"full_name": (str,), "full_shape": (list,), "offset": (list,)}
_SAVER: Final[_Fields] = {
    "filename_tensor_name": (str,),
    "save_tensor_name": (str,),
    "restore_op_name": (str,),
    "max_to_keep": (int,),
    "sharded": (bool,),
    "keep_checkpoint_every_n_hours": (int, float, str),
    "version": (int,),
}
_SAVER_DEFAULTS: Final[_Tree] = attrs.asdict(SaverDef())
#: How much of a message about a damaged part is shown.
_SHOWN: Final = 300
#: What JSON has no number for: all checkpoints but the latest are deleted.
_FOR_EVER: Final = "inf"


def encode_meta_graph(meta: MetaGraphDef, *, as_text: bool) -> bytes:
    """Return the bytes of the file of a meta graph.

    Raises:
        NotCheckpointableError: it is too long, or holds text that the text form cannot hold.
    """
    tree = _graph_tree(meta)
    data = encode_record_text(KIND, tree) if as_text else encode_record_file(KIND, tree)
    return _checked_length(data, KIND)


def decode_meta_graph(data: bytes, file: str) -> MetaGraphDef:
    """Return the meta graph in a file, of either form.

    Args:
        data: the whole file.
        file: its name, for messages.

    Raises:
        CorruptCheckpointError: it is damaged, or no meta graph.
        UnsupportedFormatError: a newer version of the library wrote it.
        MissingDependencyError: a value in it needs a package that is not installed.
    """
    if data.lstrip().startswith(b"{"):
        tree = decode_record_text(data, KIND, file)
    else:
        tree = decode_record_file(data, KIND, file)
    try:
        return _read_graph(tree)
    except CorruptCheckpointError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise corrupt(file, "F-47", f"this is no meta graph: {str(error)[:_SHOWN]}") from None


def read_meta_graph(storage: Storage, path: str) -> MetaGraphDef:
    """Return the meta graph in a file.

    Raises:
        CheckpointNotFoundError: there is no such file.
        StorageError: it cannot be read.
        CorruptCheckpointError, UnsupportedFormatError, MissingDependencyError: as
            `decode_meta_graph`.
    """
    file = storage.open_read(path)
    try:
        size = file.status.size
        if size > LONGEST_RECORD:
            raise corrupt(path, "F-47", "it is too long", expected=LONGEST_RECORD, found=size)
        content = bytearray(size)
        length = file.read_into(0, memoryview(content))
    finally:
        file.close()
    return decode_meta_graph(bytes(content[:length]), path)


def write_meta_graph(
    storage: Storage,
    path: str,
    meta: MetaGraphDef,
    *,
    as_text: bool,
    durable: bool,
    debug_info: bool = False,
) -> None:
    """Write the file of a meta graph, atomically; missing directories are made.

    Args:
        storage: where it is written.
        path: the file; what stands there is replaced, unless it is a checkpoint.
        meta: the meta graph.
        as_text: whether it is written as text.
        durable: whether the file survives a power cut once the call has returned.
        debug_info: whether to write, before it, the file of `debug_file`, always as text.

    Raises:
        CheckpointExistsError: a checkpoint stands there.
        NotCheckpointableError: as `encode_meta_graph`.
        StorageError: the storage failed; the old file is intact.
        ValueError: the path has no name.
    """
    directory, base = split_path(path)
    if base in {"", ".", ".."}:
        raise ValueError(f"filename is {path!r}, expected the path of a file, such as 'run/a.meta'")
    contents = {debug_file(path): _debug_text(meta)} if debug_info else {}
    contents[path] = encode_meta_graph(meta, as_text=as_text)
    storage.make_dirs(directory, durable=durable)
    with storage.lock_dir(directory) as locked:
        for file, content in contents.items():
            replace_file(storage, file, content, durable=durable, locked=locked)


def debug_file(path: str) -> str:
    """Return the path of the file that says where the variables of a meta graph were made.

    >>> debug_file("run/model-1.meta")
    'run/model-1_debug.meta'
    """
    stem, extension = posixpath.splitext(path)
    return f"{stem}_debug{extension}"


def _debug_text(meta: MetaGraphDef) -> bytes:
    """Return the bytes of the debug file: the line that led to each variable."""
    lines = {v.name: v.created_at for v in meta.variables if v.created_at is not None}
    tree = {
        "variables": {
            name: {"file": line.file, "line": line.line, "function": line.function}
            for name, line in lines.items()
        }
    }
    return _checked_length(encode_record_text(DEBUG_KIND, tree), DEBUG_KIND)


def _checked_length(data: bytes, kind: str) -> bytes:
    if len(data) > LONGEST_RECORD:
        raise NotCheckpointableError(
            f"the {kind} has {len(data):,} bytes, expected at most {LONGEST_RECORD:,}. Describe"
            " fewer collections (collection_list), or one scope (export_scope)."
        )
    return data


# To trees of what JSON has: one tree for both forms.


def _graph_tree(meta: MetaGraphDef) -> _Tree:
    fields = partial(_without, _GRAPH_DEFAULTS) if meta.stripped_default_attrs else dict
    savers = partial(_saver_tree, strip=meta.stripped_default_attrs)
    return fields(
        {
            "library_version": meta.library_version,
            "variables": [_variable_tree(v, meta.stripped_default_attrs) for v in meta.variables],
            "collections": {
                key: [_item_tree(item, meta.stripped_default_attrs) for item in held]
                for key, held in meta.collections.items()
            },
            "saver_def": None if meta.saver_def is None else savers(meta.saver_def),
            "items": {key: list(names) for key, names in meta.items.items()},
            "left_out": list(meta.left_out),
            "tags": list(meta.tags),
            "stripped_default_attrs": meta.stripped_default_attrs,
        }
    )


def _variable_tree(variable: VariableDef, strip: bool) -> _Tree:
    part = variable.save_slice
    tree = {
        "name": variable.name,
        "dtype": variable.dtype,
        "shape": list(variable.shape),
        "trainable": variable.trainable,
        "device": variable.device,
        "save_slice": part
        and {
            "full_name": part.full_name,
            "full_shape": list(part.full_shape),
            "offset": list(part.offset),
        },
    }
    return _without(_VARIABLE_DEFAULTS, tree) if strip else tree


def _saver_tree(saver_def: SaverDef, strip: bool) -> _Tree:
    tree = attrs.asdict(saver_def)
    if saver_def.keep_checkpoint_every_n_hours == math.inf:
        tree["keep_checkpoint_every_n_hours"] = _FOR_EVER
    return _without(_SAVER_DEFAULTS, tree) if strip else tree


def _item_tree(item: CollectionItem, strip: bool) -> _Tree:
    if isinstance(item, VariableReference):
        return {"variable": item.name}
    if isinstance(item, SaverDef):
        return {"saver_def": _saver_tree(item, strip)}
    if _is_simple(item) or (type(item) is list and all(map(_is_simple, item))):
        return {"value": item}
    return {"encoded": base64.b64encode(encode_value(item)).decode()}


def _is_simple(value: object) -> bool:
    """Tell whether JSON holds a scalar exactly."""
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or type(value) in (bool, str) or _is_finite(value)


def _is_finite(value: object) -> bool:
    return type(value) is float and math.isfinite(value)


def _without(defaults: _Tree, tree: _Tree) -> _Tree:
    """Return the fields that are not at their default."""
    return {k: v for k, v in tree.items() if k not in defaults or v != defaults[k]}


# From trees. Each raises `TypeError` or `ValueError` for what does not fit.


def _read_graph(tree: object) -> MetaGraphDef:
    found = _read_fields("the meta graph", tree, _GRAPH, _GRAPH_DEFAULTS)
    saver_def = found["saver_def"]
    return MetaGraphDef(
        **{
            **found,
            "variables": [_read_variable(variable) for variable in found["variables"]],
            "collections": {
                key: [_read_item(item) for item in _read_list(held, dict)]
                for key, held in _by_name(found["collections"])
            },
            "saver_def": None if saver_def is None else _read_saver(saver_def),
            "items": {key: _read_list(names, str) for key, names in _by_name(found["items"])},
            "left_out": _read_list(found["left_out"], str),
            "tags": _read_list(found["tags"], str),
        }
    )


def _read_variable(tree: object) -> VariableDef:
    found = _read_fields("a variable", tree, _VARIABLE, _VARIABLE_DEFAULTS)
    part = found["save_slice"]
    if part is not None:
        fields = _read_fields("a slice", part, _SLICE, {})
        for name in ("full_shape", "offset"):
            _read_list(fields[name], int)
        found["save_slice"] = SaveSlice(**fields)
    _read_list(found["shape"], int)
    return VariableDef(**found)


def _read_saver(tree: object) -> SaverDef:
    found = _read_fields("a saver", tree, _SAVER, _SAVER_DEFAULTS)
    hours = found["keep_checkpoint_every_n_hours"]
    if type(hours) is str and hours != _FOR_EVER:
        raise ValueError("a saver keeps a checkpoint every so many hours: that is no number")
    return SaverDef(**{**found, "keep_checkpoint_every_n_hours": float(hours)})


def _read_item(tree: _Tree) -> CollectionItem:
    if len(tree) != 1:
        raise ValueError("an item of a collection is more or less than one thing")
    [(kind, value)] = tree.items()
    if kind == "variable" and type(value) is str:
        return VariableReference(value)
    if kind == "saver_def":
        return _read_saver(value)
    if kind == "value" and _item_tree(value, strip=False).keys() == {"value"}:
        return value
    if kind == "encoded" and type(value) is str:
        return decode_value(base64.b64decode(value, validate=True), "an item of a collection")
    raise ValueError("an item of a collection is neither a variable, a saver nor a value")


def _read_fields(what: str, tree: object, fields: _Fields, defaults: _Tree) -> _Tree:
    """Return the fields of a part, those that are not there at their default."""
    if type(tree) is not dict or not tree.keys() <= fields.keys():
        raise ValueError(f"{what} has other fields than {', '.join(fields)}")
    found = {**defaults, **tree}
    for name, kinds in fields.items():
        if name not in found:
            raise ValueError(f"{what} lacks the field {name}")
        if type(found[name]) not in kinds:
            raise ValueError(f"the field {name} of {what} is a {type(found[name]).__name__}")
    return found


def _read_list(value: object, kind: type[Any]) -> list[Any]:
    if type(value) is not list or any(type(item) is not kind for item in value):
        raise ValueError(f"there is a {type(value).__name__}, expected a list of {kind.__name__}")
    return value


def _by_name(tree: _Tree) -> Iterable[tuple[str, Any]]:
    if any(type(name) is not str for name in tree):
        raise ValueError("there is a name that is no text")
    return tree.items()
