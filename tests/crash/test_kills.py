"""Real processes on a real file system, killed with SIGKILL in the middle of their saves.

A killed process loses nothing that the system has taken, so this does not replace the enumeration
of power cuts: it shows that locks, leftovers and the local storage behave as the model assumes.
"""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import pytest

from checkpointable.bundle.commit import begin
from checkpointable.errors import CheckpointWarning
from checkpointable.options import SaveOptions
from checkpointable.storage.local import LOCAL
from tests.harness.bundles import BundleDriver
from tests.harness.driving import Driver, RawDriver
from tests.harness.faults import Fault, FaultyStorage
from tests.harness.processes import end_of, in_child, kill, kill_myself, living_child, start
from tests.harness.workloads import FORMATS

KILLED = -signal.SIGKILL


class _Deadly(Fault):
    """A fault that ends the process."""

    def strike(self, verb: str, path: str) -> None:
        if self.seen == self.at:
            kill_myself()
        self.seen += 1


def _save_and_die(driver: Driver, prefix: str, value: int, options: SaveOptions, at: int) -> int:
    """Save in a child that is killed before operation `at`; return how the child ended."""
    storage = FaultyStorage(LOCAL, _Deadly(at, 0))
    return end_of(start(lambda: driver.save(storage, prefix, value, options)))


def _temporaries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.tmp"))


@pytest.mark.parametrize("name", FORMATS)
def test_killed_before_each_operation(figures: dict[str, str], tmp_path: Path, name: str) -> None:
    """A save killed before any of its operations leaves old or new, and the next one works."""
    driver, options = RawDriver(), SaveOptions(**FORMATS[name])
    prefix = str(tmp_path / "ckpt")
    kills = 0
    while True:
        driver.save(LOCAL, prefix, 1, options)
        ended = _save_and_die(driver, prefix, 2, options, kills)
        assert driver.load(LOCAL, prefix) in {1, 2}
        if ended != KILLED:
            break
        kills += 1
    assert ended == 0
    assert driver.load(LOCAL, prefix) == 2
    assert _temporaries(tmp_path) == []
    _note(figures, kills)


def test_killed_at_random(figures: dict[str, str], tmp_path: Path) -> None:
    """Saves of all kinds, killed at random moments, never harm what was told to be saved."""
    _note(figures, _kill_at_random(RawDriver(), tmp_path, runs=150, seed=1))


def test_real_saves_killed_at_random(figures: dict[str, str], tmp_path: Path) -> None:
    """The same holds of real checkpoints."""
    _note(figures, _kill_at_random(BundleDriver(), tmp_path, runs=50, seed=2))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(10))
def test_campaign_of_kills(figures: dict[str, str], tmp_path: Path, seed: int) -> None:
    """The same holds over thousands of saves."""
    _note(figures, _kill_at_random(RawDriver(), tmp_path, runs=1500, seed=seed))
    _note(figures, _kill_at_random(BundleDriver(), tmp_path, runs=500, seed=seed))


def _kill_at_random(driver: Driver, directory: Path, runs: int, seed: int) -> int:
    """Save again and again in children that die somewhere; return how many did."""
    draw = random.Random(seed)
    expected: dict[str, set[int]] = {}  # what each prefix may hold
    kills = 0
    for value in range(runs):
        prefix = str(directory / draw.choice(["one", "two", "two-7"]))
        options = SaveOptions(**FORMATS[draw.choice([*FORMATS])], durable=draw.random() < 0.5)
        ended = _save_and_die(driver, prefix, value, options, draw.randrange(50))
        held = expected.get(prefix, set())
        if ended == 0:
            expected[prefix] = {value}
        elif held:
            expected[prefix] = held | {value}
        kills += ended == KILLED
        for saved, values in expected.items():
            assert driver.load(LOCAL, saved) in values
    shutil.rmtree(directory)
    directory.mkdir()
    return kills


