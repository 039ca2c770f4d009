"""The short examples run, and their state is what they say it is."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import checkpointable as ckpt

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str) -> str:
    """Run an example as a user would, warnings as errors, and return what it prints."""
    environment = {
        **os.environ, "PYTHONPATH": str(EXAMPLES.parent), "PYTHONWARNINGS": "error",
    }  # fmt: skip
    command = [sys.executable, EXAMPLES / f"{name}.py"]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_old_checkpoints_load_after_a_refactoring():
    """The first generation's checkpoint is read in full, and nothing but names has changed."""
    output = run("refactoring")
    assert output.startswith("the first generation's checkpoint is read in full\n")
    assert "5 moved\n" in output
    assert "kernel float64 (4, 8), was model/hidden/w" in output


def test_optimizers_resume_exactly():
    """Interrupted runs end as if nothing had happened."""
    output = run("optimizers")
    assert "x/.OPTIMIZER_SLOT/optimizer/momentum/.ATTRIBUTES/VARIABLE_VALUE" in output
    assert 2 == output.count("bit for bit the same")


def by_hand(steps: int) -> Any:
    """Adam on x^2, written out for one number."""
    x, m, v = 1.0, 0.0, 0.0
    for step in range(1, steps + 1):
        gradient = 2 * x
        m, v = 0.9 * m + (1 - 0.9) * gradient, 0.999 * v + (1 - 0.999) * gradient**2
        rate = 0.1 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        x -= rate * m / (v**0.5 + 1e-7)
    return x, m, v


@pytest.mark.parametrize("interrupted_at", [0, 1, 7])
def test_adam_goes_on_from_any_step(tmp_path, interrupted_at):
    """Value and moments are those of the formula, wherever the run was interrupted."""
    adam = example("optimizers").Adam

    def descend(checkpoint: Any, steps: int) -> None:
        for _ in range(steps):
            checkpoint.optimizer.apply([checkpoint.x], [2 * checkpoint.x.value])

    first = ckpt.Checkpoint(x=ckpt.Variable(1.0), optimizer=adam(0.1))
    descend(first, interrupted_at)
    path = first.save(tmp_path / "ckpt")
    second = ckpt.Checkpoint(optimizer=adam(0.1))
    status = second.restore(path)
    second.x = ckpt.Variable(0.0)
    status.assert_consumed()
    descend(second, 10 - interrupted_at)
    slots = [second.optimizer.get_slot(second.x, name).value for name in ("m", "v")]
    np.testing.assert_allclose([second.x.value, *slots], by_hand(10), rtol=1e-12)
    assert 10 == second.optimizer.step


def test_a_model_goes_on_without_tensorflow():
    """What Keras saved is restored in full, predicts the same, and is trained on."""
    output = run("read_tensorflow")
    reached, here, later = [float(number) for number in re.findall(r"0\.\d{4}", output)]
    assert "digits_from_keras/ckpt: 15 restored, 1 cast\n" in output
    assert reached == here
    assert later > here > 0.9
