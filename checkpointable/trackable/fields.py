"""`tracked`: an attrs field that is state."""

from __future__ import annotations

from typing import Any

import attrs

from checkpointable.trackable.children import TRACKED_FIELD


def tracked(**attrs_field_kwargs: Any) -> Any:
    """Declare a field of an attrs class to be state, whatever it holds.

    Args:
        attrs_field_kwargs: what `attrs.field` takes.

    Returns:
        what `attrs.field` returns.

    Example:
        >>> import attrs
        >>> from checkpointable.trackable.base import Trackable
        >>> @attrs.define
        ... class Schedule(Trackable):
        ...     rate: float = tracked(default=0.1, validator=attrs.validators.gt(0))
        ...     note: str = ""
        >>> dict(Schedule().trackable_children())
        {'rate': 0.1}
    """
    metadata = {**(attrs_field_kwargs.pop("metadata", None) or {}), TRACKED_FIELD: True}
    return attrs.field(**attrs_field_kwargs, metadata=metadata)