def test_a_live_writers_temporaries_stay(tmp_path: Path) -> None:
    """Another process of the same name removes nothing of a save that is still going on."""
    driver, options = RawDriver(), SaveOptions()
    prefix = str(tmp_path / "ckpt")
    with begin(LOCAL, prefix, options, numbered=True, reader=driver.reader) as commit:
        commit.create_shard(0).write([b"half"])
        commit.seal_shard(0)
        assert in_child(lambda: driver.save(LOCAL, f"{prefix}-9", 1, options) != "")
        assert len(_temporaries(tmp_path)) == 2
        commit.finish(["00112233445566aa"])
    assert _temporaries(tmp_path) == []
    assert (tmp_path / "ckpt-1.index").exists()
    assert driver.load(LOCAL, f"{prefix}-9") == 1


def test_a_dead_writers_temporaries_go(tmp_path: Path) -> None:
    """What a killed writer left goes with the next save of its name, though its child lives on."""
    driver, options = RawDriver(), SaveOptions()

    def child() -> None:
        with begin(
            LOCAL, str(tmp_path / "ckpt"), options, numbered=True, reader=driver.reader
        ) as c:
            c.create_shard(0).write([b"half"])
            with living_child() as grandchild:
                (tmp_path / "pid").write_text(str(grandchild))
                kill_myself()

    assert end_of(start(child)) == KILLED
    try:
        assert len(_temporaries(tmp_path)) == 2
        driver.save(LOCAL, str(tmp_path / "other"), 1, options)
        assert len(_temporaries(tmp_path)) == 2
        driver.save(LOCAL, str(tmp_path / "ckpt-5"), 1, options)
        assert _temporaries(tmp_path) == []
    finally:
        kill(int((tmp_path / "pid").read_text()))


def test_a_live_writer_keeps_its_number(tmp_path: Path) -> None:
    """The number of a save that is still going on is taken; that of a dead one is free again."""
    driver, options = RawDriver(), SaveOptions()
    prefix = str(tmp_path / "ckpt")

    held = []

    def hold() -> None:
        held.append(begin(LOCAL, prefix, options, numbered=True, reader=driver.reader))

    with living_child(hold), pytest.warns(CheckpointWarning, match="up to 1 are taken"):
        assert driver.save(LOCAL, prefix, 1, options, numbered=True) == f"{prefix}-2"
    (tmp_path / "ckpt-2.index").unlink()
    assert driver.save(LOCAL, prefix, 1, options, numbered=True) == f"{prefix}-1"


def test_concurrent_saves_take_turns(tmp_path: Path) -> None:
    """Processes that save under one name at once get numbers of their own, and all succeed."""
    driver, options = RawDriver(), SaveOptions(durable=False)
    prefix = str(tmp_path / "ckpt")

    def save_ten() -> bool:
        for value in range(10):
            driver.save(LOCAL, prefix, value, options, numbered=True)
        return True

    assert [end_of(child) for child in [start(save_ten) for _ in range(4)]] == [0, 0, 0, 0]
    assert [f"ckpt-{n}.index" for n in range(1, 41)] == sorted(
        (path.name for path in tmp_path.glob("*.index")), key=lambda name: int(name[5:-6])
    )
    for number in range(1, 41):
        driver.load(LOCAL, f"{prefix}-{number}")
    assert _temporaries(tmp_path) == []


@pytest.mark.parametrize("names", [["tensorflow"], [*FORMATS]])
def test_concurrent_overwrites_take_turns(tmp_path: Path, names: list[str]) -> None:
    """Processes that replace one checkpoint at once all succeed, and one whole one is left."""
    driver, prefix = RawDriver(), str(tmp_path / "ckpt")

    def save_twenty(start: int) -> bool:
        for value in range(start, start + 20):
            fields = FORMATS[names[value % len(names)]]
            driver.save(LOCAL, prefix, value, SaveOptions(durable=False, **fields))
        return True

    writers = [start(lambda first=first: save_twenty(first)) for first in (0, 100, 200)]
    assert [end_of(writer) for writer in writers] == [0, 0, 0]
    assert driver.load(LOCAL, prefix) in {19, 119, 219}
    driver.save(LOCAL, prefix, 7, SaveOptions(single_file=True))
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]


def _note(figures: dict[str, str], kills: int) -> None:
    before = int(figures.get("processes killed", "0").replace(",", ""))
    figures["processes killed"] = f"{before + kills:,}"
