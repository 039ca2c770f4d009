"""The example that leaves TensorFlow, from its beginning: what Keras writes today is read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.interop

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_fresh_checkpoint_of_keras_is_read(tf: Any, tmp_path: Path) -> None:
    """Both halves of the example run: accuracy in Keras and in numpy are the same."""
    run("make_tensorflow_checkpoint", f"--directory={tmp_path}", "--epochs=2")

    output = run("read_tensorflow", f"--checkpoint={tmp_path / 'ckpt'}")

    reached, here, _ = [float(number) for number in re.findall(r"0\.\d{4}", output)]
    assert reached == here
    assert "after 90 steps" in output


def run(name: str, *arguments: str) -> str:
    """Run an example and return what it prints."""
    command = [sys.executable, EXAMPLES / f"{name}.py", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
