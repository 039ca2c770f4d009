"""A saver written down: alone, or with its graph."""

from __future__ import annotations

from collections.abc import Sequence

from checkpointable.name_based.describing import items_of
from checkpointable.name_based.exporting import export_meta_graph
from checkpointable.name_based.meta_graph import MetaGraphDef
from checkpointable.name_based.meta_graph_file import debug_file
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.name_based.work import SaverWork
from checkpointable.options import SaveOptions
from checkpointable.session.graph import Graph
from checkpointable.storage.base import PathLike, Storage


class WrittenDown:
    """What a saver says of itself once it is built."""

    #: The graph in which operations are recorded; `None` in eager execution.
    _graph: Graph | None
    #: What save and restore do; `None` before it is built, and if there is nothing to save.
    _work: SaverWork | None
    _is_built: bool
    _saver_def: SaverDef
    _options: SaveOptions
    _storage: Storage

    def export_meta_graph(  # noqa: PLR0917  # the order of the reference document
        self,
        filename: PathLike | None = None,
        collection_list: Sequence[str] | None = None,
        as_text: bool = False,
        export_scope: str | None = None,
        clear_devices: bool = False,
        clear_extraneous_savers: bool = False,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> MetaGraphDef:
        """Describe this saver and its graph, and write that to a file if one is named.

        Args:
            filename: the file to write; `None`: none. The arguments are those of
                `checkpointable.export_meta_graph`.
            collection_list: describe only these collections; by default all.
            as_text: write JSON text instead of the binary form.
            export_scope: describe only variables under this scope, and take it off their names.
            clear_devices: leave out the devices of the variables.
            clear_extraneous_savers: leave other savers out of the collections.
            strip_default_attrs: leave fields at their default out of the file.
            save_debug_info: write another file that says what line led to each variable.

        Returns:
            the description, from which `import_meta_graph` rebuilds variables and saver.

        Raises:
            RuntimeError: in eager execution, where there is no graph; or `build()` was not called.
            CheckpointExistsError, NotCheckpointableError, StorageError, TypeError, ValueError: as
                `checkpointable.export_meta_graph`.
        """
        if self._graph is None:
            raise RuntimeError(
                "in eager execution there is no graph to describe. Make the Saver and its Variables"
                " inside `with ckpt.Graph().as_default():`."
            )
        return export_meta_graph(
            filename,
            collection_list=collection_list,
            as_text=as_text,
            export_scope=export_scope,
            clear_devices=clear_devices,
            clear_extraneous_savers=clear_extraneous_savers,
            strip_default_attrs=strip_default_attrs,
            save_debug_info=save_debug_info,
            graph=self._graph,
            saver_def=self.as_saver_def(),
            items=items_of(() if self._work is None else self._work.saveables),
            durable=self._options.durable,
            storage=self._storage,
        )

    def as_saver_def(self) -> SaverDef:
        """Return this saver written down: its settings, and the names of its operations if any.

        Raises:
            RuntimeError: `build()` was not called.
        """
        if not self._is_built:
            raise RuntimeError(
                "the Saver is not built yet: it was made with defer_build=True. Call build() before"
                " it is used."
            )
        return self._saver_def

    def to_proto(self, export_scope: str | None = None) -> SaverDef | None:
        """Return this saver written down, as it would be in a part of the graph.

        Args:
            export_scope: the name scope of that part, which is left out of the names.

        Returns:
            a `SaverDef`; `None` if the operations are outside of that scope.

        Raises:
            RuntimeError: `build()` was not called.
        """
        return self.as_saver_def().outside(export_scope)


def side_files(suffix: str | None, prefix: str) -> Sequence[str]:
    """Return the files that go with a checkpoint: its meta graph, and what belongs to that.

    Args:
        suffix: what meta graphs end with; `None`: none is written, so what is there is not ours.
        prefix: the checkpoint.
    """
    if suffix is None:
        return ()
    file = f"{prefix}.{suffix}"
    return file, debug_file(file)
