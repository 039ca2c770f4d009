"""`export_meta_graph`: describes a graph, and writes that to a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from checkpointable.name_based.describing import describe_graph
from checkpointable.name_based.meta_graph import MetaGraphDef
from checkpointable.name_based.meta_graph_file import write_meta_graph
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.session.graph import Graph, get_default_graph
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL


def export_meta_graph(
    filename: PathLike | None = None,
    *,
    collection_list: Sequence[str] | None = None,
    as_text: bool = False,
    export_scope: str | None = None,
    clear_devices: bool = False,
    clear_extraneous_savers: bool = False,
    strip_default_attrs: bool = False,
    save_debug_info: bool = False,
    graph: Graph | None = None,
    saver_def: SaverDef | None = None,
    items: Mapping[str, Sequence[str]] | None = None,
    tags: Iterable[str] = (),
    durable: bool = True,
    storage: Storage = LOCAL,
) -> MetaGraphDef:
    """Describe the variables and collections of a graph, and write that to a file if one is named.

    `import_meta_graph` rebuilds them from the record or the file. The file is replaced atomically:
    a crash leaves the old one or the new one. Nothing is added to the graph, which may be
    finalized. Thread-safe.

    Args:
        filename: the file to write; `None`: none.
        collection_list: describe only these collections; by default all. The variables always are.
        as_text: write JSON text, for people to read and compare, instead of the binary form. It
            has no checksums.
        export_scope: describe only the variables under this name scope, and take it off their
            names and those of the saver's operations. Names in checkpoints stay what they are.
        clear_devices: leave out the devices of the variables.
        clear_extraneous_savers: leave savers other than `saver_def` out of the collections.
        strip_default_attrs: leave fields at their default out of the file; they are read as such.
        save_debug_info: write another file beside it, as text, which says what line led to each
            variable: `run/a_debug.meta` for `run/a.meta`. Without a filename it has no effect.
        graph: the graph; by default the default graph.
        saver_def: the saver to describe with it. `Saver.export_meta_graph` gives its own.
        items: what this saver saves: names in the checkpoint, and for each the names of variables.
        tags: marks for people.
        durable: whether the file survives a power cut once the call has returned.
        storage: where the file is written.

    Returns:
        the description. What could not be described, such as operations, is in `left_out`.

    Raises:
        CheckpointExistsError: a checkpoint stands under the filename.
        NotCheckpointableError: the description is too long for a file.
        RuntimeError: there is no graph: neither given, nor a default one.
        StorageError: the storage failed; the old file is intact.
        TypeError: an argument is of another type.
        ValueError: there is no such scope, or the filename has no name.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with ckpt.Graph().as_default() as graph:
        ...     w = ckpt.Variable([1.0, 2.0], name="w")
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     described = ckpt.export_meta_graph(directory + "/w.meta", graph=graph)
        >>> described.collections["trainable_variables"]
        (VariableReference(name='w'),)
    """
    graph = get_default_graph() if graph is None else graph
    if graph is None:
        raise RuntimeError(
            "export_meta_graph describes a graph, and none is the default. Call it inside"
            " `with graph.as_default():`, or give it one: export_meta_graph(graph=graph)."
        )
    path = None if filename is None else path_text(filename)
    meta = describe_graph(
        graph,
        saver_def=saver_def,
        items=items,
        collection_list=collection_list,
        export_scope=export_scope,
        clear_devices=clear_devices,
        clear_extraneous_savers=clear_extraneous_savers,
        strip_default_attrs=strip_default_attrs,
        tags=tags,
    )
    if path is not None:
        write_meta_graph(
            storage, path, meta, as_text=as_text, durable=durable, debug_info=save_debug_info
        )
    return meta
