"""The main job: killed at random moments, it ends as if nothing had happened.

Nothing here depends on time: a run is killed at some moment after a randomly chosen save, and
whatever that moment hits (a step, a save, the start), the end must be the same.
"""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
STEPS, SAVE_EVERY = 2_000, 20
SAVES = STEPS // SAVE_EVERY
ROUNDS, KILLS = 2, 3


def start(directory: Path, steps: int = STEPS) -> "subprocess.Popen[str]":
    """Start the example as a user would."""
    return subprocess.Popen(
        [
            sys.executable,
            REPOSITORY / "examples" / "train_digits.py",
            f"--directory={directory}",
            f"--steps={steps}",
            f"--save-every={SAVE_EVERY}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error"},
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for a run that must succeed, and return what it printed."""
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return output


def outcome(output: str) -> list[str]:
    """Return the lines that tell how a run ended: accuracy, step count and hash."""
    return output.splitlines()[-2:]


def saves(directory: Path) -> int:
    """Return how many checkpoints are complete."""
    return len(list(directory.glob("digits-*.index")))


def kill_after(process: "subprocess.Popen[str]", directory: Path, count: int, delay: float) -> None:
    """Kill the run with SIGKILL, a moment after it has completed so many checkpoints."""
    while process.poll() is None and saves(directory) < count:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The directory and outcome of a run that nothing disturbed."""
    directory = tmp_path_factory.mktemp("uninterrupted")
    output = finish(start(directory))
    assert "resumed" not in output
    return directory, outcome(output)


def test_the_network_learns_the_digits(uninterrupted: tuple[Path, list[str]]) -> None:
    """The job does real work: it reads more than nine in ten unseen digits."""
    accuracy_line, hash_line = uninterrupted[1]

    assert float(accuracy_line.split()[1]) > 0.9
    assert re.fullmatch(f"step {STEPS}, sha256 of the weights [0-9a-f]{{64}}", hash_line)


def test_killed_runs_end_bit_identical(
    uninterrupted: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """However often a run is killed, its weights and accuracy end as those of one that was not."""
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    for round_number in range(ROUNDS):
        directory = tmp_path / str(round_number)
        for target in sorted(chance.sample(range(SAVES * 3 // 4), KILLS)):
            delay = chance.uniform(0, 0.03)
            kill_after(start(directory), directory, target, delay)
            print("killed with", saves(directory), "checkpoints complete")

        assert 0 < saves(directory) < SAVES
        output = finish(start(directory))

        resumed = re.match(r"resumed at step (\d+) ", output)
        assert resumed is not None
        assert int(resumed[1]) % SAVE_EVERY == 0
        assert int(resumed[1]) < STEPS
        assert uninterrupted[1] == outcome(output)
        assert saves(directory) == SAVES


def test_a_complete_run_is_not_repeated(uninterrupted: tuple[Path, list[str]]) -> None:
    """The same command again says that all is done, trains no further and saves nothing."""
    directory, expected = uninterrupted

    output = finish(start(directory))

    assert f"resumed at step {STEPS} " in output
    assert "already complete" in output
    assert expected == outcome(output)
    assert saves(directory) == SAVES


def test_a_longer_run_continues(uninterrupted: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Asking for more steps later gives what asking for them at once would have given."""
    finish(start(tmp_path, STEPS // 2))

    assert uninterrupted[1] == outcome(finish(start(tmp_path)))
