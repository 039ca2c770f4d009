"""Waiting for checkpoints, with a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import checkpointable as ckpt
from checkpointable.directory.state_file import record_latest
from checkpointable.directory.watching import checkpoints_iterator, wait_for_new_checkpoint
from checkpointable.errors import CheckpointWarning
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from checkpointable.storage.memory import MemoryStorage
from tests.harness.bundles import BundleDriver
from tests.harness.processes import end_of, start

DRIVER = BundleDriver(shards=1, shard_bytes=100)


class World:
    """A storage in which things happen at certain seconds."""

    def __init__(self, events: Mapping[float, Callable[[], None]] | None = None) -> None:
        self.storage = MemoryStorage()
        self.now = 0.0
        self.slept: list[float] = []
        self._events = dict(events or {})

    def at(self, second: float, name: str) -> None:
        """Let a checkpoint be saved at a second."""
        self._events[second] = lambda: self.save(name)

    def save(self, name: str) -> None:
        DRIVER.save(self.storage, f"/run/{name}", 1, SaveOptions())
        record_latest(self.storage, f"/run/{name}")

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        for second in sorted(self._events):
            if second <= self.now:
                self._events.pop(second)()

    def wait(self, *arguments: object, **more: object) -> str | None:
        return wait_for_new_checkpoint("/run", *arguments, **self._own(), **more)  # type: ignore[arg-type]

    def iterate(self, busy: float = 0, **more: object) -> list[tuple[float, str]]:
        """Return what is yielded, and when, to a caller who is busy for a while with each."""
        found = []
        for path in checkpoints_iterator("/run", **self._own(), **more):  # type: ignore[arg-type]
            found.append((self.now, path))
            if busy:
                self.sleep(busy)
        return found

    def _own(self) -> dict[str, object]:
        return {"storage": self.storage, "clock": self.clock, "sleep": self.sleep}


class TestWaiting:
    def test_what_is_there_is_new_at_first(self) -> None:
        """Without a last one, any checkpoint is new, at once."""
        world = World()
        world.save("ckpt-1")
        assert "/run/ckpt-1" == world.wait()
        assert [] == world.slept

    @pytest.mark.parametrize(
        "last", ["/run/ckpt-1", Path("/run/ckpt-1"), "/run/./ckpt-1", "/run/ckpt-1-?????-of-00003"]
    )
    def test_another_one_is_waited_for(self, last: str | Path) -> None:
        """The last one is known however it is spelled; the next is found within a period."""
        world = World()
        world.save("ckpt-1")
        world.at(2.5, "ckpt-2")
        assert "/run/ckpt-2" == world.wait(last)
        assert 3.0 == world.now

    def test_the_directory_may_come_later(self) -> None:
        """What does not exist yet is waited for too."""
        world = World()
        world.at(4.0, "ckpt-1")
        assert "/run/ckpt-1" == world.wait(seconds_to_sleep=2)
        assert [2, 2] == world.slept

    @pytest.mark.parametrize(
        ("timeout", "slept"), [(0, []), (0.5, [0.5]), (2.5, [1, 1, 0.5]), (2, [1, 1])]
    )
    def test_the_time_ends_exactly(self, timeout: float, slept: list[float]) -> None:
        """`None` after exactly the timeout, with a last look at its end."""
        world = World()
        assert world.wait(timeout=timeout) is None
        assert slept == world.slept

    def test_what_comes_at_the_last_moment_counts(self) -> None:
        """The last look is after the last sleep."""
        world = World()
        world.at(1.25, "ckpt-1")
        assert "/run/ckpt-1" == world.wait(timeout=1.25)

    @pytest.mark.parametrize("arguments", [{"timeout": -1}, {"seconds_to_sleep": -1}])
    def test_negative_times_are_refused(self, arguments: dict[str, float]) -> None:
        """A negative number of seconds, or one that is none, raises at once."""
        with pytest.raises(ValueError, match="expected a number of seconds"):
            World().wait(**arguments)

    def test_a_state_file_that_is_of_no_help_is_said_once(self, tmp_path: Path) -> None:
        """However often it was looked, there is one warning, with what is returned."""
        (tmp_path / "checkpoint").write_bytes(b"damaged")
        for name in ("a-1", "a-2"):
            DRIVER.save(LOCAL, str(tmp_path / name), 1, SaveOptions())
        looks: list[float] = []

        def sleep(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 3:
                DRIVER.save(LOCAL, str(tmp_path / "a-3"), 1, SaveOptions())

        with pytest.warns(CheckpointWarning, match="checkpoint: is damaged.*a-3 is taken") as said:
            found = wait_for_new_checkpoint(tmp_path, tmp_path / "a-2", sleep=sleep)
        assert str(tmp_path / "a-3") == found
        assert 1 == len(said)


class TestIterating:
    def test_each_new_one_is_yielded(self) -> None:
        """The one that is there at once, then each that is found to be new, until the time ends."""
        world = World()
        world.save("ckpt-1")
        for second in (1.5, 3.0):
            world.at(second, f"ckpt-{second:.0f}")
        found = world.iterate(timeout=5)
        assert [(0.0, "/run/ckpt-1"), (2.0, "/run/ckpt-2"), (3.0, "/run/ckpt-3")] == found
        assert 8.0 == world.now

    def test_intermediate_ones_are_skipped(self) -> None:
        """What comes and goes while the caller is busy is not yielded."""
        world = World()
        world.save("ckpt-1")
        for number in (2, 3, 4):
            world.at(number, f"ckpt-{number}")
        found = world.iterate(busy=10, timeout=1)
        assert [(0.0, "/run/ckpt-1"), (10.0, "/run/ckpt-4")] == found

    def test_the_interval_begins_when_a_checkpoint_is_handed_out(self) -> None:
        """The next one comes no earlier than so many seconds after that."""
        world = World()
        world.save("ckpt-1")
        for number in (2, 3, 4):
            world.at(number, f"ckpt-{number}")
        found = world.iterate(busy=1, min_interval_secs=2.5, timeout=1)
        assert [(0.0, "/run/ckpt-1"), (2.5, "/run/ckpt-2"), (5.0, "/run/ckpt-4")] == found

    def test_the_function_decides_whether_that_was_all(self) -> None:
        """It is asked each time that the time is over, and at no other time."""
        world = World()
        world.save("ckpt-1")
        world.at(7.5, "ckpt-2")
        asked: list[float] = []

        def is_over() -> bool:
            asked.append(world.now)
            return len(asked) == 4

        found = world.iterate(timeout=3, timeout_fn=is_over)
        assert [(0.0, "/run/ckpt-1"), (8.0, "/run/ckpt-2")] == found
        assert [3.0, 6.0, 11.0, 14.0] == asked

    def test_arguments_are_checked_at_once(self) -> None:
        """Not when the first checkpoint is asked for."""
        with pytest.raises(ValueError, match="min_interval_secs is -1"):
            checkpoints_iterator("/run", min_interval_secs=-1)

    def test_a_state_file_that_is_of_no_help_is_said_once(self, tmp_path: Path) -> None:
        """One warning, though several checkpoints are yielded."""
        for number in (1, 2):
            DRIVER.save(LOCAL, str(tmp_path / f"a-{number}"), 1, SaveOptions())

        def save_more() -> None:
            number = len(list(tmp_path.glob("*.index"))) + 1
            if number < 5:
                DRIVER.save(LOCAL, str(tmp_path / f"a-{number}"), 1, SaveOptions())

        found = checkpoints_iterator(tmp_path, timeout=0)
        with pytest.warns(CheckpointWarning, match="checkpoint: is missing") as said:
            seen = [(Path(path).name, save_more())[0] for path in found]
        assert ["a-2", "a-3", "a-4"] == seen
        assert 1 == len(said)


def test_another_process_saves(tmp_path: Path) -> None:
    """Beside a real writer that keeps one: no warning, no error, the numbers only rise."""

    def save_all() -> bool:
        checkpoint = ckpt.Checkpoint(step=0)
        for _ in range(30):
            path = checkpoint.save(tmp_path / "run" / "ckpt", durable=False)
            number = int(path.rpartition("-")[2])
            if number > 1:
                ckpt.remove_checkpoint(tmp_path / "run" / f"ckpt-{number - 1}")
        (tmp_path / "over").touch()
        return True

    writer = start(save_all)
    numbers = []
    for path in checkpoints_iterator(
        tmp_path / "run", timeout=0.02, timeout_fn=(tmp_path / "over").exists
    ):
        numbers.append(int(path.rpartition("-")[2]))
        if numbers[-1] == 30:
            break
    assert 0 == end_of(writer)
    assert sorted(set(numbers)) == numbers
    assert numbers[-1:] == [30]
