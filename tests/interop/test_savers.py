"""`tf.compat.v1.train.Saver` and ours read each other's checkpoints, variable by variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import checkpointable as ckpt
from tests.interop.mirror import assert_same, assert_same_state, tensors

pytestmark = pytest.mark.interop

KINDS = {
    "version 1": {"write_version": 1},
    "version 1, sharded": {"write_version": 1, "sharded": True},
    "version 2": {},
    "version 2, sharded": {"sharded": True},
}


@attrs.frozen
class Graph:
    """A program of TensorFlow 1 after one step of Adam: the session runs."""

    tf: Any
    session: Any

    def values(self) -> dict[str, Any]:
        """Return the values of all variables by name, parts put together."""
        names: dict[str, list[Any]] = {}
        for variable in self.session.graph.get_collection("variables"):
            info = variable._save_slice_info
            whole = info.full_name if info is not None else variable.op.name
            names.setdefault(whole, []).append(variable)
        return {name: self._whole(parts) for name, parts in names.items()}

    def _whole(self, parts: list[Any]) -> Any:
        values = [np.asarray(value) for value in self.session.run(parts)]
        if len(values) == 1:
            return values[0]
        offsets = [part._save_slice_info.var_offset for part in parts]
        (axis,) = {a for offset in offsets for a, start in enumerate(offset) if start}
        return np.concatenate(values, axis)

    def save(self, path: Path, step: int | None = None, **arguments: Any) -> str:
        """Save all variables with a Saver of TensorFlow's."""
        with self.session.graph.as_default():
            saver = self.tf.compat.v1.train.Saver(**arguments)
            return str(saver.save(self.session, str(path), step))

    def restore(self, path: str) -> None:
        """Restore all variables with a Saver of TensorFlow's."""
        with self.session.graph.as_default():
            self.tf.compat.v1.train.Saver().restore(self.session, path)


def build(tf: Any, seed: int) -> Graph:
    """Build a graph of variables, whole and in parts, on two devices, and run it."""
    v1, random = tf.compat.v1, np.random.default_rng(seed)
    graph = tf.Graph()
    with graph.as_default():
        normal = v1.random_normal_initializer(seed=seed)
        in_parts = v1.fixed_size_partitioner
        with tf.device("/cpu:0"):
            w = v1.get_variable("layer/w", initializer=random.normal(size=(3, 2)))
            rows = v1.get_variable("rows", (10, 3), initializer=normal, partitioner=in_parts(3))
            one = v1.get_variable("one", (2, 2), initializer=normal, partitioner=in_parts(1))
        with tf.device("/cpu:1"):
            columns = v1.get_variable(
                "columns", (2, 7), initializer=normal, partitioner=in_parts(2, axis=1)
            )
            v1.get_variable("step", initializer=np.int64(seed), use_resource=True)
            v1.get_variable("texts", initializer=tf.constant([b"a", bytes([0, 255, seed])]))
            v1.get_variable("flag", initializer=bool(seed % 2))
            for dtype in ("int8", "uint8", "int16", "int32", "complex64", "float16"):
                v1.get_variable(dtype, initializer=random.integers(0, 99, 4).astype(dtype))
        loss = tf.reduce_sum(w**2) + sum(
            tf.cast(tf.reduce_sum(parts.as_tensor() ** 2), w.dtype)
            for parts in (rows, columns, one)
        )
        train = v1.train.AdamOptimizer(0.1).minimize(loss)
        session = v1.Session(config=v1.ConfigProto(device_count={"CPU": 2}))
        session.run(v1.global_variables_initializer())
        session.run(train)
    return Graph(tf, session)


