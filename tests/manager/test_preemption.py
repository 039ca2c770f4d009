"""Signals that ask a program to go: real processes, real signals, real checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import attrs
import pytest

import checkpointable as ckpt
from checkpointable.manager import preemption
from checkpointable.storage import process
from checkpointable.storage.base import WritableFile
from checkpointable.storage.local import LOCAL
from tests.harness.processes import end_of, in_child
from tests.harness.wrapping import WrappedStorage

SAVED = 143  # and unsaved too: 128 + SIGTERM


class Manager:
    """A manager whose saves a test may hold up."""

    def __init__(self, directory: Path, interval: int = 10**9) -> None:
        self.step = ckpt.Variable(0)
        self.during: Callable[[], object] = lambda: None  # what happens in the middle of a save
        self._manager = ckpt.CheckpointManager(
            ckpt.Checkpoint(step=self.step),
            directory,
            max_to_keep=2,
            step_counter=self.step,
            checkpoint_interval=interval,
            storage=_Storage(self),
        )
        self.save = self._manager.save
        self.save_on_signal = self._manager.save_on_signal
        self.close = self._manager.close

    @property
    def requested(self) -> bool:
        """Whether the signal has come."""
        return self._manager._preemption.requested


class _Storage(WrappedStorage):
    """The local storage, in which something happens while a shard is written."""

    def __init__(self, manager: Manager) -> None:
        super().__init__(LOCAL)
        self._manager = manager

    def create(self, path: str) -> WritableFile:
        if ".data-" in path:
            self._manager.during()
        return super().create(path)


@attrs.define
class Child:
    """A process that runs a body, and what became of it."""

    number: int
    ready: int
    stderr: Path

    def wait_until_ready(self) -> None:
        assert os.read(self.ready, 1) == b"x"

    def send(self, signum: int = signal.SIGTERM) -> None:
        os.kill(self.number, signum)

    def end(self) -> tuple[int, str]:
        """Return the exit code, and what was written to stderr."""
        code = end_of(self.number)
        os.close(self.ready)
        return code, self.stderr.read_text()


def _run(directory: Path, body: Callable[[Callable[[], None]], object]) -> Child:
    """Run a body in a process of its own; it is given a function that says it is ready."""
    ready, tell = os.pipe()
    stderr = directory.with_name(f"{directory.name}.stderr")
    number = os.fork()
    if number:
        os.close(tell)
        return Child(number, ready, stderr)
    code = 0
    try:
        sys.stderr = stderr.open("w")
        body(lambda: os.write(tell, b"x"))  # type: ignore[arg-type, return-value]
    except SystemExit as exiting:
        code = exiting.code  # type: ignore[assignment]
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        code = 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def _step(directory: Path) -> int:
    """Return the step in the newest checkpoint."""
    return int(ckpt.load(directory)["step"])


@contextmanager
def _note_finally(directory: Path) -> Iterator[None]:
    """Leave a file when the block is left in order."""
    try:
        yield
    finally:
        directory.with_name("finally").touch()


def _ran_finally(directory: Path) -> bool:
    return directory.with_name("finally").exists()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory, beside which a test may leave notes."""
    made = tmp_path / "run"
    made.mkdir()
    return made


def test_the_next_save_is_the_last(directory: Path) -> None:
    """After the signal the next save saves, whatever the interval, and exits with 143."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)
        manager.save()
        with _note_finally(directory), manager.save_on_signal():
            while True:
                manager.step.assign_add(1)
                assert manager.save() is None
                if manager.step.value == 5:
                    ready()
                if manager.step.value >= 5:
                    time.sleep(0.005)

    child = _run(directory, body)
    child.wait_until_ready()
    assert ["ckpt-1.index"] == [path.name for path in directory.glob("*.index")]
    child.send()
    assert (SAVED, "") == child.end()
    assert _step(directory) > 5
    assert _ran_finally(directory)
    assert f"{directory}/ckpt-2" == ckpt.latest_checkpoint(directory)
    Manager(directory).close()


def test_a_save_that_is_going_on_is_finished(directory: Path) -> None:
    """A signal in the middle of a save lets it finish, however long after the grace period."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)

        def during() -> None:
            ready()
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                time.sleep(0.01)

        with _note_finally(directory), manager.save_on_signal(grace=0.05):
            manager.during = during
            manager.step.assign(7)
            manager.save()
            directory.with_name("went on").touch()

    child = _run(directory, body)
    child.wait_until_ready()
    child.send()
    assert (SAVED, "") == child.end()
    assert 7 == _step(directory)
    assert _ran_finally(directory)
    assert not directory.with_name("went on").exists()


