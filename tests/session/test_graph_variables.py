"""A `Variable` of a graph: an initializer and no value, except in sessions."""

import copy
import pickle

import numpy as np
import pytest

import checkpointable as ckpt


@pytest.fixture
def session():
    """A session of a graph; both are the default."""
    with ckpt.Session(ckpt.Graph()) as session:
        yield session


class TestWithoutASession:
    def test_dtype_shape_and_name_are_known(self):
        """They need no session, and neither does the text for people."""
        with ckpt.Graph().as_default():
            w = ckpt.Variable(np.zeros((2, 3), ">f4"), name="w")
            s = ckpt.Variable(shape=4)
        assert ((2, 3), np.dtype("float32")) == (w.shape, w.dtype)
        assert ((4,), np.dtype("float32")) == (s.shape, s.dtype)
        assert w.dtype.isnative
        assert "<Variable 'w' float32 (2, 3): in a graph>" == repr(w)

    @pytest.mark.parametrize(
        "use",
        [
            lambda w: w.value,
            lambda w: w.numpy(),
            lambda w: w + 1,
            lambda w: 1 - w,
            lambda w: w == 1,
            lambda w: w @ w,
            lambda w: w.__iadd__(1),
            np.sum,
            np.asarray,
            lambda w: np.add(np.zeros(2), w, out=np.zeros(2)),
            lambda w: w[0],
            lambda w: w.__setitem__(0, 1),
            len,
            list,
            float,
            bool,
            lambda w: f"{w:03d}",
            lambda w: w.serialize_to_tensors(),
            ckpt.Variable,
            lambda w: ckpt.Variable([0.0, 0.0]).assign(w),
            lambda w: w.assign(w),
        ],
    )
    def test_using_the_value_raises(self, use):
        """Whatever needs the value at once names `session.run`, inside a session too."""
        graph = ckpt.Graph()
        with graph.as_default():
            w = ckpt.Variable([1.0, 2.0])
        session = ckpt.Session(graph)
        session.run(w.initializer)
        for block in (graph.as_default(), session.as_default()):
            with block, pytest.raises(RuntimeError, match=r"session\.run"):
                use(w)

    def test_whether_it_has_a_value_is_asked_of_a_session(self):
        """Without one the error says what to create."""
        graph = ckpt.Graph()
        with graph.as_default():
            w = ckpt.Variable(1)
        for ask in (lambda: w.initialized, w.storage_array, w.mark_initialized, w.initialize):
            with pytest.raises(RuntimeError, match=r"with Session\(\) as session"):
                ask()
        with ckpt.Session(graph):
            assert not w.initialized
            w.initialize()
            assert w.initialized

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
    def test_it_cannot_be_copied(self, duplicate):
        """A copy would be of no graph, or of the same name."""
        with ckpt.Graph().as_default():
            w = ckpt.Variable(1)
        with pytest.raises(RuntimeError, match="cannot be copied or pickled"):
            duplicate(w)

    def test_eager_variables_have_no_initializer(self):
        """There is nothing to run."""
        with pytest.raises(RuntimeError, match="belongs to no graph"):
            ckpt.Variable(1).initializer

    def test_wrong_arguments_are_refused_and_leave_no_trace(self):
        """As in eager execution, and nothing is recorded."""
        with ckpt.Graph().as_default() as graph:
            for arguments in ({}, {"initial_value": [1], "shape": (2,)}, {"shape": -1}):
                with pytest.raises(ValueError, match="shape"):
                    ckpt.Variable(**arguments)
            with pytest.raises(ckpt.NotCheckpointableError, match="differs between machines"):
                ckpt.Variable(shape=(), dtype=np.longdouble)
        assert ([], []) == (graph.get_operations(), graph.get_collection("variables"))


