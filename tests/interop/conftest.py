"""The real TensorFlow, for tests that ask for it; where it is not installed they are skipped."""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import Any

import pytest

#: Warnings that are raised in these are not ours.
_FOREIGN = r"(tensorflow|keras|google|h5py|numpy|absl|ml_dtypes|optree|ast|inspect)\b"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let what TensorFlow itself warns of fail nobody."""
    if "tf" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.filterwarnings(f"ignore:::{_FOREIGN}"))


@pytest.fixture(scope="session")
def tf() -> Any:
    """The package tensorflow, on the CPU."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs the real TensorFlow: python -m pip install -e '.[interop]'")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(action="ignore"):
        import tensorflow

        tensorflow.get_logger().setLevel("ERROR")
        tensorflow.keras.utils.disable_interactive_logging()
    return tensorflow
