"""`Graph`: names, scopes, devices, collections, operations; and the defaults of each thread."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

import checkpointable as ckpt


def in_another_thread(question: Callable[[], Any]) -> Any:
    """Return what a question gives in a new thread."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(question()))
    thread.start()
    thread.join()
    return answers[0]


class TestDefaults:
    def test_graphs_nest(self):
        """The graph of the innermost block is the default; outside of any there is none."""
        outer, inner = ckpt.Graph(), ckpt.Graph()
        found = [ckpt.get_default_graph()]
        with outer.as_default() as entered:
            found.append(ckpt.get_default_graph())
            with inner.as_default():
                found.append(ckpt.get_default_graph())
            found.append(ckpt.get_default_graph())
        found.append(ckpt.get_default_graph())
        assert [None, outer, inner, outer, None] == found
        assert outer is entered

    def test_an_error_ends_a_block(self):
        """After a block that raised, the default is what it was."""
        with pytest.raises(KeyError), ckpt.Graph().as_default():
            raise KeyError
        assert ckpt.get_default_graph() is None

    def test_blocks_of_generators_may_end_out_of_order(self):
        """A block that ends before one inside of it takes only its own graph away."""

        def held(graph):
            with graph.as_default():
                yield

        first, second = ckpt.Graph(), ckpt.Graph()
        one, two = held(first), held(second)
        next(one)
        next(two)
        one.close()
        assert second is ckpt.get_default_graph()
        two.close()
        assert ckpt.get_default_graph() is None

    def test_threads_have_their_own(self):
        """Neither graph, session, scope nor device of one thread is that of another."""
        graph = ckpt.Graph()
        with ckpt.Session(graph), graph.name_scope("a"), graph.device("d"):
            assert (None, None) == in_another_thread(
                lambda: (ckpt.get_default_graph(), ckpt.get_default_session())
            )

            def name_and_device():
                with graph.as_default():
                    variable = ckpt.Variable(1.0, name="w")
                return variable.name, variable.device

            assert ("w", None) == in_another_thread(name_and_device)
            assert ("a/w", "d") == name_and_device()

    def test_variables_of_another_thread_are_eager(self):
        """A Variable that a thread makes outside of its own blocks has a value."""
        with ckpt.Graph().as_default():
            assert 3.0 == in_another_thread(lambda: ckpt.Variable(3.0).value)


