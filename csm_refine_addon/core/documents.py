"""Dataclasses out of plain JSON: the inverse of ``dataclasses.asdict``, driven by the fields' types."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def decode(kind: type[T], document: Mapping[str, Any]) -> T:
    """Return the dataclass ``kind`` filled from ``document``.

    Unknown keys are dropped and missing ones take their default, so that a newer or older version can read it.
    Raises TypeError, ValueError or KeyError where a value does not fit its field.
    """
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # T is a dataclass
    return kind(**{name: _value(hints[name], document[name]) for name in names if name in document})


def _value(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is types.UnionType:
        if value is None:
            return None
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    if dataclasses.is_dataclass(kind):
        return decode(typing.cast("type[Any]", kind), value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if typing.get_origin(kind) is tuple:
        return tuple(value)
    return value
