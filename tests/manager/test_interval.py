"""How often a manager saves."""

from __future__ import annotations

import datetime
import errno

import pytest

import checkpointable as ckpt
from tests.harness.faults import Fault, FaultyStorage
from tests.manager.managers import World

FOUR_HOURS = datetime.timedelta(hours=4)


def counting(**arguments: object) -> tuple[World, ckpt.Variable]:
    """Return a world with a step counter, and that."""
    counter = ckpt.Variable(0)
    world = World(step_counter=counter, max_to_keep=None, **arguments)
    return world, counter


def test_an_interval_of_steps() -> None:
    """The first save is always due, then every so many steps."""
    world, counter = counting(checkpoint_interval=3)
    saved = []
    for step in range(10):
        counter.assign(step)
        if world.manager.save() is not None:
            saved.append(step)
    assert [0, 3, 6, 9] == saved
    assert 3 == world.manager.checkpoint_interval


def test_an_interval_can_be_cut_short_but_not_to_nothing() -> None:
    """Without a check the next step saves, but one step never saves twice."""
    world, counter = counting(checkpoint_interval=3)
    assert "run/ckpt-1" == world.manager.save()
    assert None is world.manager.save(check_interval=False)
    counter.assign(1)
    assert None is world.manager.save()
    assert "run/ckpt-2" == world.manager.save(check_interval=False)
    counter.assign(3)
    assert None is world.manager.save()
    counter.assign(4)
    assert "run/ckpt-3" == world.manager.save()


def test_a_step_counter_that_goes_back_makes_a_save_due() -> None:
    """The interval begins anew there."""
    world, counter = counting(checkpoint_interval=3)
    saved = []
    for step in (100, 101, 0, 1, 2, 3, 4):
        counter.assign(step)
        if world.manager.save() is not None:
            saved.append(step)
    assert [100, 0, 3] == saved


def test_an_interval_of_time() -> None:
    """The first save is always due, then whenever the time is over, or the clock was set back."""
    world = World(checkpoint_interval=FOUR_HOURS)
    assert "run/ckpt-1" == world.manager.save()
    world.clock.tick(3.9)
    assert None is world.manager.save()
    assert "run/ckpt-2" == world.manager.save(check_interval=False)
    world.clock.tick(3.9)
    assert None is world.manager.save()
    world.clock.tick(0.1)
    assert "run/ckpt-3" == world.manager.save()
    world.clock.tick(-1)
    assert "run/ckpt-4" == world.manager.save()
    assert FOUR_HOURS == world.manager.checkpoint_interval


def test_without_an_interval_each_call_saves() -> None:
    """A step counter alone holds up nothing; its value is the step of the rules."""
    world, counter = counting(keep_every_n_steps=10)
    counter.assign(20)
    assert "run/ckpt-1" == world.manager.save()
    assert "run/ckpt-2" == world.manager.save()
    assert "the first from step 20 on" in str(world.manager.plan())


def test_without_a_step_counter_numbers_are_steps() -> None:
    """A rule about steps goes by the numbers of the checkpoints."""
    world = World(max_to_keep=1, keep_every_n_steps=3)
    for _ in range(8):
        world.manager.save()
    assert ["ckpt-3", "ckpt-6", "ckpt-8"] == world.on_disk()


@pytest.mark.parametrize("restore", ["restore_or_initialize", "restore_latest"])
def test_after_a_restore_the_interval_begins_with_its_step(restore: str) -> None:
    """What was restored need not be saved again at once."""
    counter = ckpt.Variable(0)
    world = World(max_to_keep=None)
    world.checkpoint.step = counter
    world.arguments |= {"step_counter": counter, "checkpoint_interval": 3}
    world.restart()
    counter.assign(7)
    world.manager.save()
    counter.assign(0)
    world.restart()
    getattr(world.manager, restore)()
    assert 7 == counter.value
    assert None is world.manager.save()
    counter.assign(9)
    assert None is world.manager.save()
    counter.assign(10)
    assert "run/ckpt-2" == world.manager.save()


def test_without_a_restore_the_first_save_is_due() -> None:
    """A new manager that restored nothing saves at its first call."""
    world, _ = counting(checkpoint_interval=3)
    world.manager.save()
    world.restart()
    assert "run/ckpt-2" == world.manager.save()


def test_a_failed_save_does_not_end_the_interval() -> None:
    """The same step can be saved again after a failure."""
    world, counter = counting(checkpoint_interval=3)
    fault = Fault(at=10**9, errno=errno.ENOSPC)
    world.storage = FaultyStorage(world.storage, fault)
    world.restart()
    world.manager.save()
    counter.assign(3)
    fault.at, fault.sticky = fault.seen + 5, True
    with pytest.raises(ckpt.StorageError, match="No space"):
        world.manager.save()
    fault.at = 10**9
    assert None is not world.manager.save()
    assert ["ckpt-1", "ckpt-2"] == world.on_disk() == world.names()
    assert 2 == world.checkpoint.save_counter.value
