"""`Checkpoint`: the verbs that save and restore an object graph."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np

from checkpointable.bundle.commit import begin
from checkpointable.directory.latest import open_resolved
from checkpointable.directory.state_file import record_latest
from checkpointable.errors import CheckpointError, NotCheckpointableError, warn
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.view import warn_undeclared
from checkpointable.graph.walk import Walk, walk
from checkpointable.interop.opening import open_checkpoint
from checkpointable.interop.writing import write_checkpoint
from checkpointable.names import SAVE_COUNTER
from checkpointable.options import RestoreOptions, SaveOptions, build_options
from checkpointable.restore.books import Books, Roots
from checkpointable.restore.deferred import pending_paths
from checkpointable.restore.fetching import check_every_byte
from checkpointable.restore.name_based_status import NameBasedSaverStatus
from checkpointable.restore.restoration import Restoration
from checkpointable.restore.status import (
    CheckpointLoadStatus,
    InitializationOnlyStatus,
    LoadStatus,
)
from checkpointable.session.graph import executing_eagerly
from checkpointable.session.session import check_session
from checkpointable.storage.base import PathLike, Storage, path_text
from checkpointable.storage.local import LOCAL
from checkpointable.trackable import waiting
from checkpointable.trackable.base import NoDependency, Trackable, Variable
from checkpointable.trackable.children import Classifier, check_storable
from checkpointable.trackable.contents import Kind


class Checkpoint(Trackable):
    """Saves and restores a group of objects and everything they lead to.

    All its public attributes are state. They may be added, replaced and deleted later.

    Not thread-safe, except that several threads may save at once: each gets a number of its own.

    Args:
        root: the object at which the graph begins: a Trackable, a list, a dict, or a weak
            reference to one. Without it the `Checkpoint` itself is the root.
        dependencies: further named values: Trackables, arrays, plain values, or containers of
            these. With a `root`, they are further edges of its node.

    Raises:
        NotCheckpointableError: a value cannot be saved.
        ValueError: a name is that of a method, or the root uses it for another object.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import checkpointable as ckpt
        >>> class Model(ckpt.Trackable):
        ...     def __init__(self):
        ...         self.w = ckpt.Variable(np.zeros(3))
        >>> model = Model()
        >>> checkpoint = ckpt.Checkpoint(model=model, step=0)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     model.w.assign([1, 2, 3])
        ...     checkpoint.step += 1
        ...     path = checkpoint.save(directory + "/ckpt")
        ...     model.w.assign([0, 0, 0])
        ...     status = checkpoint.restore(path).assert_consumed()
        <Variable float64 (3,): array([1., 2., 3.])>
        <Variable float64 (3,): array([0., 0., 0.])>
        >>> model.w.value, checkpoint.step
        (array([1., 2., 3.]), 1)
    """

    declares_all = True

    def __init__(self, root: Any = None, **dependencies: Any) -> None:
        is_held = root is not None and not isinstance(root, weakref.ref)
        # A child, so that a Checkpoint that is part of another is saved with its root.
        self._root: Any = root if is_held else NoDependency(root)
        if root is not None:
            _check_root(self.root)
        self._counter: Any = NoDependency(None)
        #: A restore by names that was not run yet.
        self._outstanding: Any = NoDependency(None)
        for name, value in dependencies.items():
            setattr(self, name, value)
        if root is not None:
            _check_names(self.root, dependencies)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            _check_dependency(name, value)
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy the root too, where it is held weakly: else the copy would refer to the original."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        root = self._root() if isinstance(self._root, weakref.ref) else None
        if root is not None:
            # What is copied with the root is held by the root; alone, it must hold the root.
            is_held = id(root) in memo
            new_root = copy.deepcopy(root, memo)
            object.__setattr__(copied, "_root", weakref.ref(new_root) if is_held else new_root)
        return copied

    @property
    def root(self) -> Any:
        """The object at which the graph begins.

        Raises:
            CheckpointError: it was given as a weak reference, and has gone since.
        """
        root = self._root
        if isinstance(root, weakref.ref):
            root = root()
            if root is None:
                raise CheckpointError(
                    "the root of this Checkpoint was given as a weak reference, and is gone. Keep"
                    " the root alive as long as it is saved or restored."
                )
        return self if root is None else root

    @property
    def save_counter(self) -> Variable:
        """How many times `save` was called, over all runs (int64)."""
        if self._counter is None:
            self._counter = _new_counter(0)
        counter: Variable = self._counter
        return counter

    def save(self, file_prefix: PathLike, options: SaveOptions | None = None, **fields: Any) -> str:
        """Write the next numbered checkpoint, `PREFIX-1`, `PREFIX-2`, and so on.

        The number is one more than the larger of the save counter and the highest number present.
        A numbered checkpoint is never replaced. The state file `checkpoint` in the same
        directory then names the new one as the latest.

        Args:
            file_prefix: directory and beginning of the name; missing directories are made.
            options: how to write.
            fields: fields of `SaveOptions`, which override those of `options`.

        Returns:
            the path of the checkpoint.

        Raises:
            NotCheckpointableError: something declared cannot be saved.
            RuntimeError: a graph is the default, or Variables of one are reached, and there is no
                default session to read from.
            StorageError: the storage failed.

        A failed or interrupted save changes nothing: no number is used, no counter moves, every
        older checkpoint stays whole. When the call returns, the checkpoint survives a power cut
        (unless `durable=False`).
        """
        settings = build_options(SaveOptions, options, fields)
        path, _ = save_checkpoint(self, path_text(file_prefix), settings, numbered=True)
        try:
            record_latest(LOCAL, path)
        except CheckpointError as error:
            warn(
                f"{path} is saved, but the state file beside it is not up to date: {error}",
            )
        return path

    def write(
        self, file_prefix: PathLike, options: SaveOptions | None = None, **fields: Any
    ) -> str:
        """Write a checkpoint under exactly this prefix; one that stands there is replaced.

        The replacement is atomic: at every instant, and after every crash, the prefix leads to
        the old checkpoint or to the new one. No counter moves, no state file is written.

        Args:
            file_prefix: directory and name; missing directories are made.
            options: how to write.
            fields: fields of `SaveOptions`, which override those of `options`.

        Returns:
            the path of the checkpoint.

        Raises:
            CheckpointExistsError: what stands there may not be replaced.
            NotCheckpointableError: something declared cannot be saved.
            RuntimeError: as `save`.
            StorageError: the storage failed.
        """
        settings = build_options(SaveOptions, options, fields)
        return save_checkpoint(self, path_text(file_prefix), settings, numbered=False)[0]

    def restore(
        self, save_path: PathLike | None, options: RestoreOptions | None = None, **fields: Any
    ) -> LoadStatus:
        """Give all objects their values from a checkpoint, now or when they come into being.

        Everything is checked before anything is assigned; values whose objects do not exist yet
        wait for them. The save counter is restored too.

        Of a name-based checkpoint, such as a `Saver` writes, nothing is assigned here: the status
        then gives the Variables that exist the values of their names, in `run_restore_ops()` or
        `initialize_or_restore()`.

        Args:
            save_path: a checkpoint, or a directory: its newest one. `None`: nothing is restored,
                and every assertion of the returned status raises.
            options: what to restore.
            fields: fields of `RestoreOptions`, which override those of `options`.

        Returns:
            a status that says what matched: see `LoadStatus` and `NameBasedSaverStatus`.

        Raises:
            CheckpointNotFoundError: there is no checkpoint.
            IncompatibleCheckpointError: values do not fit; nothing was changed.
            CorruptCheckpointError: the files are damaged; its report lists what was assigned.
            UnmatchedError: `defer=False`, and not everything matched; nothing was changed.
            ValueError: `at` was given for a name-based checkpoint.
        """
        settings = build_options(RestoreOptions, options, fields)
        return restore_checkpoint(self, save_path, settings, with_counter=True)

    def read(
        self, save_path: PathLike | None, options: RestoreOptions | None = None, **fields: Any
    ) -> LoadStatus:
        """Do as `restore`, but do not create a save counter.

        Args:
            save_path: as in `restore`.
            options: as in `restore`.
            fields: as in `restore`.

        Returns:
            as `restore`.

        Raises:
            CheckpointError: as `restore`.
        """
        settings = build_options(RestoreOptions, options, fields)
        return restore_checkpoint(self, save_path, settings, with_counter=False)


def save_checkpoint(
    checkpoint: Checkpoint,
    file_prefix: str,
    options: SaveOptions,
    *,
    numbered: bool,
    number: int | None = None,
    storage: Storage = LOCAL,
) -> tuple[str, int | None]:
    """Write a checkpoint, and move its save counter if it has a number.

    Args:
        checkpoint: what to save.
        file_prefix: the exact prefix, or what stands before the number.
        options: how to write.
        numbered: whether the name has a number.
        number: the number that is wanted, whose checkpoint may be replaced; `None`: the next one.
        storage: where to write.

    Returns:
        the path of the checkpoint, and its number.

    Raises:
        CheckpointError: as `Checkpoint.save` and `Checkpoint.write`.
    """
    check_session()
    waiting.settle()
    kept = checkpoint._counter
    counter = 0 if kept is None else int(kept.value)
    prefix = file_prefix if number is None else f"{file_prefix}-{number}"
    is_next = numbered and number is None
    with begin(storage, prefix, options, numbered=is_next, counter=counter) as commit:
        taken = commit.number if is_next else number
        counted = None if taken is None else max(taken, counter)
        graph = _walk(checkpoint, counted)
        _warn_before_saving(graph)
        _warn_of_outstanding(checkpoint)
        write_checkpoint(commit, take_snapshot(graph, options.metadata), options)
    if counted is not None:
        saved = checkpoint.save_counter
        saved.assign(max(counted, int(saved.value)))
    return commit.prefix, taken


def restore_checkpoint(
    checkpoint: Checkpoint,
    save_path: PathLike | None,
    options: RestoreOptions,
    *,
    with_counter: bool,
    storage: Storage = LOCAL,
    check_names: bool = False,
) -> LoadStatus:
    """Restore a checkpoint; `with_counter`: the save counter too, created if need be.

    With `check_names` every byte of a name-based checkpoint, of which nothing is read yet, is
    checked now.

    Raises:
        CheckpointError: as `Checkpoint.restore`; a counter that was created is gone again.
    """
    is_new = with_counter and checkpoint._counter is None
    if is_new:
        checkpoint._counter = _new_counter(0)
    try:
        return _restore(checkpoint, save_path, options, storage, check_names)
    except BaseException:
        if is_new:
            checkpoint._counter = None
        raise


def _restore(
    checkpoint: Checkpoint,
    save_path: PathLike | None,
    options: RestoreOptions,
    storage: Storage,
    check_names: bool,
) -> LoadStatus:
    if save_path is None:
        return InitializationOnlyStatus(checkpoint, roots_of)
    waiting.settle()
    source = open_resolved(save_path, storage=storage)
    try:
        if source.graph is None:
            if check_names:
                check_every_byte(source)
            status = NameBasedSaverStatus(source, options, checkpoint, roots_of)
            checkpoint._outstanding = status.outstanding
            return status
        reopen = partial(open_checkpoint, storage, source.path)
        restoration = Restoration(Books(source, reopen, options, checkpoint, roots_of))
        restoration.restore()
        checkpoint._outstanding = None
    except BaseException:
        source.close()
        raise
    return CheckpointLoadStatus(restoration)


def _walk(checkpoint: Checkpoint, counter: int | None) -> Walk:
    """Walk the graph, with the save counter as it will be once the save has succeeded."""
    root, attached = roots_of(checkpoint)
    if counter is not None:
        attached = [(n, v) for n, v in attached if n != SAVE_COUNTER]
        attached.append((SAVE_COUNTER, _new_counter(counter)))
    return walk(root, attached)


def roots_of(checkpoint: Checkpoint) -> Roots:
    """Return the root of a checkpoint, and the further named edges of its node."""
    root, attached = checkpoint.root, []
    if root is not checkpoint:
        attached = [(n, v) for n, v in Classifier().children(checkpoint) if n != "_root"]
    if checkpoint._counter is not None:
        attached.append((SAVE_COUNTER, checkpoint._counter))
    return root, attached


def _new_counter(number: int) -> Variable:
    with executing_eagerly():  # It belongs to the library, not to a graph that is being built.
        return Variable(np.int64(number), name=SAVE_COUNTER)


def _check_root(root: Any) -> None:
    kind = Classifier().kind(root)
    if kind not in (Kind.TRACKABLE, Kind.ADAPTED) and not isinstance(root, (list, dict)):
        raise NotCheckpointableError(
            f"root is a {type(root).__qualname__}, expected a Trackable, a list, a dict, an object"
            " of an adapted type (see register_adapter), or a weak reference to one. Give values"
            " by name: Checkpoint(model=model, step=0)."
        )


def _check_dependency(name: str, value: Any) -> None:
    """Refuse a name that means something else, and a value that cannot be saved."""
    if hasattr(Checkpoint, name):
        raise ValueError(
            f"{name!r} is a method or property of Checkpoint, so nothing can be saved under it."
            " Choose another name."
        )
    if not isinstance(value, NoDependency):
        check_storable(Classifier(), name, value)


def _check_names(root: Any, dependencies: Mapping[str, Any]) -> None:
    """Refuse a dependency under a name that the root uses for another object."""
    classifier = Classifier()
    if isinstance(root, Trackable):
        children: dict[str, Any] = dict(classifier.children(root))
    else:
        children = {str(key): value for key, value in classifier.items(root)}
    if SAVE_COUNTER in children:
        raise ValueError(
            f"the root has something of its own under the name {SAVE_COUNTER!r}, under which a"
            " Checkpoint counts its saves. Rename it."
        )
    for name, value in dependencies.items():
        if name in children and children[name] is not value:
            raise ValueError(
                f"the root has another object under the name {name!r}, a"
                f" {type(children[name]).__qualname__}. Choose another name for the dependency."
            )


def _warn_of_outstanding(checkpoint: Checkpoint) -> None:
    """Say, once, that what was to be restored by names has no stored values yet."""
    outstanding = checkpoint._outstanding
    if outstanding is None or outstanding.is_run:
        return
    checkpoint._outstanding = None
    warn(
        f"saving, though what was restored from {outstanding.path} has none of its values yet: a"
        " name-based checkpoint is restored by status.run_restore_ops() or"
        " status.initialize_or_restore(). Call one of them first, or status.expect_partial() if"
        " this is intended.",
    )


def _warn_before_saving(graph: Walk) -> None:
    """Say what the save will not hold: undeclared state, and values that still wait."""
    warn_undeclared(graph)
    trackables = (
        o for o, kind in zip(graph.objects, graph.kinds, strict=True) if kind is Kind.TRACKABLE
    )
    paths = pending_paths(trackables)
    if paths:
        more = f" and {len(paths) - 5:,} more" if len(paths) > 5 else ""
        warn(
            f"saving while restored values still wait for their objects: {', '.join(paths[:5])}"
            f"{more}. The new checkpoint will not hold them. Create the objects first, or call"
            " status.expect_partial() if this is intended.",
        )