def test_without_a_save_it_exits_after_the_grace_period(directory: Path) -> None:
    """Where no save comes it exits with 143, its `finally` blocks run, and one line says so."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)
        manager.save()
        with manager.save_on_signal(grace=0.05), _note_finally(directory):
            ready()
            time.sleep(60)

    child = _run(directory, body)
    child.wait_until_ready()
    child.send()
    expected = (
        f"{directory}: not saved after SIGTERM, for no save came within 0.05 s; the newest"
        f" checkpoint is {directory}/ckpt-1. Exit code 143.\n"
    )
    assert (SAVED, expected) == child.end()
    assert _ran_finally(directory)


def test_a_second_signal_changes_nothing(directory: Path) -> None:
    """Further signals within the grace period neither end the program nor prolong its time."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)
        with manager.save_on_signal(grace=30):
            ready()
            while not manager.requested:
                time.sleep(0.001)
            ready()
            time.sleep(0.1)
            signal.raise_signal(signal.SIGTERM)
            manager.step.assign(9)
            manager.save()

    child = _run(directory, body)
    child.wait_until_ready()
    child.send()
    child.wait_until_ready()
    child.send()
    child.send()
    assert (SAVED, "") == child.end()
    assert 9 == _step(directory)


def test_a_failed_save_is_not_the_last(directory: Path) -> None:
    """A save that fails raises its error; the next one is again the one that exits."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)
        with manager.save_on_signal(grace=30):
            signal.raise_signal(signal.SIGTERM)
            manager.during = lambda: 1 / 0
            with pytest.raises(ZeroDivisionError):
                manager.save()
            manager.during = lambda: None
            manager.save()

    assert (SAVED, "") == _run(directory, body).end()
    assert 0 == _step(directory)


def test_a_save_that_fails_after_the_grace_period(directory: Path) -> None:
    """Where a save that outlasted the grace period fails, the program exits unsaved."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)

        def during() -> None:
            time.sleep(0.2)
            raise ZeroDivisionError

        manager.during = during
        with manager.save_on_signal(grace=0.05):
            signal.raise_signal(signal.SIGTERM)
            with suppress(ZeroDivisionError):
                manager.save()
            time.sleep(60)

    code, stderr = _run(directory, body).end()
    assert code == SAVED
    assert "no save came within 0.05 s; this manager has no checkpoint. Exit code 143." in stderr


def test_the_block_is_left_without_a_save(directory: Path) -> None:
    """Where the block ends first, it says that nothing was saved, and exits with 143."""

    def body(ready: Callable[[], None]) -> None:
        with Manager(directory).save_on_signal():
            signal.raise_signal(signal.SIGTERM)
        directory.with_name("went on").touch()

    expected = (
        f"{directory}: not saved after SIGTERM, for the block was left without a save; this"
        " manager has no checkpoint. Exit code 143.\n"
    )
    assert (SAVED, expected) == _run(directory, body).end()
    assert not directory.with_name("went on").exists()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_error_on_its_way_is_not_replaced(directory: Path, error: type[BaseException]) -> None:
    """An exception that leaves the block goes on; the line names it, and no exit code."""

    def body(ready: Callable[[], None]) -> None:
        with suppress(error), Manager(directory).save_on_signal():
            signal.raise_signal(signal.SIGTERM)
            raise error

    expected = (
        f"{directory}: not saved after SIGTERM, for the block was left without a save; this"
        f" manager has no checkpoint. {error.__name__} goes on.\n"
    )
    assert (0, expected) == _run(directory, body).end()


