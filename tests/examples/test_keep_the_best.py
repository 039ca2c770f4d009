"""A managed run, killed at random moments: it ends with the decisions of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import checkpointable as ckpt

REPOSITORY = Path(__file__).parents[2]
EPOCHS = 25
SECONDS = 25.0  # that an epoch is said to take: three are more than a minute
ENDS = (signal.SIGKILL, signal.SIGTERM)  # of runs before the last one


def start(directory: Path) -> subprocess.Popen[str]:
    """Start the example as a user would, warnings as errors."""
    return subprocess.Popen(
        [
            sys.executable,
            REPOSITORY / "examples" / "keep_the_best.py",
            f"--directory={directory}",
            f"--epochs={EPOCHS}",
            f"--pretend={SECONDS}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error"},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a run that must succeed, and return what it printed."""
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return output


def newest(directory: Path) -> int:
    """Return the highest number of a complete checkpoint; 0 if there is none."""
    return max((number(path.name) for path in directory.glob("digits-*.index")), default=0)


def number(name: str) -> int:
    """Return the number of a checkpoint."""
    return int(name.removesuffix(".index").rpartition("-")[2])


def wait_for(process: subprocess.Popen[str], directory: Path, epoch: int) -> None:
    """Wait until a run has saved an epoch, or has ended."""
    while process.poll() is None and newest(directory) < epoch:
        time.sleep(0.001)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory and output of a run that nothing disturbed."""
    directory = tmp_path_factory.mktemp("undisturbed")
    return directory, finish(start(directory))


def test_last_best_and_one_per_minute_are_kept(undisturbed: tuple[Path, str]) -> None:
    """The table names each checkpoint that is there: the last 3, the best, one per minute."""
    directory, output = undisturbed
    rows = [line.split(maxsplit=2) for line in output.splitlines()[:-1]]
    reasons = {number(name): reason for _, name, reason in rows}
    there = {number(path.name) for path in directory.glob("*.index")}

    assert {"keep"} == {row[0] for row in rows}
    assert there == {*reasons}
    latest = [n for n, reason in reasons.items() if "one of the latest 3" in reason]
    assert [EPOCHS - 2, EPOCHS - 1, EPOCHS] == latest
    (best,) = [n for n, reason in reasons.items() if "best by accuracy" in reason]
    accuracies = {n: _accuracy(directory, n) for n in there}
    assert accuracies[best] == max(accuracies.values()) > 0.9
    # By hand: a minute is more than two epochs; when the first save begins, no time has passed.
    minutes = [n for n, reason in reasons.items() if "kept for good" in reason]
    assert [4, 7, 10, 13, 16, 19, 22][: len(minutes)] == minutes


def _accuracy(directory: Path, epoch: int) -> float:
    metadata = ckpt.load_checkpoint(directory / f"digits-{epoch}").metadata
    return float(metadata["checkpointable.manager"]["metrics"]["accuracy"])


def test_killed_runs_decide_alike(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    """A run that is killed, and asked to go, ends with the same files, reasons and weights.

    Asked to go it saves once more and exits with 143.
    """
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    for end in ENDS:
        process = start(tmp_path)
        wait_for(process, tmp_path, newest(tmp_path) + chance.randrange(1, 8))
        time.sleep(chance.uniform(0, 0.03))
        process.send_signal(end)
        _, errors = process.communicate(timeout=100)
        print("ended with", newest(tmp_path), "epochs saved")
        assert (143 if end == signal.SIGTERM else -signal.SIGKILL) == process.returncode, errors
        assert "not saved" not in errors
    output = finish(start(tmp_path))

    assert output.startswith("resumed at epoch ")
    assert undisturbed[1].splitlines() == output.splitlines()[1:]
    assert _checkpoints(undisturbed[0]) == _checkpoints(tmp_path)


def _checkpoints(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.startswith("digits-"))
