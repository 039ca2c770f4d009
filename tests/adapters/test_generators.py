"""Random generators go on with the very same stream (docs/objects.md, O-34)."""

from __future__ import annotations

import random
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import checkpointable as ckpt

BIT_GENERATORS = [
    np.random.PCG64,
    np.random.PCG64DXSM,
    np.random.MT19937,
    np.random.Philox,
    np.random.SFC64,
]


class Sampler(ckpt.Trackable):
    """It declares nothing: a generator is state by its type."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def draw(self) -> list[Any]:
        """Draw numbers of several kinds, some of which leave half-used words behind."""
        generator: Any = self._generator
        if isinstance(generator, random.Random):
            return [generator.random(), generator.gauss(0, 1), generator.getrandbits(70)]
        floats = generator.normal(size=3), generator.standard_gamma(2.0)
        if isinstance(generator, np.random.RandomState):
            return [*floats[0], floats[1], generator.randint(0, 9)]
        return [*floats[0], floats[1], *generator.integers(0, 9, 3, np.uint8), generator.random()]


MAKERS = {
    **{b.__name__: (lambda s, b=b: np.random.Generator(b(s))) for b in BIT_GENERATORS},
    **{
        f"RandomState {b.__name__}": (lambda s, b=b: np.random.RandomState(b(s)))
        for b in BIT_GENERATORS
    },
    "random.Random": random.Random,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(draws=st.integers(0, 3), seed=st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_a_restored_generator_goes_on_with_the_stream(tmp_path_factory, make, draws, seed):
    """After any number of draws, and into a generator of any other seed, in place."""
    saved, live = Sampler(make(seed)), Sampler(make(seed + 1))
    for _ in range(draws):
        saved.draw()
    path = tmp_path_factory.mktemp("stream") / "m"
    ckpt.Checkpoint(sampler=saved).write(path, durable=False)
    expected = [saved.draw() for _ in range(3)]
    live.draw()
    generator = live._generator
    ckpt.Checkpoint(sampler=live).restore(path).assert_consumed()
    assert generator is live._generator
    assert expected == [live.draw() for _ in range(3)]


@pytest.mark.parametrize("of", [np.random.Generator, np.random.RandomState])
def test_a_generator_of_another_kind_is_replaced_in_all_its_owners(tmp_path, of):
    """Attributes, tuples and containers all hold one new generator, of the stored kind."""
    saved = of(np.random.Philox(1))
    path = ckpt.Checkpoint(a=Sampler(saved), pair=(saved, 1), by_name={"g": saved}).write(
        tmp_path / "m"
    )
    other = of(np.random.PCG64(2))
    live = ckpt.Checkpoint(a=Sampler(other), pair=(other, 0), by_name={"g": other})
    live.restore(path).assert_consumed()
    assert saved.normal(size=5).tolist() == live.a._generator.normal(size=5).tolist()
    assert live.a._generator is live.pair[0] is live.by_name["g"] is not other
    assert 1 == live.pair[1]


def test_a_kind_that_numpy_does_not_know_is_refused(tmp_path):
    """A checkpoint cannot name a class; nothing else is lost."""
    path = ckpt.Checkpoint(g=np.random.default_rng(1), n=1).write(tmp_path / "m")
    state = np.random.default_rng(1).bit_generator.state
    strange = ckpt.Checkpoint(g=ckpt.Checkpoint(state={**state, "bit_generator": "os.system"}))
    path = strange.write(tmp_path / "strange")
    generator = np.random.default_rng(3)
    before = generator.bit_generator.state
    with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"g: .*'os.system'"):
        ckpt.Checkpoint(g=generator).restore(path)
    assert before == generator.bit_generator.state


@pytest.mark.parametrize("state", [None, 5, {}, {"bit_generator": "PCG64"}, [1, 2]], ids=repr)
def test_a_state_that_is_none_is_refused(tmp_path, state):
    """Whatever stands in the checkpoint, the error names the generator."""
    path = ckpt.Checkpoint(g=ckpt.Checkpoint(state=state)).write(tmp_path / "m")
    for generator in (np.random.default_rng(1), random.Random(1), np.random.RandomState(1)):
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="g: the object refused"):
            ckpt.Checkpoint(g=generator).restore(path)


def test_the_generator_of_the_operating_system_has_no_state(tmp_path):
    """It is passed over without an error."""
    path = ckpt.Checkpoint(g=random.SystemRandom(), n=1).write(tmp_path / "m")
    live = ckpt.Checkpoint(g=random.SystemRandom(), n=0)
    live.restore(path).assert_consumed()
    assert 1 == live.n


def test_the_state_is_plain_to_see(tmp_path):
    """`load` shows it as numpy and Python do."""
    generator, dice = np.random.default_rng(1), random.Random(2)
    tree = ckpt.load(ckpt.Checkpoint(g=generator, d=dice).write(tmp_path / "m"))
    assert generator.bit_generator.state == tree["g"]["state"]
    assert dice.getstate() == tree["d"]["state"]
