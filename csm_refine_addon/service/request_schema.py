"""Validation of the JSON body of refine and preview requests."""

from __future__ import annotations

import enum
import json
import logging
import math
from collections.abc import Mapping
from typing import TypeVar

from ..core import validation
from ..core.axes import Vector3
from ..core.errors import InputError
from ..remesh import tuning
from ..remesh.refine_settings import Level, RefineSettings, Symmetry, Topology
from .sessions import Order

log = logging.getLogger(__name__)
EnumValue = TypeVar("EnumValue", bound=enum.StrEnum)

AUTOMATIC_BBOX = (-1.0, -1.0, -1.0)
"""The value of ``scaled_bbox`` in a session whose request had none (CSM API reference)."""
MIN_SIDE, MAX_SIDE = 1e-6, 1e6
"""In metres. Outside this range, Blender's tolerances and float32 rounding damage a mesh."""
_SETTINGS = frozenset({"topology", "faces", "texture_resolution", "symmetry", "preserve_aspect_ratio", "keep_parts"})
"""Names of the CSM API, except ``faces``, ``texture_resolution`` and ``keep_parts``, which are extensions."""
_KNOWN = _SETTINGS | {"scaled_bbox", "pivot_point"}
_PREVIEW_ONLY = frozenset({"selected_spin_index", "selected_spin"})


def parse_order(body: bytes) -> Order:
    """Parse the body of a refine or preview request; an empty body means all defaults.

    Unknown keys are ignored and logged as a warning. Raises InputError if the body is not valid.
    """
    document = _parse_object(body)
    unknown = sorted(key[:50] for key in document.keys() - _KNOWN - _PREVIEW_ONLY)
    if unknown:
        log.warning("ignored unknown keys of a request: %s", ", ".join(map(ascii, unknown[:10])))
    return Order(
        _scaled_bbox(document.get("scaled_bbox")), _pivot_point(document.get("pivot_point")), _settings(document)
    )


def _parse_object(body: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise InputError("The request's body is not JSON.", "Send a JSON object.") from None
    if not isinstance(document, dict):
        raise InputError("The request's body is not a JSON object.", "Send a JSON object.")
    return document


def _scaled_bbox(value: object) -> Vector3 | None:
    if value is None:
        return None
    numbers = _numbers("scaled_bbox", value)
    if numbers == AUTOMATIC_BBOX:
        return None
    sides = validation.scaled_bbox(numbers)
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise InputError(f"scaled_bbox is in metres, each from {MIN_SIDE:g} to {MAX_SIDE:g}.", "Correct it.")
    return sides


def _pivot_point(value: object) -> Vector3 | None:
    return None if value is None else validation.pivot_point(_numbers("pivot_point", value))


def _numbers(name: str, value: object) -> Vector3:
    is_list = isinstance(value, list) and len(value) == 3
    if not is_list or not all(isinstance(part, int | float) and not isinstance(part, bool) for part in value):  # type: ignore[attr-defined]  # is_list is True: a list
        raise InputError(f"{name} must be a list of three numbers.", "Leave it out to let the service choose.")
    try:
        x, y, z = (float(part) for part in value)  # type: ignore[attr-defined]  # a list
    except OverflowError:
        x = y = z = math.inf
    if not all(map(math.isfinite, (x, y, z))):
        raise InputError(f"{name} must hold finite numbers.", "Leave it out to let the service choose.")
    return (x, y, z)


def _settings(document: Mapping[str, object]) -> RefineSettings:
    """Return the refine settings; missing and null keys take their defaults."""
    given = {key: value for key in _SETTINGS if (value := document.get(key)) is not None}
    faces, level = _faces(given.get("faces", Level.MEDIUM))
    size = given.get("texture_resolution", tuning.TEXTURE_RESOLUTION)
    return RefineSettings(
        topology=_enum_value("topology", given.get("topology", Topology.KEEP), Topology),
        faces=faces,
        level=level,
        texture_resolution=_integer("texture_resolution", size, tuning.MIN_TEXTURE, tuning.MAX_TEXTURE),
        symmetry=_enum_value("symmetry", given.get("symmetry", Symmetry.OFF), Symmetry),
        preserve_aspect_ratio=_boolean("preserve_aspect_ratio", given.get("preserve_aspect_ratio", False)),
        drop_parts_below=_drop_share(given.get("keep_parts", True)),
    )


def _enum_value(name: str, value: object, values: type[EnumValue]) -> EnumValue:
    if not isinstance(value, str) or value not in list(values):
        raise InputError(f"{name} must be one of {', '.join(values)}.", "Leave it out to let the service choose.")
    return values(value)


def _faces(value: object) -> tuple[int, Level]:
    if isinstance(value, str):
        return 0, _enum_value("faces, if it is no number,", value, Level)
    return _integer("faces", value, tuning.MIN_FACES, tuning.MAX_FACES), Level.MEDIUM


def _integer(name: str, value: object, minimum: int, maximum: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1024.0 is a whole number in JSON
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise InputError(
            f"{name} must be a whole number from {minimum} to {maximum}.", "Leave it out to let the service choose."
        )
    return value


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false.", "Leave it out to let the service choose.")
    return value


def _drop_share(value: object) -> float:
    """Return the share of the surface below which a loose part is dropped: 0 for true, ``SMALL_PART`` for false."""
    if isinstance(value, bool):
        return 0.0 if value else tuning.SMALL_COMPONENT
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(
            "keep_parts must be true, false, or a share of the surface from 0 to 1.", "Leave it out to keep all parts."
        )
    return float(value)