def test_a_main_thread_that_does_not_react(directory: Path) -> None:
    """Where the main thread hears nothing for some seconds more, the process is ended."""

    def body(ready: Callable[[], None]) -> None:
        preemption.REACTION = 0.05  # type: ignore[misc]
        with _note_finally(directory), Manager(directory).save_on_signal(grace=0.05):
            signal.raise_signal(signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            time.sleep(60)

    code, stderr = _run(directory, body).end()
    assert code == SAVED
    assert "no save came within 0.05 s, nor does the main thread react; this man" in stderr
    assert not _ran_finally(directory)


def _without_reader() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w")


def _closed() -> TextIO:
    with open(os.devnull, "w") as stream:
        return stream


def _stalled() -> TextIO:
    _, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    return open(writer, "w")


@pytest.mark.parametrize("stderr", [_without_reader, _closed, _stalled, lambda: None])
@pytest.mark.parametrize("reacts", [True, False])
def test_a_stderr_that_takes_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch, stderr: Callable[[], TextIO], reacts: bool
) -> None:
    """A broken, closed, stalled or missing stderr neither changes the code nor holds up the end."""
    monkeypatch.setattr(preemption, "REACTION", 0.05)
    monkeypatch.setattr(process, "_PATIENCE", 0.05)

    def body(ready: Callable[[], None]) -> None:
        kept, sys.stderr = sys.stderr, stderr()
        try:
            with Manager(directory).save_on_signal(grace=0.05):
                signal.raise_signal(signal.SIGTERM)
                if not reacts:
                    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                    time.sleep(60)
        finally:
            sys.stderr = kept

    assert (SAVED, "") == _run(directory, body).end()


def test_nothing_stays_in_a_broken_stderr(directory: Path) -> None:
    """What could not be written does not fail a second time, when the interpreter ends."""
    program = (
        "import signal, sys, checkpointable as ckpt\n"
        "with ckpt.CheckpointManager(ckpt.Checkpoint(), sys.argv[1], 1).save_on_signal():\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
    )
    with _without_reader() as stderr:
        command = [sys.executable, "-c", program, str(directory)]
        assert subprocess.run(command, stderr=stderr, check=False).returncode == SAVED


def test_a_long_end_is_not_cut_short(directory: Path) -> None:
    """Once the main thread is on its way out, its `finally` blocks have all the time they need."""

    def body(ready: Callable[[], None]) -> None:
        preemption.REACTION = 0.5  # type: ignore[misc]
        with _note_finally(directory), Manager(directory).save_on_signal(grace=0.02):
            signal.raise_signal(signal.SIGTERM)
            try:
                time.sleep(60)
            finally:
                time.sleep(0.7)

    code, _ = _run(directory, body).end()
    assert code == SAVED
    assert _ran_finally(directory)


def test_a_save_in_another_thread(directory: Path) -> None:
    """A save in another thread counts: it lets the main thread exit, with nothing to say."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)
        with manager.save_on_signal(grace=30):
            signal.raise_signal(signal.SIGTERM)
            saver = threading.Thread(target=manager.save, daemon=True)
            saver.start()
            time.sleep(60)

    assert (SAVED, "") == _run(directory, body).end()
    assert 0 == _step(directory)


def test_forked_children_have_no_part_in_it(directory: Path) -> None:
    """A child forked inside the block is ended by the signal as ever, and its parent goes on."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)
        with manager.save_on_signal(grace=30):
            grandchild = os.fork()
            if not grandchild:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
                os._exit(5)
            assert end_of(grandchild) == -signal.SIGTERM
            assert not manager.requested
            assert in_child(lambda: not manager.requested)

    assert (0, "") == _run(directory, body).end()


def test_another_signal(directory: Path) -> None:
    """Any signal that can be handled can be waited for; the exit code is 128 more."""

    def body(ready: Callable[[], None]) -> None:
        manager = Manager(directory)
        with manager.save_on_signal(signal.SIGUSR1):
            signal.raise_signal(signal.SIGUSR1)
            manager.save()

    assert (128 + signal.SIGUSR1, "") == _run(directory, body).end()


