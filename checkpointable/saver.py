"""`CheckpointableSaver`: saves and restores one object, under names that the caller chooses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import numpy as np

from checkpointable.checkpoint import Checkpoint
from checkpointable.errors import NotCheckpointableError
from checkpointable.options import RestoreOptions, SaveOptions
from checkpointable.restore.status import LoadStatus
from checkpointable.session.graph import Operation, get_default_graph
from checkpointable.session.session import Session
from checkpointable.storage.base import PathLike, path_text
from checkpointable.trackable.base import Variable
from checkpointable.trackable.checkpoint_number import checkpoint_number_of


@final
class CheckpointableSaver:
    """Saves and restores an object and everything it leads to.

    It differs from `Checkpoint` in that it counts nothing and writes no state file: a checkpoint
    is called exactly as the caller says, and replaces one of that name. A `Checkpoint` as the root
    is saved and restored as by its own `write` and `restore`.

    Not thread-safe, except that several threads may save under different names.

    Args:
        root_checkpointable: where the object graph begins: a Trackable, a list, a dict, or a weak
            reference to one.

    Raises:
        NotCheckpointableError: it is none of these.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> class Model(ckpt.Trackable):
        ...     def __init__(self):
        ...         self.w = ckpt.Variable([1.0, 2.0])
        ...         self.step = ckpt.Variable(0)
        >>> model = Model()
        >>> saver = ckpt.CheckpointableSaver(model)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = saver.save(directory + "/ckpt", checkpoint_number=model.step)
        ...     restored = Model()
        ...     status = ckpt.CheckpointableSaver(restored).restore(path).assert_consumed()
        >>> path.endswith("ckpt-0"), restored.w.value
        (True, array([1., 2.]))
    """

    def __init__(self, root_checkpointable: Any) -> None:
        if root_checkpointable is None:
            raise NotCheckpointableError(
                "root_checkpointable is None, expected a Trackable, a list, a dict, or a weak"
                " reference to one."
            )
        self._holder = Checkpoint(root_checkpointable)

    def save(
        self,
        file_prefix: PathLike,
        checkpoint_number: int | np.integer[Any] | Variable | Operation | None = None,
        session: Session | None = None,
        options: SaveOptions | None = None,
    ) -> str:
        """Write a checkpoint called exactly so; one that stands there is replaced, atomically.

        Args:
            file_prefix: directory and beginning of the name; missing directories are made.
            checkpoint_number: an integer of at least 0, a Variable of one, or an `Operation` that
                returns one and is run first: `-NUMBER` is added to the name.
            session: where the values of Variables of a graph are read; by default the default
                session. Ignored in eager execution.
            options: how to write.

        Returns:
            the path of the checkpoint.

        Raises:
            CheckpointExistsError: what stands there may not be replaced.
            NotCheckpointableError: something declared cannot be saved, or a Variable has no value.
            RuntimeError: a graph is the default, or Variables of one are reached, and there is no
                session; or the number has no value.
            StorageError: the storage failed.
            TypeError, ValueError: the number is no integer, or negative.

        A failed or interrupted save leaves what stood there as it was. When the call returns, the
        checkpoint survives a power cut (unless `options.durable` is `False`).
        """
        with _default(session):
            prefix = path_text(file_prefix)
            if checkpoint_number is not None:
                number = checkpoint_number_of(checkpoint_number, "checkpoint_number")
                prefix = f"{prefix}-{number}"
            return self._checkpoint().write(prefix, options)

    def restore(
        self, save_path: PathLike | None, options: RestoreOptions | None = None
    ) -> LoadStatus:
        """Give all objects their values from a checkpoint, now or when they come into being.

        Variables of a graph receive theirs in `status.run_restore_ops(session)`, and so does
        everything if the checkpoint is a name-based one, such as a `Saver` writes.

        Args:
            save_path: a checkpoint, or a directory: its newest one. `None`: nothing is restored,
                and the status can only initialize.
            options: what to restore.

        Returns:
            a status that says what matched: see `LoadStatus` and `NameBasedSaverStatus`.

        Raises:
            CheckpointError: as `Checkpoint.restore`.
        """
        checkpoint = self._checkpoint()
        if checkpoint is self._holder:
            return checkpoint.read(save_path, options)
        return checkpoint.restore(save_path, options)

    def _checkpoint(self) -> Checkpoint:
        """Return the root if it is a Checkpoint, which counts its saves, else the own holder."""
        root = self._holder.root
        return root if isinstance(root, Checkpoint) else self._holder


def _default(session: Any) -> AbstractContextManager[Any]:
    """Return a `with` block in which the given session, if any, is the default."""
    if isinstance(session, Session):
        return session.as_default()
    if isinstance(session, SaveOptions):
        raise TypeError("session is a SaveOptions. Give options by name: options=SaveOptions(...).")
    if session is not None and get_default_graph() is not None:
        raise TypeError(f"session is a {type(session).__qualname__}, expected a Session")
    return nullcontext()