def ours_for(values: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Return live values of ours without content, and the parts of those that are in parts."""
    parts = [
        ckpt.partitioned_variables((10, 3), (2, 1), name="rows"),
        ckpt.partitioned_variables((2, 7), (1, 3), name="columns"),
    ]
    whole = {
        name: np.full(value.shape, b"", object)
        if value.dtype == object
        else ckpt.Variable(np.zeros(value.shape, value.dtype), name=name)
        for name, value in values.items()
        if name not in ("rows", "columns")
    }
    return whole, parts


def ours_saver(live: tuple[dict[str, Any], list[Any]], **arguments: Any) -> ckpt.Saver:
    """Return a Saver of ours for live values."""
    whole, (rows, columns) = live
    return ckpt.Saver({**whole, "rows": rows, "columns": columns}, **arguments)


def content(live: tuple[dict[str, Any], list[Any]]) -> dict[str, Any]:
    """Return what live values of ours hold, by name, parts put together."""
    whole, (rows, columns) = live
    return {
        **{name: np.asarray(value) for name, value in whole.items()},
        "rows": np.concatenate([part.value for part in rows]),
        "columns": np.concatenate([part.value for part in columns], 1),
    }


@pytest.fixture(scope="module")
def program(tf: Any) -> Graph:
    """A program with values to save."""
    return build(tf, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_tensorflows_saver_wrote_is_restored(
    program: Graph, tmp_path: Path, kind: str
) -> None:
    """All variables come back by name, whole and into other parts than they were saved in."""
    path = program.save(tmp_path / "model", 7, **KINDS[kind])
    live = ours_for(program.values())

    ours_saver(live).restore(None, path)

    assert_same_state(program.values(), content(live))
    assert [] == ckpt.verify(path)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_listed_as_tensorflow_lists_them(
    program: Graph, tmp_path: Path, kind: str
) -> None:
    """`list_variables` gives what `tf.train.list_variables` gives, one tensor for all its parts."""
    path = program.save(tmp_path / "model", 7, **KINDS[kind])
    expected = [(name, tuple(shape)) for name, shape in program.tf.train.list_variables(path)]

    assert expected == ckpt.list_variables(path)
    assert expected == ckpt.list_variables(tmp_path)  # by the state file, whose paths are absolute


def test_variables_by_name_restore_objects(program: Graph, tmp_path: Path) -> None:
    """A Checkpoint takes a name-based file of TensorFlow's too, and finds values by name."""
    path = program.save(tmp_path / "model")
    w = ckpt.Variable(np.zeros((3, 2)), name="layer/w")
    step = ckpt.Variable(0, name="step")

    status = ckpt.Checkpoint(w=w, step=step).restore(path).run_restore_ops()

    status.assert_existing_objects_matched()
    assert_same(program.values()["layer/w"], w.value)
    assert 1 == step.value


@pytest.mark.parametrize("sharded", [False, True])
def test_tensorflows_saver_restores_what_ours_wrote(
    program: Graph, tmp_path: Path, sharded: bool
) -> None:
    """A session gets all variables back, those in parts cut otherwise than they were saved."""
    live = ours_for(program.values())
    path = program.save(tmp_path / "theirs")
    ours_saver(live).restore(None, path)
    options = ckpt.SaveOptions(format="tensorflow")
    ours = ours_saver(live, sharded=sharded, options=options).save(None, tmp_path / "ours", 3)
    again = build(program.tf, 2)

    again.restore(ours)

    assert_same_state(program.values(), again.values())
    assert ours == program.tf.train.latest_checkpoint(str(tmp_path))


def test_every_tensor_of_ours_is_read_by_name(program: Graph, tmp_path: Path) -> None:
    """`tf.train.load_checkpoint` gives what our Saver wrote, parts put together."""
    random = np.random.default_rng(3)
    rows = ckpt.partitioned_variables((10, 3), (3, 1), random.random((10, 3)), name="rows")
    w = ckpt.Variable(random.random((3, 2)), name="layer/w")
    options = ckpt.SaveOptions(format="tensorflow")
    path = ckpt.Saver([rows, w], options=options).save(None, tmp_path / "ours")

    found = tensors(program.tf, path)

    assert ["layer/w", "rows"] == sorted(found)
    assert_same(w.value, found["layer/w"])
    assert_same(np.concatenate([part.value for part in rows]), found["rows"])


def test_tensorflow_initializes_from_ours(program: Graph, tmp_path: Path) -> None:
    """`tf.compat.v1.train.init_from_checkpoint` takes an object-based checkpoint of ours."""
    v1 = program.tf.compat.v1
    path = ckpt.Checkpoint(w=ckpt.Variable([1.0, 2.0])).write(
        tmp_path / "ours", format="tensorflow"
    )
    with program.tf.Graph().as_default(), v1.Session() as session:
        variable = v1.get_variable("new", (2,), program.tf.float64)
        v1.train.init_from_checkpoint(path, {"w/.ATTRIBUTES/VARIABLE_VALUE": variable})
        session.run(variable.initializer)

        assert [1.0, 2.0] == session.run(variable).tolist()
