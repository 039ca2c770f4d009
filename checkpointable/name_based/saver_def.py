"""`SaverDef`: a `Saver` written down."""

from __future__ import annotations

from typing import ClassVar, Final, final

import attrs

_VERSIONS: Final = (0, 1, 2)


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
    version: int = attrs.field(default=2, validator=attrs.validators.in_(_VERSIONS))
