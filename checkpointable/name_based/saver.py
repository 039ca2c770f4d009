"""`Saver`: saves and restores variables by their global names, and keeps the last few saves."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, Self, final

import numpy as np

from checkpointable.bundle import files
from checkpointable.errors import CheckpointError, warn
from checkpointable.name_based.arguments import (
    check_no_collision,
    checked_session,
    checked_settings,
    checked_suffix,
    named_step,
    state_file_name,
)
from checkpointable.name_based.builder import (
    DEFAULT_FILENAME,
    BulkSaverBuilder,
    SaverBuilder,
    options_for,
    recorded_work,
)
from checkpointable.name_based.keeping import Keeping
from checkpointable.name_based.last_checkpoints import LastCheckpoints
from checkpointable.name_based.listed import Place
from checkpointable.name_based.saveables import (
    VarList,
    graph_of,
    has_any,
    saveables_of,
    saveables_of_graph,
)
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.name_based.work import SaverWork
from checkpointable.name_based.written_down import WrittenDown, side_files
from checkpointable.options import SaveOptions
from checkpointable.session.graph import Graph, Operation, get_default_graph
from checkpointable.session.session import Session
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL
from checkpointable.trackable.base import Variable
from checkpointable.trackable.checkpoint_number import checkpoint_number_of

#: To how many digits `pad_step_number` pads.
_DIGITS: Final = 8


@final
class Saver(LastCheckpoints, WrittenDown):
    """Saves and restores Variables by their global names, and looks after the last few saves.

    A checkpoint maps names to values; the object graph of the program plays no part. Where objects
    have a structure, `Checkpoint` is the better choice.

    In eager execution the values are those of the Variables and arrays themselves, and `sess` is
    ignored. While a graph is built, operations are recorded in it, and values are in sessions.

    Old checkpoints are deleted after each save: see `max_to_keep`. What is kept is remembered in
    the state file `checkpoint` beside the checkpoints, so a new Saver goes on where an older one of
    the same names ended. Nothing but name-based checkpoints is ever deleted.

    Not thread-safe: one thread at a time uses a Saver.

    Args:
        var_list: what is saved: a list of Variables, `SaveableObject`s, and lists of the slices
            that `partitioned_variables` makes, each under its own name; or a dict of names to
            these, or to numpy arrays. `None`: all that the default graph has collected under
            "variables" and "saveable_objects".
        reshape: let values come back into another shape of the same size.
        sharded: write one shard for each `Variable.device`. Then there is no one-file form.
        max_to_keep: how many of the latest checkpoints are kept; 0 or `None`: all, and the state
            file lists only the latest.
        keep_checkpoint_every_n_hours: of those that are no longer among the latest, keep one for
            good whenever so many hours have passed since the last such.
        name: the name scope of the recorded operations, by default `save`. With `saver_def`, the
            scope into which its graph was imported.
        restore_sequentially: read one value at a time, in one thread: slower, with less memory.
        saver_def: use the operations that the Saver of this description has recorded in the default
            graph, instead of recording others. What it says of sharding and keeping holds.
        builder: records the operations, and may change how values are written and read; by
            default a `BulkSaverBuilder`.
        defer_build: record nothing before `build()` is called. In eager execution without effect.
        allow_empty: let there be nothing to save; then `save` returns `None`, and `restore` does
            nothing.
        write_version: `SaverDef.V2` writes an index and shards, `SaverDef.V1` and `LEGACY` write
            one file. Both are read whatever this says.
        pad_step_number: pad the number in names of checkpoints to 8 digits.
        save_relative_paths: let the state file name checkpoints of other directories relatively
            too. Those of its own directory it always names so: it may be copied elsewhere.
        filename: where the recorded operations save and restore when a session runs them by
            themselves; by default `model`.
        options: how to write. `single_file` has the effect of `write_version=SaverDef.V1`.
        storage: where checkpoints are.
        clock: tells the time, in seconds since 1970.

    Raises:
        RuntimeError: `var_list` is `None` in eager execution, or the graph is finalized.
        TypeError: something cannot be saved by name, or an argument is of a wrong type.
        ValueError: a name, or a thing, is not unique, or a Variable has no name; there is nothing
            to save; the graph lacks the operations of `saver_def`; `defer_build` is given together
            with `var_list`; an argument is out of range.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> w = ckpt.Variable([1.0, 2.0], name="w")
        >>> saver = ckpt.Saver([w], max_to_keep=2)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     for step in range(4):
        ...         path = saver.save(None, directory + "/model", global_step=step)
        ...     w += 1
        ...     saver.restore(None, path)
        ...     kept = [found.rpartition("/")[2] for found in saver.last_checkpoints]
        >>> w.value, kept
        (array([1., 2.]), ['model-2', 'model-3'])
    """

    def __init__(  # noqa: PLR0917  # the order of the reference document
        self,
        var_list: VarList | None = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: SaverDef | None = None,
        builder: SaverBuilder | None = None,
        defer_build: bool = False,
        allow_empty: bool = False,
        write_version: int = SaverDef.V2,
        pad_step_number: bool = False,
        save_relative_paths: bool = False,
        filename: str | None = None,
        *,
        options: SaveOptions | None = None,
        storage: Storage = LOCAL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if defer_build and var_list is not None:
            raise ValueError(
                "defer_build=True lets build() find what there is to save, so var_list cannot be"
                " given. Leave one of them out."
            )
        if saver_def is not None and not isinstance(saver_def, SaverDef):
            raise ValueError(f"saver_def is a {type(saver_def).__qualname__}, expected a SaverDef")
        if builder is not None and not isinstance(builder, SaverBuilder):
            raise TypeError(f"builder is a {type(builder).__qualname__}, expected a SaverBuilder")
        self._var_list = var_list
        self._builder = BulkSaverBuilder() if builder is None else builder
        version = self._builder.write_version
        self._saver_def = checked_settings(
            SaverDef(
                max_to_keep=0 if max_to_keep is None else max_to_keep,
                sharded=sharded,
                keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
                version=write_version if version is None else version,
            )
            if saver_def is None
            else saver_def
        )
        self._reshape = reshape
        self._name = name
        self._sequential = restore_sequentially
        self._allow_empty = allow_empty
        self._pads = pad_step_number
        self._relative = save_relative_paths
        self._filename = DEFAULT_FILENAME if filename is None else path_text(filename)
        self._options = options_for(
            options, self._saver_def.version, sharded=self._saver_def.sharded
        )
        self._storage = storage
        self._keeping = Keeping(
            self._saver_def.max_to_keep,
            self._saver_def.keep_checkpoint_every_n_hours,
            self._options.format,
            storage,
            clock,
        )
        self._work = None
        self._is_built = False
        self._graph = self._find_graph()
        if self._graph is None:
            self._build_eagerly()
        elif saver_def is not None:
            self._saver_def = saver_def.within(name)
            self._work = recorded_work(self._graph, self._saver_def)
            self._is_built = True
        elif not defer_build:
            self.build()

    def build(self) -> None:
        """Record the operations that save and restore, in the default graph; a second call is void.

        The constructor calls it, unless `defer_build=True`. Call it before the graph is finalized.

        Raises:
            RuntimeError: in eager execution, where there is nothing to record; or the graph is
                finalized.
            TypeError, ValueError: as the constructor.
        """
        if self._graph is None:
            raise RuntimeError(
                "in eager execution there is nothing to build. Use save() and restore() as they"
                " are."
            )
        if self._is_built:
            return
        graph = get_default_graph() or self._graph
        var_list = saveables_of_graph(graph) if self._var_list is None else self._var_list
        if has_any(var_list, self._allow_empty):
            with graph.as_default():
                self._saver_def = self._builder.build(
                    var_list,
                    self._reshape,
                    self._saver_def.sharded,
                    self._saver_def.max_to_keep,
                    self._saver_def.keep_checkpoint_every_n_hours,
                    self._name,
                    self._sequential,
                    self._filename,
                    write_version=self._saver_def.version,
                    options=self._options,
                    storage=self._storage,
                )
            self._work = recorded_work(graph, self._saver_def)
        self._graph, self._is_built = graph, True

    def save(  # noqa: PLR0917  # the order of the reference document
        self,
        sess: Session | None,
        save_path: PathLike,
        global_step: int | np.integer[Any] | Variable | Operation | str | None = None,
        latest_filename: str | None = None,
        meta_graph_suffix: str = "meta",
        write_meta_graph: bool = True,
        write_state: bool = True,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> str | None:
        """Save the values, and delete checkpoints that are surplus.

        A checkpoint of the same path is replaced, atomically; another file never is. Missing
        directories are made.

        Args:
            sess: the session that holds the values; ignored in eager execution.
            save_path: directory and beginning of the file names.
            global_step: `-NUMBER` is added to the name: an integer of at least 0, a Variable of
                one, the name of such a Variable, or an operation that returns one.
            latest_filename: what the state file is called; by default `checkpoint`.
            meta_graph_suffix: what the name of the meta graph ends with. While a graph is built, it
                is deleted together with its checkpoint.
            write_meta_graph: while a graph is built, write it down too, beside the checkpoint.
            write_state: write the state file, remember the checkpoint, and delete those that are
                surplus. `False`: none of these.
            strip_default_attrs: leave out of the meta graph what is at its default.
            save_debug_info: write beside the meta graph which lines of the program led to it.

        Returns:
            the path of the checkpoint, for `restore`. Of a sharded saver it ends with
            `-?????-of-NNNNN`, where NNNNN is how many shards were written; but not in TensorFlow's
            format, which knows no such paths. `None` if the saver is empty.

        Raises:
            CheckpointExistsError: what stands there may not be replaced.
            NotCheckpointableError: Variables have no value, or a value cannot be stored.
            RuntimeError: `build()` was not called, or the session is closed.
            StorageError: the storage failed.
            TypeError: while a graph is built, `sess` is no Session; or the step is no integer.
            ValueError: `latest_filename` has path components, or is the name of the checkpoint;
                the step is negative, or no Variable has that name; slices do not fill their tensor.

        A failed or interrupted save leaves what stood there as it was, and changes no bookkeeping.
        When the call returns, the checkpoint survives a power cut (unless `options.durable` is
        `False`). Whatever goes wrong after that is told in a `CheckpointWarning`.
        """
        sharded = self.as_saver_def().sharded
        state_file = state_file_name(latest_filename)
        suffix = checked_suffix(meta_graph_suffix)
        session = self._session(sess)
        with nullcontext() if session is None else session.as_default():
            prefix = path_text(save_path) + self._number(global_step)
        check_no_collision(state_file, prefix, sharded=sharded)
        if self._work is None:
            return None
        path = self._work.save(session, prefix)
        try:
            if write_meta_graph and self._graph is not None:
                file = f"{prefix}.{suffix}"
                self._write_meta_graph(file, strip_default_attrs, save_debug_info)
        finally:  # It is saved: an interrupt must not leave it unlisted.
            if write_state:
                directory = files.split_path(prefix)[0]
                sides = partial(side_files, None if self._graph is None else suffix)
                self._keeping.keep(path, Place(directory, state_file, sides, self._relative))
        return path

    def restore(self, sess: Session | None, save_path: PathLike) -> None:
        """Give Variables and arrays their values from a checkpoint, by name.

        They need no value before. Everything is checked before anything is assigned. Of an
        object-based checkpoint, the global names are taken that its Variables had.

        Args:
            sess: the session that receives the values; ignored in eager execution.
            save_path: what `save` or `latest_checkpoint` returned, or a directory: its newest
                checkpoint. Any form is read, whatever `write_version` is.

        Raises:
            CorruptCheckpointError: the files are damaged; its report lists what was assigned.
            IncompatibleCheckpointError: values do not fit; nothing was changed.
            RuntimeError: `build()` was not called, or the session is closed.
            TensorNotFoundError: names are not in the checkpoint; nothing was changed. The message
                says what is missing, what is extra, and how many matched.
            TypeError: while a graph is built, `sess` is no Session.
            ValueError: `save_path` is `None`, or there is no checkpoint.
        """
        self.as_saver_def()  # Not before it is built.
        session = self._session(sess)
        if self._work is None:
            return
        if save_path is None:
            raise ValueError(
                "save_path is None, expected a checkpoint. latest_checkpoint() returns None where"
                " there is none."
            )
        self._work.restore(session, path_text(save_path))

    @classmethod
    def from_proto(cls, saver_def: SaverDef, import_scope: str | None = None) -> Self:
        """Return the Saver that was written down, once its operations are in the default graph.

        Args:
            saver_def: what `as_saver_def` or `to_proto` returned.
            import_scope: the name scope into which its graph was imported.

        Raises:
            RuntimeError: in eager execution.
            ValueError: the graph lacks the operations, or it is no SaverDef.
        """
        return cls(saver_def=saver_def, name=import_scope)

    def _find_graph(self) -> Graph | None:
        """Return the default graph, or the one to which the Variables belong; `None`: eager."""
        graph = get_default_graph()
        if graph is None and self._var_list is None:
            raise RuntimeError(
                "in eager execution var_list must say what is saved: a list of Variables, or a"
                " dict of names to Variables and arrays"
            )
        if graph is None and self._var_list is not None:
            return graph_of(saveables_of(self._var_list))
        return graph

    def _build_eagerly(self) -> None:
        if has_any(self._var_list or (), self._allow_empty):
            self._work = SaverWork(
                saveables=saveables_of(self._var_list or ()),
                hooks=self._builder,
                graph=None,
                reshape=self._reshape,
                sharded=self._saver_def.sharded,
                sequential=self._sequential,
                filename=self._filename,
                options=self._options,
                storage=self._storage,
            )
        self._is_built = True

    def _session(self, sess: Any) -> Session | None:
        return None if self._graph is None else checked_session(sess, self._graph)

    def _write_meta_graph(self, file: str, strip_default_attrs: bool, debug_info: bool) -> None:
        """Write the meta graph beside a checkpoint that is saved already."""
        try:
            self.export_meta_graph(
                file, strip_default_attrs=strip_default_attrs, save_debug_info=debug_info
            )
        except CheckpointError as error:
            warn(f"the checkpoint is saved, but not its meta graph: {error}")

    def _number(self, global_step: Any) -> str:
        """Return what a step adds to the name of a checkpoint."""
        if global_step is None:
            return ""
        if isinstance(global_step, str):
            saveables = () if self._work is None else self._work.saveables
            global_step = named_step(global_step, self._graph, saveables)
        number = checkpoint_number_of(global_step, "global_step")
        return f"-{number:0{_DIGITS if self._pads else 1}d}"
