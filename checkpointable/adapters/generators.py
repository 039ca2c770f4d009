"""Random generators: a restored one goes on with the very same stream.

The state is kept as plain values. A generator of another kind than the stored one is replaced by
one of that kind, found in the closed table below: a file cannot name code.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final, final

import numpy as np

from checkpointable.trackable.registry import Adapter

_BIT_GENERATORS: Final = {
    kind.__name__: kind
    for kind in (
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.MT19937,
        np.random.Philox,
        np.random.SFC64,
    )
}


@final
class GeneratorAdapter(Adapter):
    """`numpy.random.Generator` over any bit generator."""

    def children(self, generator: np.random.Generator) -> Mapping[str, object]:
        """Return the state of the bit generator."""
        return {"state": _plain(generator.bit_generator.state)}

    def restore(
        self, generator: np.random.Generator, tensors: Mapping[str, Any]
    ) -> np.random.Generator:
        """Go on from a saved state."""
        state = tensors["state"]
        if generator.bit_generator.state["bit_generator"] != state["bit_generator"]:
            generator = np.random.Generator(_bit_generator(state))
        generator.bit_generator.state = state
        return generator


@final
class RandomStateAdapter(Adapter):
    """`numpy.random.RandomState`, the generator of numpy before 1.17."""

    def children(self, generator: np.random.RandomState) -> Mapping[str, object]:
        """Return its state."""
        return {"state": _plain(generator.get_state(legacy=False))}

    def restore(
        self, generator: np.random.RandomState, tensors: Mapping[str, Any]
    ) -> np.random.RandomState:
        """Go on from a saved state."""
        state = tensors["state"]
        live: Any = generator.get_state(legacy=False)
        if live["bit_generator"] != state["bit_generator"]:
            generator = np.random.RandomState(_bit_generator(state))
        generator.set_state(state)
        return generator


@final
class RandomAdapter(Adapter):
    """`random.Random` of the standard library."""

    def children(self, generator: random.Random) -> Mapping[str, object]:
        """Return its state; the generator of the operating system has none."""
        is_stateless = isinstance(generator, random.SystemRandom)
        return {} if is_stateless else {"state": generator.getstate()}

    def restore(self, generator: random.Random, tensors: Mapping[str, Any]) -> random.Random:
        """Go on from a saved state."""
        generator.setstate(tensors["state"])
        return generator


def _plain(state: Any) -> Any:
    """Return a state with lists and ints in place of arrays and numpy scalars."""
    if isinstance(state, Mapping):
        return {name: _plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state


def _bit_generator(state: Mapping[str, Any]) -> np.random.BitGenerator:
    """Return a new bit generator of the kind that a state is of."""
    kind = _BIT_GENERATORS.get(state["bit_generator"])
    if kind is None:
        raise ValueError(
            f"the state is of a {state['bit_generator']!r}, expected one of"
            f" {', '.join(_BIT_GENERATORS)}, or a generator of that kind in the program"
        )
    return kind()
