"""Managers over memory with a clock that tests set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

import checkpointable as ckpt
from checkpointable.storage.base import FileStatus, Storage
from checkpointable.storage.memory import MemoryStorage
from tests.harness.wrapping import WrappedStorage

HOUR = 3600.0
DIRECTORY = "run"


@attrs.define
class Clock:
    """A clock that moves only when it is told to."""

    now: float = 1000 * HOUR

    def __call__(self) -> float:
        return self.now

    def tick(self, hours: float) -> None:
        self.now += hours * HOUR


class ClockedStorage(WrappedStorage):
    """A storage whose files are as old as the clock says."""

    def __init__(self, clock: Clock, inner: Storage | None = None) -> None:
        super().__init__(MemoryStorage() if inner is None else inner)
        self.clock = clock
        self._times: dict[tuple[int, ...], float] = {}

    def rename(self, source: str, destination: str) -> None:
        super().rename(source, destination)
        status = super().status(destination)
        if status is not None:
            self._times[status.identity] = self.clock()

    def status(self, path: str) -> FileStatus | None:
        status = super().status(path)
        if status is None:
            return None
        return attrs.evolve(status, mtime=self._times.get(status.identity, status.mtime))


class World:
    """A directory in memory, a clock, and managers of what is there, one after the other."""

    def __init__(self, **arguments: Any) -> None:
        self.clock = Clock()
        self.storage: Storage = ClockedStorage(self.clock)
        self.checkpoint = ckpt.Checkpoint(x=0)
        self.arguments = {"max_to_keep": 2, **arguments}
        self.manager = self.open()

    def open(self, **arguments: Any) -> ckpt.CheckpointManager:
        """Make a manager; the arguments override those of the world."""
        return ckpt.CheckpointManager(
            self.checkpoint,
            DIRECTORY,
            storage=self.storage,
            clock=self.clock,
            **{**self.arguments, **arguments},
        )

    def restart(self, **arguments: Any) -> None:
        """Put another manager in place of this one."""
        self.manager.close()
        self.manager = self.open(**arguments)

    def names(self) -> list[str]:
        """Return the names of the checkpoints that the manager lists."""
        return bare(self.manager.checkpoints)

    def on_disk(self) -> list[str]:
        """Return the names of all checkpoints in the directory, sorted."""
        return sorted(
            name.removesuffix(".index")
            for name in self.storage.list_dir(DIRECTORY)
            if name.endswith(".index")
        )

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.storage.remove(f"{DIRECTORY}/{name}")


def bare(paths: Any) -> list[str]:
    """Return paths without their directories."""
    return [Path(path).name for path in paths]
