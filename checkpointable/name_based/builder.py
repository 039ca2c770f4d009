"""`SaverBuilder` and `BulkSaverBuilder`: record a saver's operations, and say how it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from checkpointable.name_based.saveable import SaveableObject
from checkpointable.name_based.saveables import VarList, graph_of, saveables_of
from checkpointable.name_based.saver_def import SaverDef
from checkpointable.name_based.work import Read, SaverWork, Write
from checkpointable.options import SaveOptions, build_options
from checkpointable.session.graph import Graph, get_default_graph
from checkpointable.session.session import Session
from checkpointable.storage.base import Storage
from checkpointable.storage.local import LOCAL

#: Where the operations save when a session runs them by themselves.
DEFAULT_FILENAME: Final = "model"


class SaverBuilder:
    """Records the operations of a `Saver` in a graph, and reads values one after the other.

    Subclass it to do something before or after the writing and reading, or to leave something out:
    override `save` or `restore`, and give the builder to a `Saver`.

    Args:
        write_version: the form that is written; `None`: the one that the `Saver` asks for.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> class Telling(ckpt.BulkSaverBuilder):
        ...     def save(self, filename, saveables, write):
        ...         super().save(filename, saveables, write)
        ...         print("saved", [saveable.name for saveable in saveables])
        >>> saver = ckpt.Saver({"w": ckpt.Variable(1.0)}, builder=Telling())
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = saver.save(None, directory + "/model")
        saved ['w']
    """

    def __init__(self, write_version: int | None = None) -> None:
        if write_version is not None:
            SaverDef(version=write_version)
        self.write_version = write_version

    def save(self, filename: str, saveables: Sequence[SaveableObject], write: Write) -> None:
        """Save; called once per save, with the session as the default one.

        Args:
            filename: the prefix of the checkpoint.
            saveables: all that the saver saves.
            write: writes the values of those that it is given, durably. Call it once.
        """
        write(saveables)

    def restore(self, filename: str, saveables: Sequence[SaveableObject], read: Read) -> None:
        """Restore; called once per restore, with the session as the default one.

        Args:
            filename: the prefix of the checkpoint.
            saveables: all that the saver restores.
            read: checks that all that it is given is there and fits, then reads it.
                `one_by_one=True`: one value at a time, in one thread.
        """
        read(saveables, one_by_one=True)

    def build(  # noqa: PLR0917  # the order of the documented arguments
        self,
        names_to_saveables: VarList,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        filename: str = DEFAULT_FILENAME,
        *,
        write_version: int = SaverDef.V2,
        options: SaveOptions | None = None,
        storage: Storage = LOCAL,
    ) -> SaverDef:
        """Record the operations that save and restore in the default graph.

        There are three, in the name scope `name`, by default `save`: `Const` returns `filename`,
        `control_dependency` saves there, `restore_all` restores from there.

        Args:
            names_to_saveables: what is saved: `var_list` of a `Saver`. All that follow are as the
                arguments of a `Saver`, too.
            reshape: whether values come back into other shapes of the same size.
            sharded: whether each device has a shard of its own.
            max_to_keep: noted in the result.
            keep_checkpoint_every_n_hours: noted in the result.
            name: the name scope.
            restore_sequentially: whether values are read one at a time.
            filename: where the operations save when a session runs them by themselves.
            write_version: the form that is written, unless the builder has one of its own.
            options: how to write.
            storage: where to write.

        Returns:
            the names of the operations, and how many checkpoints are to be kept.

        Raises:
            RuntimeError: there is no default graph, or it is finalized.
            TypeError, ValueError: something cannot be saved by name, or a name is not unique.
        """
        graph = get_default_graph()
        if graph is None:
            raise RuntimeError(
                "a builder records operations in a graph, and none is the default. In eager"
                " execution there is nothing to build: use Saver(...).save and Saver(...).restore."
            )
        version = write_version if self.write_version is None else self.write_version
        saveables = saveables_of(names_to_saveables)
        graph_of(saveables, graph)
        work = SaverWork(
            saveables=saveables,
            hooks=self,
            graph=graph,
            reshape=reshape,
            sharded=sharded,
            sequential=restore_sequentially,
            filename=filename,
            options=options_for(options, version, sharded=sharded),
            storage=storage,
        )
        with graph.name_scope(name or "save"):
            const = graph.add_operation("Const", lambda _: work.filename)
            save = graph.add_operation("control_dependency", SaveAction(work))
            restore = graph.add_operation("restore_all", RestoreAction(work))
        return SaverDef(
            filename_tensor_name=f"{const.name}:0",
            save_tensor_name=f"{save.name}:0",
            restore_op_name=restore.name,
            max_to_keep=max_to_keep or 0,
            sharded=sharded,
            keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
            version=version,
        )


class BulkSaverBuilder(SaverBuilder):
    """Does as `SaverBuilder`, but reads all values at once, several threads at a time.

    It is the builder of a `Saver` that is given none.

    Example:
        >>> import checkpointable as ckpt
        >>> saver = ckpt.Saver({"w": ckpt.Variable(1.0)}, builder=ckpt.BulkSaverBuilder())
    """

    def restore(self, filename: str, saveables: Sequence[SaveableObject], read: Read) -> None:
        """Restore as `SaverBuilder.restore`, all at once."""
        read(saveables, one_by_one=False)


@attrs.frozen(eq=False)
class SaveAction:
    """What the operation that saves does when a session runs it."""

    work: SaverWork

    def __call__(self, session: Session) -> str:
        """Save what the session holds; return the path."""
        return self.work.save(session, self.work.filename)


@attrs.frozen(eq=False)
class RestoreAction:
    """What the operation that restores does when a session runs it."""

    work: SaverWork

    def __call__(self, session: Session) -> None:
        """Restore into the session."""
        self.work.restore(session, self.work.filename)


def options_for(options: SaveOptions | None, version: int, *, sharded: bool) -> SaveOptions:
    """Return how a saver writes: in one file for versions before 2, unless it is sharded."""
    given = build_options(SaveOptions, options, {})
    if given.format == "tensorflow" and version < SaverDef.V2 and not sharded:
        raise ValueError(
            f"write_version is {version}, but TensorFlow's first format is read here, and never"
            " written. Use SaverDef.V2."
        )
    single_file = (given.single_file or version < SaverDef.V2) and not sharded
    return attrs.evolve(given, single_file=single_file)


def recorded_work(graph: Graph, saver_def: SaverDef) -> SaverWork:
    """Return what the operations do that a `SaverDef` names.

    Raises:
        ValueError: the graph has no such operations.
    """
    for name in saver_def.operation_names:
        if not name:
            raise ValueError(
                f"{saver_def} does not name the operations of a saver. Give what as_saver_def() of"
                " a Saver returned in whose graph it was built."
            )
    graph.get_operation_by_name(saver_def.filename_tensor_name)
    save = graph.get_operation_by_name(saver_def.save_tensor_name).action
    restore = graph.get_operation_by_name(saver_def.restore_op_name).action
    if not isinstance(save, SaveAction) or not isinstance(restore, RestoreAction):
        raise ValueError(
            f"{saver_def.save_tensor_name!r} and {saver_def.restore_op_name!r} are operations of"
            " the graph, but not those of a saver. Give what as_saver_def() returned."
        )
    return save.work
