"""Rebuilds the variables, collections and saver of a graph from their description."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

import numpy as np

from checkpointable.format.dtypes import STRING, numpy_dtype
from checkpointable.name_based.describing import exact_copy
from checkpointable.name_based.meta_graph import (
    TRAINABLE_VARIABLES,
    VARIABLES,
    MetaGraphDef,
    VariableDef,
    VariableReference,
)
from checkpointable.name_based.meta_graph_file import read_meta_graph
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.names import shorten
from checkpointable.session.graph import Graph, get_default_graph
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL
from checkpointable.trackable.base import Variable
from checkpointable.trackable.partitioned import VariablePart
from checkpointable.trackable.save_slice import SaveSlice

_Saver = TypeVar("_Saver")

#: How many names an error shows.
_MOST_SHOWN: Final = 5


def import_graph(
    make_saver: Callable[..., _Saver],
    meta_graph_or_file: MetaGraphDef | PathLike,
    clear_devices: bool,
    import_scope: str | None,
    settings: Mapping[str, Any],
    *,
    storage: Storage = LOCAL,
) -> _Saver | None:
    """Do what `import_meta_graph` does, for any class of savers.

    All is checked before anything is recorded in the graph.
    """
    graph = get_default_graph()
    if graph is None:
        raise RuntimeError(
            "import_meta_graph rebuilds variables in a graph, and none is the default. Call it"
            " inside `with ckpt.Graph().as_default():`."
        )
    meta = _meta_graph(meta_graph_or_file, storage)
    arguments = {"name": import_scope or None, **_saver_arguments(meta), **settings}
    inspect.signature(make_saver).bind(var_list={}, **arguments)
    variables = _rebuild_variables(graph, meta, clear_devices, import_scope)
    saver = None
    if variables:
        saver = make_saver(var_list=_var_list(meta, variables), **arguments)
    _fill_collections(graph, meta, variables, saver)
    return saver


def _meta_graph(given: MetaGraphDef | PathLike, storage: Storage) -> MetaGraphDef:
    if isinstance(given, MetaGraphDef):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(
            f"meta_graph_or_file is a {type(given).__qualname__}, expected a MetaGraphDef or the"
            " path of its file"
        )
    return read_meta_graph(storage, path_text(given))


def _saver_arguments(meta: MetaGraphDef) -> dict[str, Any]:
    """Return the arguments that make the described saver, without what it saves."""
    saver_def = meta.saver_def
    if saver_def is None:
        return {}
    return {
        "max_to_keep": saver_def.max_to_keep,
        "sharded": saver_def.sharded,
        "keep_checkpoint_every_n_hours": saver_def.keep_checkpoint_every_n_hours,
        "write_version": saver_def.version,
        "allow_empty": not meta.items,
    }


def _rebuild_variables(
    graph: Graph, meta: MetaGraphDef, clear_devices: bool, import_scope: str | None
) -> dict[str, Variable]:
    """Record the described variables in a graph; return them by their described names."""
    dtypes = [_dtype(variable) for variable in meta.variables]
    with _scope(graph, import_scope):
        prefix = graph.current_scope
        _check_free(graph, [f"{prefix}{variable.name}" for variable in meta.variables])
        return {
            variable.name: _rebuild(variable, dtype, prefix, clear_devices)
            for variable, dtype in zip(meta.variables, dtypes, strict=True)
        }


def _scope(graph: Graph, import_scope: str | None) -> AbstractContextManager[Any]:
    return graph.name_scope(import_scope) if import_scope else nullcontext()


def _dtype(variable: VariableDef) -> np.dtype[Any]:
    if variable.dtype == STRING:
        return np.dtypes.StringDType()
    return numpy_dtype(variable.dtype)


def _check_free(graph: Graph, names: list[str]) -> None:
    """Refuse names that the graph has: a rebuilt variable would silently get another one."""
    taken = [shorten(name) for name in names if graph.has_name(name)]
    if taken:
        raise ValueError(
            f"the graph has {len(taken):,} of the names in the meta graph already, such as"
            f" {', '.join(taken[:_MOST_SHOWN])}. Import into another Graph, or under a name scope:"
            " import_scope='imported'."
        )


def _rebuild(
    variable: VariableDef, dtype: np.dtype[Any], prefix: str, clear_devices: bool
) -> Variable:
    part = variable.save_slice
    if part is not None:
        part = SaveSlice(f"{prefix}{part.full_name}", part.full_shape, part.offset)
    make = Variable if part is None else _part_maker(part)
    return make(
        shape=variable.shape,
        dtype=dtype,
        name=variable.name,
        trainable=variable.trainable,
        device=None if clear_devices else variable.device,
    )


def _part_maker(part: SaveSlice) -> Callable[..., Variable]:
    return lambda **fields: VariablePart(**fields, save_slice=part)


def _var_list(
    meta: MetaGraphDef, variables: Mapping[str, Variable]
) -> dict[str, Variable | list[Variable]]:
    """Return what the saver saves: a Variable, or parts, for each name in the checkpoint."""
    found: dict[str, Variable | list[Variable]] = {}
    for key, names in meta.saved_items().items():
        saved = [variables[name] for name in names]
        found[key] = saved[0] if saved[0].save_slice is None else saved
    return found


def _fill_collections(
    graph: Graph, meta: MetaGraphDef, variables: Mapping[str, Variable], saver: object
) -> None:
    """Add what collections held; variables that are there already are not added again."""
    for key, held in meta.collections.items():
        present = set(map(id, graph.get_collection(key)))
        for item in held:
            value = _collected(item, meta, variables, saver)
            if key not in (VARIABLES, TRAINABLE_VARIABLES) or id(value) not in present:
                graph.add_to_collection(key, value)


def _collected(
    item: Any, meta: MetaGraphDef, variables: Mapping[str, Variable], saver: object
) -> Any:
    if isinstance(item, VariableReference):
        return variables[item.name]
    if isinstance(item, SaverDef):
        return saver if saver is not None and item == meta.saver_def else item
    return exact_copy(item)
