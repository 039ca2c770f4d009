"""Objects of foreign types take part by an adapter (docs/restore.md, R-30; docs/objects.md)."""

from __future__ import annotations

import dataclasses
import gc
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import checkpointable as ckpt
from checkpointable.trackable import registry, waiting
from tests.restore.models import Declared, Node, variable


class Camera:
    """Somebody else's class: a name, gains, and a lens."""

    def __init__(self, gains: Any, name: str = "", lens: Any = None) -> None:
        self.gains, self.name, self.lens = gains, name, lens


class Frozen(NamedTuple):
    """What stands for an immutable object of another framework (it is told by its own type)."""

    gains: Any


class Pixel:
    """An immutable object: whoever wants to change it makes another one."""

    __slots__ = ("color", "weight")

    def __init__(self, color: Any, weight: Any) -> None:
        object.__setattr__(self, "color", color)
        object.__setattr__(self, "weight", weight)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


class CameraAdapter(ckpt.Adapter):
    """Gains are tensors of its own, the lens is a child, the name is a plain child."""

    def __init__(self) -> None:
        self.restored = 0

    def children(self, camera):
        """Return the name and the lens."""
        return {"name": camera.name, "lens": camera.lens}

    def serialize(self, camera):
        """Return the gains, made when asked for."""
        return {"gains": lambda: np.asarray(camera.gains)}

    def restore(self, camera, tensors):
        """Take all back."""
        self.restored += 1
        camera.gains, camera.name, camera.lens = (
            tensors["gains"], tensors["name"], tensors["lens"],
        )  # fmt: skip
        return camera


class PixelAdapter(ckpt.Adapter):
    """Two children; a restore makes another pixel."""

    def children(self, pixel):
        """Return both."""
        return {"color": pixel.color, "weight": pixel.weight}

    def restore(self, _, tensors):
        """Make another one."""
        return Pixel(tensors["color"], tensors["weight"])


@pytest.fixture(autouse=True)
def adapter(monkeypatch) -> Iterator[CameraAdapter]:
    """Register the adapters for one test; nothing waits after it."""
    monkeypatch.setattr(registry, "_adapters", dict(registry._adapters))
    adapter = CameraAdapter()
    ckpt.register_adapter(Camera, adapter)
    ckpt.register_adapter(Pixel, PixelAdapter())
    yield adapter
    gc.collect()
    assert not waiting.anything()


