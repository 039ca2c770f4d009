"""What a manager remembers: the same decisions with and without restarts, losses and crashes."""

from __future__ import annotations

import errno
import math
import warnings
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpointable as ckpt
from checkpointable.directory.state_file import read_state
from checkpointable.errors import storage_error
from checkpointable.format.frame import encode_frame
from checkpointable.format.record_file import RECORD_MAGIC, encode_record_file
from checkpointable.format.values import encode_value
from checkpointable.storage.base import Storage, read_all
from tests.harness.wrapping import WrappedStorage
from tests.manager.managers import DIRECTORY, HOUR, Clock, ClockedStorage, World, bare

#: Where a manager remembers things.
RECORDS = ("checkpoint", "ckpt.manager")


@attrs.define
class Operation:
    """What happens before and at one save."""

    hours: float
    accuracy: float | None
    steps: int
    pin: bool
    restart: bool
    lose_state: bool
    crash: bool


OPERATIONS = st.builds(
    Operation,
    hours=st.sampled_from([0.25, 0.5, 1.0, 3.0]),
    accuracy=st.sampled_from([0.0, 0.5, 0.5, 1.0, math.nan, None]),
    steps=st.integers(1, 3),
    pin=st.sampled_from([False, False, False, True]),
    restart=st.booleans(),
    lose_state=st.booleans(),
    crash=st.sampled_from([False, False, True]),
)
RULES = st.fixed_dictionaries(
    {
        "max_to_keep": st.sampled_from([None, 1, 2, 3]),
        "keep_checkpoint_every_n_hours": st.sampled_from([None, 1.0, 2.5]),
        "keep_best": st.sampled_from([None, 1, 2]),
        "metric": st.just("acc"),
        "mode": st.sampled_from(["max", "min"]),
        "keep_every_n_steps": st.sampled_from([None, 4]),
    }
)


@attrs.define
class Entry:
    """A checkpoint of the naive model."""

    number: int
    time: float
    step: int
    accuracy: float
    pinned: bool
    preserved: bool = False


@attrs.define
class Naive:
    """All rules in plain loops, over a list that nothing ever interrupts."""

    rules: dict[str, Any]
    last_preserved: float
    entries: list[Entry] = attrs.field(factory=list)

    def save(self, entry: Entry) -> None:
        self.entries.append(entry)
        latest = self.rules["max_to_keep"] or len(self.entries)
        hours = self.rules["keep_checkpoint_every_n_hours"]
        for old in list(self.entries[:-latest]):
            is_old_enough = hours and old.time - hours * HOUR >= self.last_preserved
            if is_old_enough and not old.preserved:
                old.preserved, self.last_preserved = True, old.time
        kept = self.entries[-latest:]
        for old in self.entries[:-latest]:
            if old.preserved or old.pinned or self.is_best(old) or self.is_first(old):
                kept.append(old)
        self.entries = [old for old in self.entries if old in kept]

    def is_best(self, entry: Entry) -> bool:
        if not self.rules["keep_best"] or math.isnan(entry.accuracy):
            return False
        sign = 1 if self.rules["mode"] == "max" else -1
        better = [
            e
            for e in self.entries
            if sign * e.accuracy > sign * entry.accuracy
            or (e.accuracy == entry.accuracy and e.number < entry.number)
        ]
        return len(better) < self.rules["keep_best"]

    def is_first(self, entry: Entry) -> bool:
        every = self.rules["keep_every_n_steps"]
        if not every or entry.step < every:
            return False
        return not any(
            e.step // every == entry.step // every and e.step < entry.step for e in self.entries
        )


