"""The adapters that are there from the start."""

from __future__ import annotations

import random
from collections import deque

import numpy as np

from checkpointable.adapters.deques import DequeAdapter
from checkpointable.adapters.generators import GeneratorAdapter, RandomAdapter, RandomStateAdapter
from checkpointable.trackable.registry import register_adapter


def register_standard_adapters() -> None:
    """Register the adapters for types of numpy and of the standard library."""
    register_adapter(np.random.Generator, GeneratorAdapter())
    register_adapter(np.random.RandomState, RandomStateAdapter())
    register_adapter(random.Random, RandomAdapter())
    register_adapter(deque, DequeAdapter())