class TestRegistering:
    def test_an_object_without_adapter_is_refused_with_the_remedy(self):
        """By its name, its type, and what could be done."""
        with pytest.raises(ckpt.NotCheckpointableError, match=r"cam is a .*register_adapter\(\)"):
            ckpt.Checkpoint(cam=object())

    def test_subclasses_are_adapted_too(self, tmp_path):
        """By the nearest of their bases that has an adapter."""
        tree = ckpt.load(
            ckpt.Checkpoint(c=type("Mine", (Camera,), {})([1.0])).write(tmp_path / "m")
        )
        assert [1] == tree["c"]["gains"].tolist()

    def test_the_latest_adapter_counts(self, tmp_path):
        """Registering again replaces it."""

        class Other(ckpt.Adapter):
            def children(self, camera):
                return {"other": 5}

        ckpt.register_adapter(Camera, Other())
        assert {"c": {"other": 5}} == ckpt.load(ckpt.Checkpoint(c=Camera(1)).write(tmp_path / "m"))

    @pytest.mark.parametrize("cls", [int, list, dict, object, ckpt.Variable, Node, tuple, set])
    def test_what_needs_no_adapter_can_have_none(self, cls):
        """Trackables, plain values and containers are saved already."""
        with pytest.raises(ValueError, match="needs no adapter"):
            ckpt.register_adapter(cls, PixelAdapter())

    def test_an_adapter_has_three_methods(self):
        """The message names what is missing; and it is for a class."""
        with pytest.raises(TypeError, match="no method children and no serialize and no restore"):
            ckpt.register_adapter(Camera, object())
        with pytest.raises(TypeError, match="expected a class"):
            ckpt.register_adapter("Camera", PixelAdapter())

    def test_a_trackable_is_never_adapted(self, tmp_path):
        """A Trackable that is of an adapted type as well says itself what its state is."""
        cls = type("Both", (ckpt.Trackable, Camera), {"state_attributes": ("name",)})
        tree = ckpt.load(ckpt.Checkpoint(c=cls([1.0], "n")).write(tmp_path / "m"))
        assert {"c": {"name": "n"}} == tree

    @pytest.mark.parametrize("method", ["children", "serialize"])
    def test_an_adapter_that_gives_no_names_is_named(self, tmp_path, method):
        """Something else than a mapping of strings is refused, with the path."""
        wrong = type("Wrong", (ckpt.Adapter,), {method: lambda *_: {1: 2}})
        ckpt.register_adapter(Camera, wrong())
        with pytest.raises(ckpt.NotCheckpointableError, match=rf"c: {method}\(\) of the adapter"):
            ckpt.Checkpoint(m=Node(c=Camera(1))).write(tmp_path / "m")

    @pytest.mark.parametrize("method", ["children", "serialize"])
    def test_what_an_adapter_raises_says_where(self, tmp_path, method):
        """The error itself is passed on, with notes of the adapter and, at a save, the path."""
        camera = Camera([1.0])
        path = ckpt.Checkpoint(m=Node(c=camera)).write(tmp_path / "m")

        class Broken(CameraAdapter):
            pass

        setattr(Broken, method, lambda *_: 1 / 0)
        ckpt.register_adapter(Camera, Broken())
        live = ckpt.Checkpoint(m=Node(c=camera))
        with pytest.raises(ZeroDivisionError) as saving:
            live.write(tmp_path / "next")
        with pytest.raises(ZeroDivisionError) as restoring:
            live.restore(path)
        assert "m/c" in saving.value.__notes__[1]
        for raised in (saving, restoring):
            assert f"in {method}() of the adapter for Camera" == raised.value.__notes__[0]

    def test_an_object_as_a_key_or_in_a_set_is_named(self, tmp_path):
        """Neither can hold objects; the message says which one it is."""
        for value in ({FrozenSettings(1.0): 5}, {FrozenSettings(1.0)}):
            with pytest.raises(
                ckpt.NotCheckpointableError, match=r"FrozenSettings: a set or a key cannot"
            ):
                ckpt.Checkpoint(x=value).write(tmp_path / "m")

    def test_one_name_for_a_child_and_a_tensor_is_refused(self, tmp_path):
        """They would be told apart in the file, but not by `restore`."""
        ckpt.register_adapter(
            Camera,
            type("Wrong", (ckpt.Adapter,), {
                "children": lambda *_: {"a": 1}, "serialize": lambda *_: {"a": np.ones(1)},
            })(),
        )  # fmt: skip
        with pytest.raises(ckpt.NotCheckpointableError, match="m/c has a child and an array"):
            ckpt.Checkpoint(m=Node(c=Camera(1))).write(tmp_path / "m")


class TestChildren:
    def test_an_attribute_of_an_adapted_type_is_a_child(self, tmp_path):
        """It needs no declaration, nor does a container that holds one."""
        node = Node(c=Camera([1.0]), cs=[Camera([2.0], lens=variable(3)), 5])
        path = ckpt.Checkpoint(m=node).write(tmp_path / "m")
        assert {"m/c/.ATTRIBUTES/gains", "m/cs/0/.ATTRIBUTES/gains"} < {
            key for key, _ in ckpt.list_variables(path)
        }
        assert 5 == ckpt.load(path)["m"]["cs"][1]

    def test_the_view_shows_its_children(self):
        """As the adapter gives them."""
        camera = Camera([1.0], "n", variable(1))
        view = ckpt.TrackableView(Node(c=camera))
        assert {"name": "n", "lens": camera.lens} == view.children(camera)
        assert any(obj is camera for obj in view.descendants())

    def test_callables_are_called_once_per_save(self, tmp_path):
        """And never by a restore."""
        calls = []

        class Counting(CameraAdapter):
            def serialize(self, camera):
                return {"gains": lambda: calls.append(1) or np.ones(1)}

        ckpt.register_adapter(Camera, Counting())
        live = ckpt.Checkpoint(c=Camera(0))
        path = live.write(tmp_path / "m")
        live.restore(path).assert_consumed()
        assert [1] == calls