class CrashingStorage(WrappedStorage):
    """A storage in which, once told so, nothing can be done any more after a commit."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.crashes = False
        self.fails_to_remove = False

    def create(self, path: str) -> Any:
        if self.crashes and ".index." not in path and ".data-" not in path:
            raise storage_error(OSError(errno.EIO, "crash"), "create", path)
        return super().create(path)

    def remove(self, path: str) -> None:
        if self.crashes or (self.fails_to_remove and path.endswith(".index")):
            raise storage_error(OSError(errno.EIO, "crash"), "remove", path)
        super().remove(path)


class UnsyncedStorage(WrappedStorage):
    """A storage that, when told so, cannot sync a directory."""

    fails = False

    def sync_dir(self, path: str) -> None:
        if self.fails:
            raise storage_error(OSError(errno.EIO, "told so"), "sync", path)
        super().sync_dir(path)


def check_decisions(rules: dict[str, Any], operations: list[Operation]) -> None:
    """Compare the files after each save with what a naive model keeps."""
    counter = ckpt.Variable(0)
    world = World(**rules, step_counter=counter)
    storage = CrashingStorage(world.storage)
    world.storage = storage
    world.restart()
    naive = Naive(rules, world.clock() - 1)
    crashed = False
    for number, operation in enumerate(operations, start=1):
        if operation.lose_state:
            world.remove("checkpoint")
        if operation.restart or crashed or operation.lose_state:
            world.restart()
        world.clock.tick(operation.hours)
        counter.assign_add(operation.steps)
        # Before the first save nothing is remembered yet: a crash then keeps more, not the same.
        crashed = storage.crashes = operation.crash and not operation.pin and number > 1
        with warnings.catch_warnings():
            if crashed:
                warnings.simplefilter("ignore", ckpt.CheckpointWarning)
            world.manager.save(
                metrics={} if operation.accuracy is None else {"acc": operation.accuracy},
                pin=operation.pin,
            )
        storage.crashes = False
        accuracy = math.nan if operation.accuracy is None else operation.accuracy
        naive.save(Entry(number, world.clock(), int(counter.value), accuracy, operation.pin))

        expected = [f"ckpt-{e.number}" for e in naive.entries]
        if crashed:
            assert set(expected) <= set(world.on_disk())
        else:
            assert sorted(expected) == world.on_disk()
            assert [f"ckpt-{e.number}" for e in naive.entries if not e.preserved] == world.names()


@settings(max_examples=60, deadline=None)
@given(RULES, st.lists(OPERATIONS, min_size=1, max_size=14))
def test_restarts_change_no_decision(rules: dict[str, Any], operations: list[Operation]) -> None:
    """With restarts, lost state files and crashes after commits, what is kept is as without.

    After each save that goes through, exactly those files are there that a naive model keeps.
    """
    check_decisions(rules, operations)


@pytest.mark.campaign
@settings(max_examples=3000, deadline=None)
@given(RULES, st.lists(OPERATIONS, min_size=1, max_size=25))
def test_restarts_change_no_decision_of_many(
    rules: dict[str, Any], operations: list[Operation]
) -> None:
    """As above, longer and more often."""
    check_decisions(rules, operations)


@settings(max_examples=25, deadline=None)
@given(RULES, st.lists(OPERATIONS, min_size=1, max_size=8))
def test_a_plan_is_what_a_new_manager_plans(
    rules: dict[str, Any], operations: list[Operation]
) -> None:
    """After each save a new manager of the directory plans the same, and nothing to delete."""
    world = World(**rules)
    for operation in operations:
        world.clock.tick(operation.hours)
        world.manager.save(
            metrics={} if operation.accuracy is None else {"acc": operation.accuracy},
            pin=operation.pin,
        )
        before = world.manager.plan()
        world.restart()
        assert str(before) == str(world.manager.plan())
        assert () == before.deleted


class TestBest:
    def test_the_best_stays(self) -> None:
        """The best checkpoint is kept however old; ties go to the older; NaN is never best."""
        world = World(max_to_keep=1, keep_best=1, metric="acc")
        accuracies = [0.5, 0.75, math.nan, 0.75, 0.25]
        best = []
        for accuracy in accuracies:
            world.manager.save(metrics={"acc": accuracy, "loss": 1.0})
            best.append(bare([world.manager.best_checkpoint])[0])
        assert ["ckpt-1", "ckpt-2", "ckpt-2", "ckpt-2", "ckpt-2"] == best
        assert ["ckpt-2", "ckpt-5"] == world.on_disk() == world.names()

    def test_less_may_be_better(self) -> None:
        """With mode "min" the least is kept; what has no metric is never best."""
        world = World(max_to_keep=1, keep_best=2, metric="loss", mode="min")
        for loss in (3.0, 1.0, 2.0, None):
            world.manager.save(metrics=None if loss is None else {"loss": loss})
        assert ["ckpt-2", "ckpt-3", "ckpt-4"] == world.on_disk()
        assert "run/ckpt-2" == world.manager.best_checkpoint

    def test_without_a_metric_there_is_no_best(self) -> None:
        """Metrics that nobody asked for are stored, but nothing is best."""
        world = World()
        world.manager.save(metrics={"acc": 1.0})
        assert world.manager.best_checkpoint is None

    def test_best_of_those_that_are_there(self) -> None:
        """If somebody deletes the best, the next best is best."""
        world = World(max_to_keep=3, keep_best=1, metric="acc")
        for accuracy in (3.0, 1.0, 2.0):
            world.manager.save(metrics={"acc": accuracy})
        world.remove("ckpt-1.index")
        assert "run/ckpt-3" == world.manager.best_checkpoint


class TestPins:
    def test_a_pinned_checkpoint_stays_until_it_is_unpinned(self) -> None:
        """Pinned at the save or later, by number or path; over restarts; unpinned, it goes."""
        world = World(max_to_keep=1)
        first = world.manager.save(pin=True)
        second = world.manager.save()
        assert second is not None
        world.manager.pin(second)
        world.restart()
        world.manager.save()
        world.manager.save()
        assert ["ckpt-1", "ckpt-2", "ckpt-4"] == world.on_disk() == world.names()
        world.manager.unpin(1)
        world.restart()
        assert [first] == list(world.manager.plan().deleted)
        world.manager.unpin("./run//ckpt-2")
        world.manager.unpin(2)
        world.manager.save()
        assert ["ckpt-5"] == world.on_disk()

    @pytest.mark.parametrize("which", [7, -1, "run/ckpt-7", "ckpt-1", "elsewhere/ckpt-1"])
    def test_only_what_is_there_can_be_pinned(self, which: Any) -> None:
        """Another number or path is refused, naming those that are there."""
        world = World()
        world.manager.save()
        with pytest.raises(ckpt.CheckpointNotFoundError, match="It has run/ckpt-1;"):
            world.manager.pin(which)

    @pytest.mark.parametrize("which", [True, 1.0, None])
    def test_a_pin_is_a_number_or_a_path(self, which: Any) -> None:
        """Anything else is a TypeError."""
        world = World()
        world.manager.save()
        with pytest.raises(TypeError, match="expected str"):
            world.manager.pin(which)

    def test_a_pin_goes_with_its_checkpoint(self) -> None:
        """A number that was pinned, deleted by hand and saved again is not pinned any more."""
        world = World(max_to_keep=1)
        world.manager.save(1, pin=True)
        world.remove("ckpt-1.index")
        world.manager.save(2)
        world.manager.save(1)
        world.manager.save(3)
        assert ["ckpt-3"] == world.on_disk()

    def test_what_is_not_seen_for_a_moment_is_not_forgotten(self) -> None:
        """Pinned and kept for good stay so, though saves are made while they are out of sight."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        world.manager.save(pin=True)
        for _ in range(3):
            world.clock.tick(1)
            world.manager.save()
        hidden = [f"{DIRECTORY}/ckpt-{number}.index" for number in (1, 2)]
        for path in hidden:
            world.storage.rename(path, f"{path}-away")
        world.manager.save()
        world.restart()
        world.manager.save()
        for path in hidden:
            world.storage.rename(f"{path}-away", path)
        world.manager.save()
        world.manager.save()
        assert {"ckpt-1", "ckpt-2"} <= {*world.on_disk()}


