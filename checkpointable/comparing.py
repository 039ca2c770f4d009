"""Look at the graph of a checkpoint, and compare it with another one or with live objects."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple, final

from checkpointable.checkpoint import Checkpoint, roots_of
from checkpointable.comparison.compare import compare
from checkpointable.comparison.counterparts import Conflict, find_counterparts
from checkpointable.comparison.difference import Difference
from checkpointable.comparison.side import Side, graph_of, live_side, stored_side
from checkpointable.directory.latest import open_resolved
from checkpointable.errors import NotCheckpointableError, warn
from checkpointable.format.paths import paths_of
from checkpointable.graph.snapshot import take_snapshot
from checkpointable.graph.walk import Walk, walk
from checkpointable.names import SAVE_COUNTER
from checkpointable.storage.base import PathLike
from checkpointable.trackable import waiting

_SHOWN: Final = 5


class ViewDifference(NamedTuple):
    """What `CheckpointView.diff` found; the save counter is in neither of the lists.

    Attributes:
        matches: the live object for each stored node that has one.
        only_in_checkpoint: the stored nodes that have none, breadth-first, slot variables last.
        only_in_program: the live objects, containers and values that stand for no stored node,
            breadth-first.
    """

    matches: dict[int, Any]
    only_in_checkpoint: list[int]
    only_in_program: list[Any]


@final
class CheckpointView:
    """The object graph of a checkpoint: nodes by number, and the names that lead to them.

    Only the graph is read, and no file stays open. Node 0 is the root. Thread-safe, as long as
    no other thread changes the live objects in question.

    Args:
        save_path: a checkpoint, or a directory: its newest one.

    Attributes:
        path: the prefix of the checkpoint.

    Raises:
        CheckpointNotFoundError: there is none.
        UnsupportedFormatError: it holds no object graph.
        CorruptCheckpointError: its index, or the length of a file, is wrong.

    Example:
        >>> import tempfile
        >>> import checkpointable as ckpt
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     old = ckpt.Checkpoint(w=ckpt.Variable(1.0), bias=ckpt.Variable(2.0))
        ...     view = ckpt.CheckpointView(old.write(directory + "/model"))
        >>> view.children(0), view.descendants()
        ({'w': 1, 'bias': 2}, [0, 1, 2])
        >>> view.diff(ckpt.Checkpoint(w=ckpt.Variable(0.0), step=5))[1:]
        ([2], [5])
    """

    def __init__(self, save_path: PathLike) -> None:
        source = open_resolved(save_path)
        try:
            self.path = source.path
            self._graph = graph_of(source)
        finally:
            source.close()

    def __repr__(self) -> str:
        return f"<CheckpointView of {self.path}: {len(self._graph):,} nodes>"

    def children(self, node_id: int) -> dict[str, int]:
        """Return the children of a node by local name, in the order of saving.

        Args:
            node_id: the number of a node.

        Raises:
            ValueError: there is no such node.
            TypeError: it is no integer.
        """
        try:
            node = operator.index(node_id)
        except TypeError:
            raise TypeError(
                f"node_id is {node_id!r}, expected the number of a node, such as children(0) gives."
            ) from None
        if not 0 <= node < len(self._graph):
            raise ValueError(
                f"{self.path}: there is no node {node}, expected 0 (the root) to"
                f" {len(self._graph) - 1}. descendants() lists all."
            )
        return dict(self._graph.children(node))

    def descendants(self) -> list[int]:
        """Return all nodes, the root first, breadth-first, slot variables last."""
        _, by_node = paths_of(self._graph)
        return list(by_node)

    def match(self, obj: Any) -> dict[int, Any]:
        """Return the live object for each stored node that has one.

        Objects are matched by name, from the root on, breadth-first. Values are not looked at,
        and nothing is changed.

        Args:
            obj: a Trackable, a list, a tuple or a dict. Of a `Checkpoint`, what its `restore`
                would begin with: its root and its dependencies.

        Returns:
            live objects, containers and values by the number of the stored node. If several
            stand for one node, the first one met is taken, and a `CheckpointWarning` names them.

        Raises:
            NotCheckpointableError: `obj` is nothing that a graph can begin with.
        """
        live = _walk(obj)
        return {node: live.objects[number] for node, number in self._match(live).items()}

    def diff(self, obj: Any) -> ViewDifference:
        """Compare the stored graph with live objects, by names alone; `diff()` compares values.

        Args:
            obj: as in `match`.

        Returns:
            what matches, and what only one side has.

        Raises:
            NotCheckpointableError: as `match`.
        """
        live = _walk(obj)
        matches = self._match(live)
        own = {self.children(0).get(SAVE_COUNTER)}
        live_own = {number for name, number in live.children[0] if name == SAVE_COUNTER}
        taken = live_own.union(matches.values())
        return ViewDifference(
            matches={node: live.objects[number] for node, number in matches.items()},
            only_in_checkpoint=[
                node for node in self.descendants() if node not in matches and node not in own
            ],
            only_in_program=[obj for number, obj in enumerate(live.objects) if number not in taken],
        )

    def _match(self, live: Walk) -> dict[int, int]:
        """Return the number of the live object for each stored node that has one."""
        found = find_counterparts(self._graph, live)
        if found.conflicts:
            warn(_describe(self.path, found.conflicts))
        return found.nodes


def diff(a: Any, b: Any) -> Difference:
    """Compare two checkpoints, or a checkpoint and live objects: what was added, moved, changed.

    Values are compared bit for bit, under the first path to each. The save counter is left out.
    The names in a name-based checkpoint are taken for paths.
    Of a checkpoint, at most 16 MiB, or one larger tensor, are in memory at a time. Not thread-safe
    where live objects are compared.

    Args:
        a: what was before: the path of a checkpoint, or of a directory (its newest one); or a live
            root: a Trackable, a list, a tuple, a dict or a `Checkpoint`.
        b: what is afterwards: the same.

    Returns:
        the difference: false if there is none; `str()` of it is a tree.

    Raises:
        CheckpointNotFoundError: there is no checkpoint.
        CorruptCheckpointError: a checkpoint is damaged.
        NotCheckpointableError: a side is neither a path nor a root, or a live object holds what
            can not be saved.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import checkpointable as ckpt
        >>> checkpoint = ckpt.Checkpoint(w=ckpt.Variable(np.zeros(3)), step=1)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = checkpoint.save(directory + "/model")
        ...     checkpoint.w.value[1] = 0.25
        ...     checkpoint.step = 2
        ...     difference = ckpt.diff(path, checkpoint)
        >>> [(value.path, value.largest) for value in difference.changed]
        [('w', 0.25), ('step', None)]
    """
    with ExitStack() as stack:
        return compare(_side(a, stack), _side(b, stack))


def _side(side: Any, stack: ExitStack) -> Side:
    """Return a side of a comparison; the files of a checkpoint stay open as long as the stack."""
    if isinstance(side, (str, os.PathLike)):
        source = open_resolved(side)
        stack.callback(source.close)
        return stored_side(source)
    if side is None:
        raise NotCheckpointableError(
            "a side is a NoneType, expected the path of a checkpoint (latest_checkpoint() returns"
            " None if there is none), or a Trackable, a list, a tuple or a dict. Give other values"
            " by name: Checkpoint(value=value)."
        )
    waiting.settle()  # as before a save: what has come since is restored first
    return live_side(take_snapshot(_walk(side)), f"the live {type(side).__qualname__}")


def _walk(obj: Any) -> Walk:
    return walk(*roots_of(obj)) if isinstance(obj, Checkpoint) else walk(obj)


def _describe(path: str, conflicts: Sequence[Conflict]) -> str:
    """Return the warning about nodes for which there are several live objects."""
    listed = ", ".join(f"{c.path} (matched under {c.matched})" for c in conflicts[:_SHOWN])
    more = f" and {len(conflicts) - _SHOWN:,} more" if len(conflicts) > _SHOWN else ""
    return (
        f"{path}: what is one object there is more than one in the program: {listed}{more}. The"
        " first one met is matched. Assign one object under all these names, if it is meant to"
        " be shared."
    )