class TestRestoring:
    def test_tensors_and_children_come_back(self, tmp_path, adapter):
        """Tensors, plain children, and Trackables in place; the adapter is asked once (R-30)."""
        saved = Camera([1.0, 2.0], "left", Node(w=variable(3)))
        path = ckpt.Checkpoint(m=Node(c=saved)).write(tmp_path / "m")
        live = Camera([0.0, 0.0], "", Node(w=variable(0)))
        lens = live.lens
        status = ckpt.Checkpoint(m=Node(c=live)).restore(path).assert_consumed()
        assert ([1, 2], "left", 3) == (live.gains.tolist(), live.name, live.lens.w[0])
        assert live.lens is lens
        assert 1 == adapter.restored
        assert {"m/c", "m/c/name", "m/c/lens/w"} == {e.path for e in status.report().restored}

    def test_another_object_takes_its_place_in_every_owner(self, tmp_path):
        """Attributes, lists, tuples, dicts, dataclasses: all lead to one new object."""
        saved = Pixel(np.ones(2), 5)

        def owners(pixel):
            return ckpt.Checkpoint(
                a=Declared(x=pixel), b=[pixel, 1], c=(pixel, variable(1)), d={"k": ((pixel,),)},
                e=Holder(pixel),
            )  # fmt: skip

        @dataclasses.dataclass(frozen=True)
        class Holder:
            pixel: Any

        path = owners(saved).write(tmp_path / "m")
        old = Pixel(np.zeros(2), 0)
        live = owners(old)
        live.restore(path).assert_consumed()
        new = live.a.x
        assert (new.color.tolist(), new.weight) == ([1, 1], 5)
        assert new is not old
        assert new is live.b[0] is live.c[0] is live.d["k"][0][0] is live.e.pixel

    def test_immutable_objects_within_each_other(self, tmp_path):
        """Inner ones are made first."""
        path = ckpt.Checkpoint(p=Pixel(Pixel(1, Pixel(2, 3)), 4)).write(tmp_path / "m")
        live = ckpt.Checkpoint(p=Pixel(Pixel(0, Pixel(0, 0)), 0))
        live.restore(path).assert_consumed()
        p = live.p
        assert (1, 2, 3, 4) == (
            p.color.color, p.color.weight.color, p.color.weight.weight, p.weight,
        )  # fmt: skip

    def test_another_object_takes_its_place_within_other_foreign_objects(self, tmp_path):
        """However deep they hold it, and whoever else holds it nearer to the root."""

        def owners(pixel):
            return ckpt.Checkpoint(
                near=pixel, queue=deque([pixel, (pixel,), deque([[pixel]])]), pixel=Pixel(pixel, 0)
            )

        path = owners(Pixel(1, 2)).write(tmp_path / "m")
        live = owners(Pixel(0, 0))
        live.restore(path).assert_consumed()
        queue = live.queue
        assert 1 == live.near.color
        assert live.near is queue[0] is queue[1][0] is queue[2][0][0] is live.pixel.color

    def test_many_shared_objects_in_one_tuple(self, tmp_path):
        """The tuple around them is made once all of them are known."""

        def owners(number):
            pixels = [Pixel(number, i) for i in range(300)]
            return ckpt.Checkpoint(
                all=((tuple(pixels),),), **{f"p{i}": pixel for i, pixel in enumerate(pixels)}
            )

        path = owners(1).write(tmp_path / "m")
        live = owners(0)
        live.restore(path).assert_consumed()
        assert all(pixel is getattr(live, f"p{i}") for i, pixel in enumerate(live.all[0][0]))

    def test_objects_in_a_circle(self, tmp_path):
        """It may be closed by what stays the same; else it is refused, with the remedy."""

        def mixed(number):
            settings = Settings(number)
            settings.layer = Pixel(number, [settings])
            return settings

        path = ckpt.Checkpoint(s=mixed(1)).write(tmp_path / "mixed")
        live = ckpt.Checkpoint(s=mixed(0))
        live.restore(path).assert_consumed()
        assert 1 == live.s.layer.color
        assert live.s is live.s.layer.weight[0]

        class Renewing(CameraAdapter):
            def restore(self, camera, tensors):
                return Camera(tensors["gains"], tensors["name"], tensors["lens"])

        def circle(gain):
            first = Camera([gain])
            first.lens = Camera([gain], lens=first)
            return first

        ckpt.register_adapter(Camera, Renewing())
        path = ckpt.Checkpoint(c=circle(1.0)).write(tmp_path / "circle")
        with pytest.raises(ckpt.IncompatibleCheckpointError, match=r"circle\. Let restore\(\)"):
            ckpt.Checkpoint(c=circle(0.0)).restore(path)

    def test_an_adapted_namedtuple(self, tmp_path):
        """Its adapter is asked, though a tuple could be made without it."""

        class FrozenAdapter(ckpt.Adapter):
            def children(self, frozen):
                return {"inner": [frozen.gains]}

            def restore(self, _, tensors):
                return Frozen(tensors["inner"][0])

        ckpt.register_adapter(Frozen, FrozenAdapter())
        path = ckpt.Checkpoint(f=(Frozen(Frozen(5)),)).write(tmp_path / "m")
        live = ckpt.Checkpoint(f=(Frozen(Frozen(0)),))
        live.restore(path).assert_consumed()
        assert (Frozen(Frozen(5)),) == live.f

    def test_two_stored_objects_and_one_live_one(self, tmp_path):
        """The first wins, and all that both hold finds its place (R-6)."""
        path = ckpt.Checkpoint(a=deque([1, [2]]), b=deque([1, [2]])).write(tmp_path / "m")
        live = deque([0, [0]])
        ckpt.Checkpoint(a=live, b=live).restore(path).assert_consumed()
        assert [1, [2]] == list(live)

    @pytest.mark.parametrize(
        "make", [np.random.default_rng, lambda n: Camera([n])], ids=["generator", "camera"]
    )
    def test_an_object_that_comes_to_a_second_owner_is_left_alone(self, tmp_path, make):
        """It was restored when it came to the first, and may have changed since (R-12)."""
        shared = make(1)
        path = ckpt.Checkpoint(a=Declared(x=shared), b=Declared(x=shared)).write(tmp_path / "m")
        live, used = make(2), []
        holder = ckpt.Checkpoint(a=Declared(x=live))
        status = holder.restore(path)
        if isinstance(live, Camera):
            live.gains = used = [9]
        else:
            live.random()
            used = live.bit_generator.state
        holder.b = Declared(x=live)
        assert used == (live.gains if isinstance(live, Camera) else live.bit_generator.state)
        status.assert_consumed()

    def test_what_was_replaced_is_another_object_when_it_comes_again(self, tmp_path):
        """The report lists the two as split (R-5)."""
        shared = Pixel(1, 2)
        path = ckpt.Checkpoint(a=Declared(x=shared), b=Declared(x=shared)).write(tmp_path / "m")
        live = Pixel(0, 0)
        holder = ckpt.Checkpoint(a=Declared(x=live))
        status = holder.restore(path)
        holder.b = Declared(x=live)
        assert (1, 1) == (holder.a.x.color, holder.b.x.color)
        assert ["b/x"] == [entry.path for entry in status.report().split]

    def test_it_waits_for_the_object(self, tmp_path):
        """What is assigned where it waits is restored there, or replaced."""
        path = ckpt.Checkpoint(m=Node(c=Camera([1.0], "left"), p=Pixel(1, 2))).write(tmp_path / "m")
        live = Node()
        status = ckpt.Checkpoint(m=live).restore(path)
        assert {"m/c/name", "m/p/color"} < {entry.path for entry in status.report().pending}
        live.c, live.p = Camera([0.0]), Pixel(0, 0)
        assert ("left", 1, 2) == (live.c.name, live.p.color, live.p.weight)
        status.assert_consumed()

    def test_a_child_that_comes_later(self, tmp_path):
        """An object that an adapter begins to show is noticed at the next chance."""
        path = ckpt.Checkpoint(m=Node(c=Camera([1.0], "", variable(3)))).write(tmp_path / "m")
        camera = Camera([0.0])
        status = ckpt.Checkpoint(m=Node(c=camera)).restore(path)
        camera.lens = variable(0)
        assert 3 == camera.lens[0]
        status.assert_consumed()

    @pytest.mark.parametrize("make", [list, deque, lambda items: dict(enumerate(items))])
    def test_many_objects_that_come_at_once(self, tmp_path, make):
        """They are given their values one after the other, not one within the other."""
        saved = make(Settings(i) for i in range(500))
        path = ckpt.Checkpoint(m=Declared(x=saved)).write(tmp_path / "m")
        live = make(())
        status = ckpt.Checkpoint(m=Declared(x=live)).restore(path)
        if isinstance(live, dict):
            live.update((i, Settings(0)) for i in range(500))
        else:
            live.extend(Settings(0) for _ in range(500))
        status.assert_consumed()
        items = live.values() if isinstance(live, dict) else live
        assert list(range(500)) == [settings.rate for settings in items]

    def test_an_adapter_that_returns_nothing_is_refused(self, tmp_path):
        """A forgotten return does not put None in the place of the object."""

        class Forgetful(CameraAdapter):
            def restore(self, camera, tensors):
                super().restore(camera, tensors)

        ckpt.register_adapter(Camera, Forgetful())
        path = ckpt.Checkpoint(c=Camera([1.0])).write(tmp_path / "m")
        live = ckpt.Checkpoint(c=Camera([0.0]))
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="Camera returned None"):
            live.restore(path)
        assert isinstance(live.c, Camera)

    def test_the_latest_restore_wins(self, tmp_path):
        """An older restore counts as matched and gives nothing."""
        paths = [
            ckpt.Checkpoint(m=Node(c=Camera([n], str(n)))).write(tmp_path / str(n))
            for n in (1.0, 2.0)
        ]
        live = Node()
        holder = ckpt.Checkpoint(m=live)
        statuses = [holder.restore(path) for path in paths]
        live.c = Camera([0.0])
        assert ([2], "2.0") == (live.c.gains.tolist(), live.c.name)
        for status in statuses:
            status.assert_consumed()

    def test_a_missing_tensor_is_reported(self, tmp_path):
        """The object keeps what it has."""
        path = ckpt.Checkpoint(c=ckpt.Checkpoint(name="n", lens=None)).write(tmp_path / "m")
        live = Camera([0.0])
        status = ckpt.Checkpoint(c=live).restore(path)
        assert [0] == live.gains
        (missing,) = status.report().missing
        assert ("c", "the checkpoint holds no gains for this object") == (
            missing.path,
            missing.reason,
        )

    def test_an_adapter_that_refuses_is_named(self, tmp_path):
        """What the others accept is assigned; the error has the path and the cause."""
        saved = ckpt.Checkpoint(c=Camera([1.0], "left"), n=1)
        path = saved.write(tmp_path / "m")

        class Refusing(CameraAdapter):
            def restore(self, camera, tensors):
                raise ValueError("no film")

        ckpt.register_adapter(Camera, Refusing())
        live = ckpt.Checkpoint(c=Camera([0.0]), n=0)
        with pytest.raises(
            ckpt.IncompatibleCheckpointError, match=r"c: .*ValueError: no film"
        ) as e:
            live.restore(path)
        assert ["n"] == [entry.path for entry in e.value.report.restored]
        assert ([0], "", 1) == (live.c.gains, live.c.name, live.n)

    def test_only_and_skip_reach_into_it(self, tmp_path, adapter):
        """Children have paths; tensors of its own have that of the object."""
        path = ckpt.Checkpoint(c=Camera([1.0], "left", variable(3))).write(tmp_path / "m")
        live = Camera([0.0], "", variable(0))
        ckpt.Checkpoint(c=live).restore(path, only="c/lens").assert_consumed()
        assert ([0], "", 3) == (live.gains, live.name, live.lens[0])
        assert 0 == adapter.restored
        ckpt.Checkpoint(c=live).restore(path, skip="c/name").assert_consumed()
        assert ([1], "") == (live.gains.tolist(), live.name)

    def test_one_stored_object_in_two_live_ones_is_split(self, tmp_path):
        """Both get the values; assert_consumed raises."""
        shared = Camera([1.0], "left")
        path = ckpt.Checkpoint(a=shared, b=shared).write(tmp_path / "m")
        live = ckpt.Checkpoint(a=Camera([0.0]), b=Camera([0.0]))
        status = live.restore(path)
        assert ("left", "left") == (live.a.name, live.b.name)
        with pytest.raises(ckpt.UnmatchedError, match="more than one object"):
            status.assert_consumed()

    def test_an_adapted_object_as_root(self, tmp_path):
        """Its children are those of the root; another object cannot take the root's place."""
        path = ckpt.Checkpoint(Camera([1.0], "left", variable(3)), step=4).write(tmp_path / "m")
        assert {".ATTRIBUTES/gains", "lens/.ATTRIBUTES/VARIABLE_VALUE"} == {
            key.lstrip("/") for key, _ in ckpt.list_variables(path)
        }
        live = Camera([0.0], "", variable(0))
        checkpoint = ckpt.Checkpoint(live, step=0)
        checkpoint.restore(path).assert_consumed()
        assert ([1], "left", 3, 4) == (
            live.gains.tolist(),
            live.name,
            live.lens[0],
            checkpoint.step,
        )
        path = ckpt.Checkpoint(Pixel(1, 2)).write(tmp_path / "pixel")
        with pytest.raises(ckpt.IncompatibleCheckpointError, match="root of a Checkpoint"):
            ckpt.Checkpoint(Pixel(0, 0)).restore(path)


