"""`SaverDef`: a `Saver` written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, final

import attrs

_VERSIONS: Final = (0, 1, 2)


def _check_version(_saver_def: SaverDef, _field: attrs.Attribute[int], version: Any) -> None:
    """Refuse a version that there is not."""
    if version not in _VERSIONS:
        raise ValueError(
            f"the version, which is the write_version of a Saver, is {version!r}, expected 0 or 1,"
            " which write one file, or 2, which writes an index and shards"
        )


@final
@attrs.frozen
class SaverDef:
    """A `Saver` written down: how it writes, what it keeps, and its operations in a graph.

    Attributes:
        filename_tensor_name: names the prefix that the operations use when they are run by name.
        save_tensor_name: names the operation that saves.
        restore_op_name: names the operation that restores.
        max_to_keep: how many recent checkpoints are kept; 0: all.
        sharded: whether there is one shard for each device.
        keep_checkpoint_every_n_hours: one checkpoint is kept for so many hours.
        version: `SaverDef.V1` writes one file, `SaverDef.V2` an index and shards; `LEGACY` is V1.
    """

    LEGACY: ClassVar[int] = 0
    V1: ClassVar[int] = 1
    V2: ClassVar[int] = 2

    filename_tensor_name: str = ""
    save_tensor_name: str = ""
    restore_op_name: str = ""
    max_to_keep: int = 5
    sharded: bool = False
    keep_checkpoint_every_n_hours: float = 10000.0
    version: int = attrs.field(default=2, validator=_check_version)

    def within(self, scope: str | None) -> SaverDef:
        """Return it as it is once its graph was imported into a name scope."""
        if not scope:
            return self
        return self._renamed(lambda name: name and f"{scope.rstrip('/')}/{name}")

    def outside(self, scope: str | None) -> SaverDef | None:
        """Return it without a name scope in its names; `None` if one of them is not in there."""
        if not scope:
            return self
        prefix = f"{scope.rstrip('/')}/"
        if not all(name.startswith(prefix) for name in self.operation_names):
            return None
        return self._renamed(lambda name: name.removeprefix(prefix))

    @property
    def operation_names(self) -> tuple[str, str, str]:
        """The names of its operations: empty texts in eager execution."""
        return self.filename_tensor_name, self.save_tensor_name, self.restore_op_name

    def _renamed(self, change: Callable[[str], str]) -> SaverDef:
        return attrs.evolve(
            self,
            filename_tensor_name=change(self.filename_tensor_name),
            save_tensor_name=change(self.save_tensor_name),
            restore_op_name=change(self.restore_op_name),
        )
