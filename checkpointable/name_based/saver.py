"""`Saver`: saves and restores variables by their global names, and keeps the last few saves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, Self, final

import numpy as np

from checkpointable.bundle import files
from checkpointable.directory.numbers import commit_status
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
from checkpointable.name_based.describing import items_of
from checkpointable.name_based.exporting import export_meta_graph
from checkpointable.name_based.keeping import Keeping, Place
from checkpointable.name_based.meta_graph import MetaGraphDef
from checkpointable.name_based.meta_graph_file import debug_file
from checkpointable.name_based.saveables import (
    VarList,
    graph_of,
    saveables_of,
    saveables_of_graph,
)
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.name_based.work import SaverWork
from checkpointable.options import SaveOptions
from checkpointable.retention.policies import Saved
from checkpointable.session.graph import Graph, Operation, get_default_graph
from checkpointable.session.session import Session
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL
from checkpointable.trackable.base import Variable
from checkpointable.trackable.checkpoint_number import checkpoint_number_of

#: To how many digits `pad_step_number` pads.
_DIGITS: Final = 8


@final
class Saver:
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
            storage,
            clock,
        )
        #: What save and restore do; `None` before it is built, and if there is nothing to save.
        self._work: SaverWork | None = None
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
        if not self._is_empty(var_list):
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
            meta_graph_suffix: what the name of the meta graph ends with. It is deleted together
                with its checkpoint.
            write_meta_graph: while a graph is built, write it down too, beside the checkpoint.
            write_state: write the state file, remember the checkpoint, and delete those that are
                surplus. `False`: none of these.
            strip_default_attrs: leave out of the meta graph what is at its default.
            save_debug_info: write beside the meta graph which lines of the program led to it.

        Returns:
            the path of the checkpoint, for `restore`. Of a sharded saver it ends with
            `-?????-of-NNNNN`, where NNNNN is how many shards were written. `None` if the saver is
            empty.

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
        self._check_built()
        state_file = state_file_name(latest_filename)
        suffix = checked_suffix(meta_graph_suffix)
        session = self._session(sess)
        prefix = self._prefix(session, path_text(save_path), global_step)
        check_no_collision(state_file, prefix, sharded=self._saver_def.sharded)
        if self._work is None:
            return None
        path = self._work.save(session, prefix)
        if write_meta_graph and self._graph is not None:
            file = f"{files.without_pattern(path)}.{suffix}"
            self._write_meta_graph(file, strip_default_attrs, save_debug_info)
        if write_state:
            directory = files.split_path(prefix)[0]
            sides = partial(_side_files, suffix)
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
        self._check_built()
        session = self._session(sess)
        if save_path is None:
            raise ValueError(
                "save_path is None, expected a checkpoint. latest_checkpoint() returns None where"
                " there is none."
            )
        if self._work is not None:
            self._work.restore(session, path_text(save_path))

    @property
    def last_checkpoints(self) -> list[str]:
        """The checkpoints that are kept and not kept for good, the oldest first; a new list."""
        return [saved.prefix for saved in self._keeping.saved]

    def set_last_checkpoints(self, last_checkpoints: list[str]) -> None:
        """Replace the list of kept checkpoints by some that are never deleted.

        Once they are no longer among the latest they leave the list, and stay. Give times, with
        `set_last_checkpoints_with_time`, to let them be deleted.

        Args:
            last_checkpoints: their paths, the oldest first.

        Raises:
            AssertionError: it is not a list.
        """
        _check_list("last_checkpoints", last_checkpoints)
        self._keeping.assume(Saved(path_text(path), math.inf) for path in last_checkpoints)

    def set_last_checkpoints_with_time(
        self, last_checkpoints_with_time: list[tuple[str, float]]
    ) -> None:
        """Replace the list of kept checkpoints; the state file is not asked for them any more.

        Args:
            last_checkpoints_with_time: their paths and when they were saved, in seconds since
                1970, the oldest first.

        Raises:
            AssertionError: it is not a list.
            TypeError, ValueError: it holds something else than pairs of a path and a time.
        """
        _check_list("last_checkpoints_with_time", last_checkpoints_with_time)
        pairs = [(path_text(path), float(when)) for path, when in last_checkpoints_with_time]
        self._keeping.assume(Saved(path, when) for path, when in pairs)

    def recover_last_checkpoints(self, checkpoint_paths: Iterable[PathLike]) -> None:
        """Replace the list of kept checkpoints by those of some that are there.

        Hardly needed: a new Saver learns from the state file what an older one has kept.

        Args:
            checkpoint_paths: their paths, the oldest first. Each counts as saved when its file was
                last written; those that are not there are left out.
        """
        paths = [path_text(path) for path in checkpoint_paths]
        found = [(p, commit_status(self._storage, files.without_pattern(p))) for p in paths]
        self._keeping.assume(Saved(p, status.mtime) for p, status in found if status is not None)

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
        self._check_built()
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
            saver_def=self._saver_def,
            items=items_of(() if self._work is None else self._work.saveables),
            durable=self._options.durable,
            storage=self._storage,
        )

    def as_saver_def(self) -> SaverDef:
        """Return this saver written down: its settings, and the names of its operations if any.

        Raises:
            RuntimeError: `build()` was not called.
        """
        self._check_built()
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
        if not self._is_empty(self._var_list or ()):
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

    def _is_empty(self, var_list: VarList) -> bool:
        """Tell whether there is nothing to save; refuse that unless it is allowed."""
        if not self._allow_empty and not len(var_list):
            raise ValueError(
                "there is nothing to save: no Variables are given, or in the graph. Create them"
                " first, or use allow_empty=True."
            )
        return not len(var_list)

    def _check_built(self) -> None:
        if not self._is_built:
            raise RuntimeError(
                "the Saver is not built yet: it was made with defer_build=True. Call build() before"
                " it is used."
            )

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

    def _prefix(self, session: Session | None, save_path: str, global_step: Any) -> str:
        """Return the prefix of a checkpoint, with the number of the step if there is one."""
        if global_step is None:
            return save_path
        if isinstance(global_step, str):
            saveables = () if self._work is None else self._work.saveables
            global_step = named_step(global_step, self._graph, saveables)
        with nullcontext() if session is None else session.as_default():
            number = checkpoint_number_of(global_step, "global_step")
        return f"{save_path}-{number:0{_DIGITS if self._pads else 1}d}"


def _side_files(suffix: str, prefix: str) -> Sequence[str]:
    """Return the files that go with a checkpoint: its meta graph, and what belongs to that."""
    file = f"{prefix}.{suffix}"
    return file, debug_file(file)


def _check_list(argument: str, value: object) -> None:
    if not isinstance(value, list):
        raise AssertionError(f"{argument} is a {type(value).__qualname__}, expected a list")