@dataclasses.dataclass
class Settings:
    rate: float
    weights: Any = None
    layer: Any = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class FrozenSettings:
    rate: float
    inner: Any = None


@dataclasses.dataclass(slots=True, eq=True)
class SlotSettings:
    rate: float
    inner: Any = None


class TestDataclasses:
    @pytest.mark.parametrize("cls", [Settings, FrozenSettings, SlotSettings])
    def test_every_field_is_state(self, tmp_path, cls):
        """With slots and frozen too; the object stays the same."""
        path = ckpt.Checkpoint(s=cls(0.5, cls(0.25))).write(tmp_path / "m")
        live = cls(0.0, cls(0.0))
        inner = vars(live).get("inner", live) if hasattr(live, "__dict__") else live.inner
        holder = ckpt.Checkpoint(s=live)
        holder.restore(path).assert_consumed()
        assert holder.s is live
        assert 0.5 == live.rate
        assert 0.25 == (live.weights if cls is Settings else live.inner).rate
        assert inner is not None

    def test_arrays_and_objects_in_fields_are_restored_in_place(self, tmp_path):
        """As they are in a Trackable."""
        path = ckpt.Checkpoint(s=Settings(1.0, np.ones(2), Node(w=variable(3)), "n")).write(
            tmp_path / "m"
        )
        array, layer = np.zeros(2), Node(w=variable(0))
        live = Settings(0.0, array, layer)
        ckpt.Checkpoint(s=live).restore(path).assert_consumed()
        assert array is live.weights
        assert layer is live.layer
        assert ([1, 1], 3, "n") == (array.tolist(), layer.w[0], live.note)

    def test_it_is_state_only_where_declared(self, tmp_path):
        """Undeclared it may be a setting as likely: it is listed as untracked."""
        node = Node(settings=Settings(0.5))
        assert {} == ckpt.load(ckpt.Checkpoint(m=node).write(tmp_path / "m"))["m"]
        assert ["settings"] == [entry.path for entry in ckpt.TrackableView(node).untracked()]
        declared = Declared(x=Settings(0.5))
        tree = ckpt.load(ckpt.Checkpoint(m=declared).write(tmp_path / "m"))
        assert 0.5 == tree["m"]["x"]["rate"]

    def test_in_declared_containers(self, tmp_path):
        """A list of dataclasses is matched item by item."""
        path = ckpt.Checkpoint(s=[Settings(1.0), {"k": Settings(2.0)}]).write(tmp_path / "m")
        live = ckpt.Checkpoint(s=[Settings(0.0), {"k": Settings(0.0)}])
        live.restore(path).assert_consumed()
        assert (1.0, 2.0) == (live.s[0].rate, live.s[1]["k"].rate)

    def test_a_dict_becomes_a_dataclass_and_back(self, tmp_path):
        """Names decide, not types: fields and keys of one name belong together."""
        path = ckpt.Checkpoint(s={"rate": 0.5, "note": "n"}).write(tmp_path / "d")
        live = ckpt.Checkpoint(s=Settings(0.0))
        live.restore(path)
        assert (0.5, "n") == (live.s.rate, live.s.note)
        path = live.write(tmp_path / "s")
        again = ckpt.Checkpoint(s={"rate": 0.0, "note": ""})
        again.restore(path)
        assert {"rate": 0.5, "note": "n"} == again.s

    def test_what_cannot_be_saved_is_refused_with_its_path(self, tmp_path):
        """The field is named."""
        with pytest.raises(ckpt.NotCheckpointableError, match="s/layer is a builtin"):
            ckpt.Checkpoint(s=Settings(1.0, layer=print)).write(tmp_path / "m")

    def test_a_field_without_a_value_waits_for_one(self, tmp_path):
        """An unset field is no child; what is stored for it waits."""
        path = ckpt.Checkpoint(s=Settings(1.0, layer=variable(3))).write(tmp_path / "m")
        live = Settings(0.0, layer=variable(0))
        del live.layer
        del Settings.layer  # the default of the class
        try:
            status = ckpt.Checkpoint(s=live).restore(path)
            assert ["s/layer"] == [entry.path for entry in status.report().pending]
            live.layer = variable(0)
            status.assert_consumed()
            assert 3 == live.layer[0]
        finally:
            Settings.layer = None