class TestInitializers:
    def test_an_array_is_copied_when_recorded(self, session):
        """Later changes of the given array do not reach the initial value."""
        given = np.array([1.0, 2.0])
        w = ckpt.Variable(given)
        v = ckpt.Trackable().add_variable("v", dtype=np.float64, initializer=given)
        given[:] = 9
        session.run([w.initializer, v.initializer])
        assert [[1, 2], [1, 2]] == [value.tolist() for value in session.run([w, v])]

    def test_running_again_gives_the_initial_value_again(self, session):
        """The value of a session is never the array of the initializer."""
        w = ckpt.Variable([1, 2])
        session.run([w.initializer, w.assign_add(1)])
        session.run(w.initializer)
        assert [1, 2] == session.run(w).tolist()

    def test_a_callable_is_asked_at_each_run(self, session):
        """Where dtype and shape are given, it is not asked before."""
        calls = []

        def count():
            calls.append(1)
            return len(calls)

        known = ckpt.Variable(count, np.int64, shape=())
        assert [] == calls
        session.run([known.initializer])
        assert 1 == session.run(known)
        session.run([known.initializer])
        assert 2 == session.run(known)
        unknown = ckpt.Variable(count)
        assert np.int64 == unknown.dtype
        assert 3 == len(calls)

    def test_a_callable_that_gives_another_shape_is_refused(self, session):
        """When it is run; the variable has no value then."""
        w = ckpt.Variable(lambda: np.zeros(3), np.float64, shape=2)
        with pytest.raises(ValueError, match=r"the value has the shape \(3,\)"):
            session.run(w.initializer)
        assert not w.initialized

    @pytest.mark.parametrize(
        ("initializer", "expected"),
        [
            (None, [0, 0]),
            ("ones", [1, 1]),
            ([5, 6], [5, 6]),
            (lambda shape, dtype: np.full(shape, 7, dtype), [7, 7]),
        ],
    )
    def test_add_variable_records_its_initializer(self, session, initializer, expected):
        """Of every form; the variable has no value before."""
        model = ckpt.Trackable()
        w = model.add_variable("w", (2,), initializer=initializer)
        assert not w.initialized
        session.run(w.initializer)
        assert expected == session.run(w).tolist()
        assert model.trackable_children()["w"] is w

    def test_a_constant_of_another_kind_is_refused_at_once(self, session):
        """An initial value that can never be assigned is an error where it is given."""
        with pytest.raises(TypeError, match="does not cast"):
            ckpt.Trackable().add_variable("w", dtype=np.int32, initializer=1.5)

    def test_initialize_leaves_a_value_as_it_is(self, session):
        """Only what has no value is initialized."""
        w = ckpt.Variable(1)
        w.initialize()
        session.run(w.assign_add(1))
        w.initialize(session)
        assert 2 == session.run(w)


class TestAssignments:
    def test_they_are_recorded_and_run_later(self, session):
        """Nothing happens before; the operation returns the new value."""
        w = ckpt.Variable([1.0, 2.0], name="w")
        session.run(w.initializer)
        to, plus, minus = w.assign([5, 6]), w.assign_add(1), w.assign_sub([1, 2])
        assert [1, 2] == session.run(w).tolist()
        assert ["w/assign", "w/assign_add", "w/assign_sub"] == [o.name for o in (to, plus, minus)]
        assert [6, 7] == session.run([to, plus])[1].tolist()
        assert [5, 5] == session.run(minus).tolist()

    def test_what_is_returned_is_a_copy(self, session):
        """Changing it does not change the session."""
        w = ckpt.Variable([1.0])
        session.run(w.assign([2]))[0] = 9
        assert [2] == session.run(w).tolist()

    def test_the_operand_is_copied_when_recorded(self, session):
        """Later changes of the given array do not count; a callable is asked at each run."""
        w, given = ckpt.Variable([0.0]), np.array([1.0])
        constant, asked = w.assign(given), w.assign(lambda: given)
        given[:] = 2
        assert ([1], [2]) == (session.run(constant).tolist(), session.run(asked).tolist())

    def test_what_can_never_be_assigned_is_refused_at_once(self, session):
        """Another shape or kind is an error where the assignment is recorded, and records none."""
        w = ckpt.Variable([1, 2])
        before = len(session.graph.get_operations())
        for record, error in (
            (lambda: w.assign([1]), ValueError),
            (lambda: w.assign([1.5, 2]), TypeError),
            (lambda: w.assign_add(0.5), TypeError),
            (lambda: w.assign_sub([1, 2, 3]), ValueError),
        ):
            with pytest.raises(error):
                record()
        assert before == len(session.graph.get_operations())

    def test_python_numbers_fit_as_in_eager_execution(self, session):
        """A Python number is assigned to any dtype that can hold it."""
        w = ckpt.Variable(np.uint8(1))
        assert 255 == session.run(w.assign(255))
        with pytest.raises(TypeError):
            w.assign(256)

    @pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "complex64", "U3", "S2", "M8[s]"])
    def test_every_kind_of_dtype_lives_in_sessions(self, session, dtype):
        """What is assigned is what is read."""
        value = np.array([1, 0]).astype(dtype)
        w = ckpt.Variable(shape=2, dtype=dtype)
        session.run(w.assign(value))
        assert (value.dtype, value.tolist()) == (session.run(w).dtype, session.run(w).tolist())


def test_no_variable_reads_the_storage_of_its_graph():
    """The array that carries dtype and shape has no memory for the items, and takes no values."""
    with ckpt.Graph().as_default():
        w = ckpt.Variable(shape=(1000, 1000), dtype=np.float64)
    assert (0, 0) == w.pattern_array().strides
    assert not w.pattern_array().flags.writeable


def test_eager_variables_may_be_used_while_a_graph_is_built():
    """Those that were made before are read and written as ever."""
    w = ckpt.Variable([1.0])
    with ckpt.Graph().as_default():
        w.assign_add([1])
        assert [2] == w.value.tolist()