class TestNames:
    def test_names_are_made_unique(self):
        """A name that is taken gets a number, whatever names of that form there are already."""
        with ckpt.Graph().as_default():
            names = [ckpt.Variable(0, name=n).name for n in ("w", "w", "w_2", "w", None, None)]
        assert ["w", "w_1", "w_2", "w_3", "Variable", "Variable_1"] == names

    def test_scopes_nest_and_are_unique(self):
        """A scope is a prefix; opened a second time it is another one, by its prefix the same."""
        graph = ckpt.Graph()
        names = []

        def add():
            with graph.as_default():
                names.append(ckpt.Variable(0, name="w").name)

        with graph.name_scope("a") as scope:
            add()
            with graph.name_scope("b"):
                add()
                with graph.name_scope(""):
                    add()
        with graph.name_scope("a"):
            add()
        with graph.name_scope(scope):
            add()
        add()
        assert ["a/w", "a/b/w", "w", "a_1/w", "a/w_1", "w_1"] == names
        assert "a/" == scope

    def test_eager_names_stay_as_they_are(self):
        """Outside of a graph two Variables may have one name, or none."""
        assert ["w", "w", None] == [ckpt.Variable(0, name=n).name for n in ("w", "w", None)]

    @pytest.mark.parametrize(("name", "error"), [("", ValueError), (3, TypeError)])
    def test_what_is_no_name_is_refused(self, name, error):
        """A name is a text of at least one letter."""
        with pytest.raises(error, match="a name in a graph is"):
            ckpt.Graph().unique_name(name)

    def test_threads_take_different_names(self):
        """Names stay unique when several threads record at the same time."""
        graph = ckpt.Graph()

        def record():
            with graph.as_default():
                for _ in range(50):
                    ckpt.Variable(0, name="w")

        threads = [threading.Thread(target=record) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 200 == len({v.name for v in graph.get_collection("variables")})


class TestRecording:
    def test_variables_collect_themselves(self):
        """All are in "variables", those marked so in "trainable_variables", in their order."""
        graph = ckpt.Graph()
        with graph.as_default():
            a, b = ckpt.Variable(1), ckpt.Variable(2, trainable=False)
        variables = graph.get_collection("variables")
        assert [True, True] == [x is y for x, y in zip(variables, [a, b], strict=True)]
        assert [a is v for v in graph.get_collection("trainable_variables")] == [True]

    def test_collections_are_copied_out(self):
        """What a caller does with a list of a collection does not change it."""
        graph = ckpt.Graph()
        graph.add_to_collection("losses", "a")
        graph.get_collection("losses").append("b")
        assert (["a"], []) == (graph.get_collection("losses"), graph.get_collection("others"))

    def test_devices_are_defaults(self):
        """A Variable takes the device of the innermost block, unless it is given one."""
        graph = ckpt.Graph()
        with graph.as_default(), graph.device("a"):
            outer, given = ckpt.Variable(1), ckpt.Variable(1, device="c")
            with graph.device("b"):
                inner = ckpt.Variable(1)
            with graph.device(None):
                none = ckpt.Variable(1)
        assert ["a", "c", "b", None] == [v.device for v in (outer, given, inner, none)]

    def test_operations_are_listed(self):
        """A variable brings two operations; those of the program come under their own names."""
        graph = ckpt.Graph()
        with graph.as_default():
            ckpt.Variable(1, name="w")
        graph.add_operation("train", lambda session: None)
        names = [operation.name for operation in graph.get_operations()]
        assert ["w/initialize", "w/restore", "train"] == names
        assert "<Operation 'train'>" == repr(graph.get_operations()[-1])

    def test_operations_are_found_by_name(self):
        """With or without the number of their output."""
        graph = ckpt.Graph()
        with graph.as_default(), graph.name_scope("a"):
            w = ckpt.Variable(1, name="w")
        train = graph.add_operation("train", lambda session: None)

        for name in ("train", "train:0"):
            assert graph.get_operation_by_name(name) is train
        assert graph.get_operation_by_name("a/w/initialize") is w.initializer

    def test_an_unknown_operation_is_named_with_the_nearest(self):
        """The error says how many there are, and which was perhaps meant."""
        graph = ckpt.Graph()
        graph.add_operation("save/restore_all", lambda session: None)

        with pytest.raises(ValueError, match=r"'save/restore_al', .* nearest: save/restore_all\."):
            graph.get_operation_by_name("save/restore_al")
        with pytest.raises(ValueError, match=r"of the 1 that it has recorded\. get_operations"):
            graph.get_operation_by_name("zzz")
        with pytest.raises(TypeError, match="a name in a graph is 3"):
            graph.get_operation_by_name(3)

    def test_an_operation_knows_the_line_that_led_to_it(self):
        """It is the innermost line outside of the library, however deep inside it is recorded."""

        def record():
            return ckpt.Trackable().add_variable("v", ()), graph.add_operation("x", print)

        with ckpt.Graph().as_default() as graph:
            variable, operation = record()

        line = record.__code__.co_firstlineno + 1
        assert (__file__, line, record.__qualname__) == operation.created_at
        assert operation.created_at == variable.initializer.created_at
        assert f"{__file__}:{line} in {record.__qualname__}" == str(operation.created_at)

    def test_names_and_collections_can_be_asked_for(self):
        """Whether a name is taken, which collections there are, and the scope."""
        graph = ckpt.Graph()
        assert ([], "") == (graph.get_all_collection_keys(), graph.current_scope)
        with graph.as_default(), graph.name_scope("a"):
            ckpt.Variable(1, name="w")
            assert "a/" == graph.current_scope
        graph.add_to_collection("losses", 1)

        taken = [graph.has_name(name) for name in ("a", "a/w", "a/w/initialize", "w")]
        assert [True, True, True, False] == taken
        assert ["variables", "trainable_variables", "losses"] == graph.get_all_collection_keys()

    def test_a_finalized_graph_takes_nothing_more(self):
        """Variables, operations, assignments, scopes and collections: each raises."""
        graph = ckpt.Graph()
        with graph.as_default():
            w = ckpt.Variable(1)
            graph.finalize()
            model = ckpt.Trackable()
            for add in (
                lambda: ckpt.Variable(2),
                lambda: model.add_variable("v"),
                lambda: w.assign(3),
                lambda: graph.add_operation("x", print),
                lambda: graph.add_to_collection("x", 1),
                graph.name_scope("new").__enter__,
            ):
                with pytest.raises(RuntimeError, match="the graph is finalized"):
                    add()
            assert {} == model.trackable_children()
        assert graph.finalized
        assert 2 == len(graph.get_operations())