def test_the_handler_is_put_back(directory: Path) -> None:
    """Leaving the block, by an error too, puts back what handled the signal before."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda signum, _: heard.append(signum))
    mine = signal.getsignal(signal.SIGUSR1)
    manager = Manager(directory)
    try:
        with manager.save_on_signal(signal.SIGUSR1):
            assert signal.getsignal(signal.SIGUSR1) is not mine
        assert signal.getsignal(signal.SIGUSR1) is mine
        with suppress(ZeroDivisionError), manager.save_on_signal(signal.SIGUSR1):
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGUSR1) is mine
        with suppress(SystemExit), manager.save_on_signal(signal.SIGUSR1):
            signal.raise_signal(signal.SIGUSR1)
            assert manager.requested
            manager.save()
            raise AssertionError("the save did not exit")
        assert signal.getsignal(signal.SIGUSR1) is mine
        assert not manager.requested
        assert [] == heard
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_last_save_is_made_in_any_case(directory: Path) -> None:
    """Though the step was saved already, what has changed since is saved before the end."""
    manager = Manager(directory, interval=1)
    manager.save()
    assert manager.save() is None
    with suppress(SystemExit), manager.save_on_signal():
        signal.raise_signal(signal.SIGTERM)
        manager.save()
    assert f"{directory}/ckpt-2" == ckpt.latest_checkpoint(directory)


def test_no_thread_stays(directory: Path) -> None:
    """The thread that watches the clock ends with the block."""
    before = threading.active_count()
    manager = Manager(directory)
    for _ in range(3):
        with manager.save_on_signal():
            manager.step.assign_add(1)
            manager.save()
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.001)
    assert before == threading.active_count()


def test_without_a_signal_nothing_changes(directory: Path) -> None:
    """Inside and outside of a block a save that is not called for does what it always does."""
    manager = Manager(directory, interval=2)
    assert f"{directory}/ckpt-1" == manager.save()
    with manager.save_on_signal():
        manager.step.assign_add(1)
        assert manager.save() is None
        manager.step.assign_add(1)
        assert f"{directory}/ckpt-2" == manager.save()


def test_one_block_at_a_time(directory: Path) -> None:
    """A block inside another, of another manager too, is refused, and the first one goes on."""
    manager = Manager(directory)
    default = signal.getsignal(signal.SIGTERM)
    with manager.save_on_signal() as _:
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(RuntimeError, match="entered a second time"), manager.save_on_signal():
            pass
        other = Manager(directory / "other")
        with pytest.raises(RuntimeError, match="SIGTERM, which another"), other.save_on_signal():
            pass
        assert handler == signal.getsignal(signal.SIGTERM)
    assert default == signal.getsignal(signal.SIGTERM)
    block = other.save_on_signal()
    with block:
        pass
    with pytest.raises(RuntimeError, match="entered before, expected a new one"), block:
        pass
    assert default == signal.getsignal(signal.SIGTERM)


def test_only_in_the_main_thread(directory: Path) -> None:
    """In another thread the block is refused, for Python handles no signals there."""
    found: list[BaseException] = []

    def enter() -> None:
        try:
            with Manager(directory).save_on_signal():
                pass
        except RuntimeError as error:
            found.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "expected the main thread" in str(found[0])


@pytest.mark.parametrize(
    ("signum", "grace", "kind", "message"),
    [
        (signal.SIGTERM, 0, ValueError, "the grace period is 0, expected seconds above 0"),
        (signal.SIGTERM, -1.0, ValueError, "the grace period is -1.0"),
        (signal.SIGTERM, float("nan"), ValueError, "the grace period is nan"),
        (signal.SIGTERM, float("inf"), ValueError, "the grace period is inf"),
        (signal.SIGTERM, "10", TypeError, "the grace period is '10', expected a number"),
        (signal.SIGTERM, True, TypeError, "the grace period is True"),
        ("SIGTERM", 10, TypeError, "the signal is 'SIGTERM', expected an integer"),
        (True, 10, TypeError, "the signal is True"),
        (0, 10, ValueError, "there is no signal 0"),
        (999, 10, ValueError, "there is no signal 999"),
        (signal.SIGKILL, 10, ValueError, "SIGKILL cannot be handled"),
    ],
)
def test_wrong_arguments(
    directory: Path, signum: int, grace: float, kind: type[Exception], message: str
) -> None:
    """A grace period that is none, or a signal that cannot be handled, is refused."""
    manager = Manager(directory)
    threads = threading.active_count()
    with pytest.raises(kind, match=message), manager.save_on_signal(signum, grace=grace):
        pass
    with manager.save_on_signal():
        pass
    time.sleep(0.01)
    assert threading.active_count() <= threads + 1
