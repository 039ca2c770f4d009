"""Rebuilds the variables, collections and saver of a graph from their description."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
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
from checkpointable.name_based.saver import Saver
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.names import shorten
from checkpointable.session.graph import Graph, get_default_graph
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL
from checkpointable.trackable.base import Variable
from checkpointable.trackable.partitioned import VariablePart
from checkpointable.trackable.save_slice import SaveSlice

_Made = TypeVar("_Made")

#: How many names an error shows.
_MOST_SHOWN: Final = 5


def import_meta_graph(
    meta_graph_or_file: MetaGraphDef | PathLike,
    clear_devices: bool = False,
    import_scope: str | None = None,
    **kwargs: Any,
) -> Saver | None:
    """Rebuild the variables and collections of a graph from a meta graph, and return its saver.

    They are recorded in the default graph, with zeros as their initial values: run
    `saver.restore(session, path)` next. All is checked before anything is recorded.

    Args:
        meta_graph_or_file: what `export_meta_graph` returned, or the path of its file, such as
            `run/model-7.meta`; binary or text is recognised by the content.
        clear_devices: leave the devices of the variables to the program.
        import_scope: a name scope for all that is rebuilt, made unique; by default the current
            one. Names in checkpoints stay what they are.
        kwargs: arguments of the `Saver` that are to be others than those of the described saver.

    Returns:
        the saver that was described, rebuilt; where none was, one of all the variables. It saves
        and restores under the names that were described. `None` if there are no variables.

    Raises:
        CheckpointNotFoundError: there is no such file (a FileNotFoundError too).
        CorruptCheckpointError: the file is damaged, or no meta graph of this library.
        MissingDependencyError: a dtype needs a package that is not installed.
        RuntimeError: there is no default graph, or it is finalized.
        StorageError: the file cannot be read.
        TypeError: something else is given than a record or a path, or a `Saver` has no such
            argument.
        UnsupportedFormatError: a newer version of the library wrote the file.
        ValueError: the graph has a variable of one of the names already.

    What a meta graph does not hold is not rebuilt: operations, and whatever is in `left_out` of
    the record. The saver's own operations are recorded anew. Not thread-safe while another thread
    records in the same graph.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     with ckpt.Graph().as_default(), ckpt.Session() as session:
        ...         w = ckpt.Variable([1.0, 2.0], name="w")
        ...         session.run(w.initializer)
        ...         path = ckpt.Saver().save(session, directory + "/model")
        ...     with ckpt.Graph().as_default() as graph, ckpt.Session() as session:
        ...         saver = ckpt.import_meta_graph(directory + "/model.meta")
        ...         saver.restore(session, path)
        ...         session.run(graph.get_collection("variables"))
        [array([1., 2.])]
    """
    return import_graph(Saver, meta_graph_or_file, clear_devices, import_scope, kwargs)


def import_graph(
    make_saver: Callable[..., _Made],
    meta_graph_or_file: MetaGraphDef | PathLike,
    clear_devices: bool,
    import_scope: str | None,
    settings: Mapping[str, Any],
    *,
    storage: Storage = LOCAL,
) -> _Made | None:
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
    arguments = {**_saver_arguments(meta), **settings}
    make_saver(var_list={}, **{**arguments, "allow_empty": True})  # refuses wrong arguments now
    dtypes = [_dtype(variable) for variable in meta.variables]
    with graph.name_scope(import_scope) if import_scope else nullcontext():
        variables = _rebuild_variables(graph, meta, dtypes, clear_devices)
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
        # Its operations get the names again that they had, below the scope.
        "name": posixpath.dirname(saver_def.restore_op_name) or None,
        "max_to_keep": saver_def.max_to_keep,
        "sharded": saver_def.sharded,
        "keep_checkpoint_every_n_hours": saver_def.keep_checkpoint_every_n_hours,
        "write_version": saver_def.version,
        "allow_empty": not meta.items,
    }


def _rebuild_variables(
    graph: Graph, meta: MetaGraphDef, dtypes: Sequence[np.dtype[Any]], clear_devices: bool
) -> dict[str, Variable]:
    """Record the described variables in a graph; return them by their described names."""
    prefix = graph.current_scope
    _check_free(graph, [f"{prefix}{variable.name}" for variable in meta.variables])
    return {
        variable.name: _rebuild(variable, dtype, prefix, clear_devices)
        for variable, dtype in zip(meta.variables, dtypes, strict=True)
    }


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