class TestHours:
    def test_what_is_kept_for_good_is_not_listed(self) -> None:
        """One an hour stays for good: not listed, never judged again, whatever the next rules."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(6):
            world.clock.tick(0.5)
            world.manager.save()
        assert ["ckpt-2", "ckpt-4", "ckpt-6"] == world.on_disk()
        assert ["ckpt-6"] == world.names()
        world.restart(keep_checkpoint_every_n_hours=None, max_to_keep=1)
        world.manager.save()
        assert ["ckpt-2", "ckpt-4", "ckpt-7"] == world.on_disk()
        assert ["ckpt-7"] == world.names()

    def test_a_number_saved_again_counts_as_new(self) -> None:
        """What was kept for good is not any more once its number is saved again."""
        world = World(max_to_keep=2, keep_checkpoint_every_n_hours=1)
        for number in (1, 2, 3):
            world.clock.tick(1)
            world.manager.save(number)
        assert ["ckpt-2", "ckpt-3"] == world.names()
        assert ["ckpt-1", "ckpt-2", "ckpt-3"] == world.on_disk()
        world.manager.save(1)
        assert ["ckpt-3", "ckpt-1"] == world.names()
        world.restart()
        assert ["ckpt-3", "ckpt-1"] == world.names()
        assert ["ckpt-1", "ckpt-2", "ckpt-3"] == world.on_disk()

    def test_without_the_record_the_state_file_tells(self) -> None:
        """If `NAME.manager` is lost, what is as old as the last one kept for good stays so."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(6):
            world.clock.tick(0.5)
            world.manager.save()
        world.remove("ckpt.manager")
        world.restart(keep_checkpoint_every_n_hours=None)
        assert ["ckpt-6"] == world.names()
        world.manager.save()
        assert ["ckpt-2", "ckpt-4", "ckpt-7"] == world.on_disk()

    def test_what_is_kept_for_good_takes_no_place_among_the_latest(self) -> None:
        """Wherever its number puts it after a restart, the latest are as many as before."""
        world = World(max_to_keep=3, keep_checkpoint_every_n_hours=1)
        for number in (5, 8, 1, 9):
            world.clock.tick(1)
            world.manager.save(number)
        world.restart(keep_checkpoint_every_n_hours=None)
        assert ["ckpt-8", "ckpt-1", "ckpt-9"] == world.names()
        assert () == world.manager.plan().deleted

    def test_what_is_kept_for_good_survives_a_copy_of_the_checkpoints_alone(self) -> None:
        """Without `NAME.manager`, and with all files made anew, it is known by not being listed."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(6):
            world.clock.tick(0.5)
            world.manager.save()
        assert isinstance(world.storage, ClockedStorage)
        world.clock.tick(1)
        for name in world.storage.list_dir(DIRECTORY):
            world.storage.rename(f"{DIRECTORY}/{name}", f"{DIRECTORY}/{name}")
        world.remove("ckpt.manager")
        world.restart()
        world.manager.save()
        assert {"ckpt-2", "ckpt-4", "ckpt-7"} <= {*world.on_disk()}

    def test_what_another_name_remembers_keeps_nothing(self) -> None:
        """A state file that lists other names alone does not make all that is there kept."""
        world = World(max_to_keep=1)
        world.manager.save()
        world.remove("checkpoint")
        with world.open(checkpoint_name="other", keep_checkpoint_every_n_hours=1) as other:
            world.clock.tick(1)
            other.save()
        world.restart()
        world.manager.save()
        assert ["ckpt-3", "other-2"] == world.on_disk()

    def test_names_do_not_change_each_others_times(self) -> None:
        """Beside another name in the state file its time of what is kept for good stays."""
        world = World(max_to_keep=1, checkpoint_name="other", keep_checkpoint_every_n_hours=1)
        world.manager.save()
        before = read_state(world.storage, DIRECTORY)
        world.clock.tick(5)
        with world.open(checkpoint_name="ckpt", keep_checkpoint_every_n_hours=1) as manager:
            for _ in range(3):
                world.clock.tick(2)
                manager.save()
        after = read_state(world.storage, DIRECTORY)
        assert before is not None
        assert after is not None
        assert before.last_preserved_timestamp == after.last_preserved_timestamp

    def test_without_record_and_state_file_the_rule_begins_with_the_oldest(self) -> None:
        """If both are lost, the rule of hours keeps the oldest, and then one an hour."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(6):
            world.clock.tick(0.5)
            world.manager.save()
        world.remove("ckpt.manager")
        world.remove("checkpoint")
        world.restart()
        world.manager.save()
        assert ["ckpt-2", "ckpt-4", "ckpt-6", "ckpt-7"] == world.on_disk()

    def test_a_copy_that_made_all_files_anew_changes_nothing(self) -> None:
        """What is kept for good is old, whatever the times of its files say."""
        world = World(max_to_keep=2, keep_checkpoint_every_n_hours=1)
        for _ in range(6):
            world.clock.tick(0.5)
            world.manager.save()
        assert isinstance(world.storage, ClockedStorage)
        world.clock.tick(1)
        for name in world.storage.list_dir(DIRECTORY):
            world.storage.rename(f"{DIRECTORY}/{name}", f"{DIRECTORY}/{name}")
        world.restart()
        assert "run/ckpt-6" == world.manager.latest_checkpoint
        assert ["ckpt-5", "ckpt-6"] == world.names()
        world.manager.save()
        assert ["ckpt-2", "ckpt-4", "ckpt-6", "ckpt-7"] == world.on_disk()

    def test_a_clock_set_back_is_told_once(self) -> None:
        """After that the rule counts from the next save on; nothing kept for good is lost."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(4):
            world.clock.tick(1)
            world.manager.save()
        assert ["ckpt-1", "ckpt-2", "ckpt-3", "ckpt-4"] == world.on_disk()
        world.clock.tick(-30)
        with pytest.warns(ckpt.CheckpointWarning, match="clock was set back"):
            world.restart()
        for _ in range(4):
            world.clock.tick(0.5)
            world.manager.save()
        world.restart()
        assert ["ckpt-1", "ckpt-2", "ckpt-3", "ckpt-4", "ckpt-8"] == world.on_disk()

    def test_what_was_saved_before_the_clock_was_set_back_is_rather_kept(self) -> None:
        """Times stay as they were; the rule counts from the time of the newest, if that is less."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(2):
            world.clock.now += 1800
            world.manager.save()
        world.clock.now -= 100_000
        with pytest.warns(ckpt.CheckpointWarning, match="clock was set back"):
            world.manager.save()
        world.clock.now += 1
        world.manager.save()
        assert ["ckpt-2", "ckpt-4"] == world.on_disk()

    def test_a_clock_set_back_meanwhile_is_told(self) -> None:
        """The next save says so, and goes on."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(3):
            world.clock.tick(1)
            world.manager.save()
        world.clock.tick(-30)
        with pytest.warns(ckpt.CheckpointWarning, match="clock was set back"):
            world.manager.save()
        world.clock.tick(0.5)
        world.manager.save()
        assert {"ckpt-1", "ckpt-2", "ckpt-5"} <= {*world.on_disk()}

    def test_without_the_rule_nobody_minds_the_clock(self) -> None:
        """A clock set back gives no warning where nothing depends on it."""
        world = World(max_to_keep=1)
        world.manager.save()
        world.clock.tick(-30)
        world.restart()
        world.manager.save()
        assert ["ckpt-2"] == world.on_disk()


def replace(world: World, content: bytes) -> None:
    """Give the record another content."""
    world.remove("ckpt.manager")
    file = world.storage.create(f"{DIRECTORY}/ckpt.manager")
    file.write([content])
    file.close()


class TestRecord:
    def test_a_clock_may_give_whole_seconds(self) -> None:
        """What is remembered is read again, if the clock gives integers too."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        world.clock.now = 3_600_000
        world.restart()
        for _ in range(4):
            world.clock.now += 1800
            world.manager.save()
        before = str(world.manager.plan())
        world.restart()
        assert before == str(world.manager.plan())
        assert "kept for good" in before

    def test_a_damaged_record_pins_everything(self) -> None:
        """With one warning; what is pinned then stays until it is unpinned."""
        world = World(max_to_keep=1, keep_checkpoint_every_n_hours=1)
        for _ in range(4):
            world.clock.tick(0.5)
            world.manager.save()
        there = world.on_disk()
        replace(world, b"damaged")
        with pytest.warns(ckpt.CheckpointWarning, match=r"ckpt\.manager.*count as pinned"):
            world.restart()
        world.manager.save()
        world.restart()
        assert [*there, "ckpt-5"] == world.on_disk()
        for name in there:
            assert f"keep    {name}  " in str(world.manager.plan())
            world.manager.unpin(f"{DIRECTORY}/{name}")
        world.manager.save()
        assert ["ckpt-4", "ckpt-6"] == world.on_disk()  # ckpt-4 by the rule of hours

    @pytest.mark.parametrize(
        "content",
        [
            [],
            {"pins": [1], "preserved": []},
            {"pins": 1, "preserved": [], "last_preserved": 1.0},
            {"pins": [True], "preserved": [], "last_preserved": 1.0},
            {"pins": [-1], "preserved": [], "last_preserved": 1.0},
            {"pins": [], "preserved": {1: 1.0}, "last_preserved": 1.0},
            {"pins": [], "preserved": ["1"], "last_preserved": 1.0},
            {"pins": [], "preserved": [1], "last_preserved": math.nan},
            {"pins": [], "preserved": [], "last_preserved": 1},
        ],
    )
    def test_a_record_that_says_something_else_is_damaged(self, content: Any) -> None:
        """Fields of other names or types are damage, and no other error escapes."""
        world = World()
        world.manager.save()
        replace(world, encode_record_file("manager", content))
        with pytest.warns(ckpt.CheckpointWarning, match="all 1 checkpoints of run/ckpt count"):
            world.restart()
        assert "pinned" in str(world.manager.plan())

    def test_a_record_of_another_kind_is_damaged(self) -> None:
        """What is a record of something else is not believed."""
        world = World()
        replace(world, encode_record_file("note", {}))
        with pytest.warns(ckpt.CheckpointWarning, match="this is no manager"):
            world.restart()

    def test_a_record_of_the_future_is_not_touched(self) -> None:
        """A newer version's record is refused, and stays as it is."""
        world = World()
        data = b"".join([RECORD_MAGIC, encode_frame(encode_value(("manager", 2, {})), 0)])
        replace(world, data)
        world.manager.close()
        with pytest.raises(ckpt.UnsupportedFormatError, match=r"ckpt\.manager"):
            world.open()
        assert data == read_all(world.storage, f"{DIRECTORY}/ckpt.manager")

    def test_without_pins_and_hours_there_is_no_record(self) -> None:
        """A manager that has nothing to remember writes no file before it deletes something."""
        world = World(max_to_keep=1)
        world.manager.save()
        assert "ckpt.manager" not in world.storage.list_dir(DIRECTORY)
        world.manager.save()
        assert "ckpt.manager" in world.storage.list_dir(DIRECTORY)

    def test_what_a_crash_left_undeleted_is_not_kept_for_good(self) -> None:
        """Without any rule but the latest too, what could not be deleted goes at the next save."""
        world = World(max_to_keep=1)
        world.manager.save()
        storage = CrashingStorage(world.storage)
        world.storage = storage
        world.restart()
        storage.fails_to_remove = True
        with pytest.warns(ckpt.CheckpointWarning, match="could be deleted"):
            world.manager.save()
        assert ["ckpt-1", "ckpt-2"] == world.on_disk()
        storage.fails_to_remove = False
        world.restart()
        world.manager.save()
        assert ["ckpt-3"] == world.on_disk()

    def test_an_unpin_that_failed_is_written_down_again(self) -> None:
        """If the disk has it though the call raised, the next save puts it right."""
        world = World(max_to_keep=1, save_options=ckpt.SaveOptions(durable=True))
        storage = UnsyncedStorage(world.storage)
        world.storage = storage
        world.restart()
        world.manager.save(pin=True)
        storage.fails = True
        with pytest.raises(ckpt.StorageError, match="sync"):
            world.manager.unpin(1)
        storage.fails = False
        world.manager.save()
        world.restart()
        world.manager.save()
        assert ["ckpt-1", "ckpt-3"] == world.on_disk()

    def test_the_time_of_a_checkpoint_stands_in_it(self, tmp_path: Path) -> None:
        """What a program died over is as old as its manager said, however old its file is."""
        checkpoint, clock = ckpt.Checkpoint(step=1), Clock()

        def save() -> dict[Path, bytes]:
            with ckpt.CheckpointManager(
                checkpoint, tmp_path, 1, keep_checkpoint_every_n_hours=1, clock=clock
            ) as manager:
                manager.save()
            clock.tick(2)
            return {tmp_path / n: (tmp_path / n).read_bytes() for n in RECORDS}

        before = save()
        save()
        for path, content in before.items():
            path.write_bytes(content)
        save()
        save()  # It would warn of a clock that was set back, from the time of the file.
