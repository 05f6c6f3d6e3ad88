"""What a client may ask of a refine: the JSON body, checked."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping

from ..core import checks
from ..core.axes import Vector3
from ..core.errors import InputError
from .sessions import Order

log = logging.getLogger(__name__)

AUTOMATIC_BBOX = (-1.0, -1.0, -1.0)
"""``scaled_bbox`` as a session stores it when nothing was asked for (CSM API reference)."""
LEAST_SIDE, GREATEST_SIDE = 1e-6, 1e6
"""In metres. Beyond, Blender's own tolerances and float32 spoil a mesh."""
_KNOWN = frozenset({"scaled_bbox", "pivot_point"})
_OF_A_PREVIEW = frozenset({"selected_spin_index", "selected_spin"})


def parse_order(body: bytes) -> Order:
    """Return the order in a refine's or a preview's body; an empty one asks for nothing.

    Keys that are not known are ignored, with a warning in the log. Raises InputError with a sentence.
    """
    document = _parse_object(body)
    unknown = sorted(key[:50] for key in document.keys() - _KNOWN - _OF_A_PREVIEW)
    if unknown:
        log.warning("ignored unknown keys of a request: %s", ", ".join(map(ascii, unknown[:10])))
    return Order(_scaled_bbox(document.get("scaled_bbox")), _pivot_point(document.get("pivot_point")))


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
    sides = checks.scaled_bbox(numbers)
    if not all(LEAST_SIDE <= side <= GREATEST_SIDE for side in sides):
        raise InputError(f"scaled_bbox is in metres, each from {LEAST_SIDE:g} to {GREATEST_SIDE:g}.", "Correct it.")
    return sides


def _pivot_point(value: object) -> Vector3 | None:
    return None if value is None else checks.pivot_point(_numbers("pivot_point", value))


def _numbers(name: str, value: object) -> Vector3:
    is_list = isinstance(value, list) and len(value) == 3
    if not is_list or not all(isinstance(part, int | float) and not isinstance(part, bool) for part in value):  # type: ignore[attr-defined]  # a list, as is_list says
        raise InputError(f"{name} must be a list of three numbers.", "Leave it out to let the service choose.")
    try:
        x, y, z = (float(part) for part in value)  # type: ignore[attr-defined]  # a list
    except OverflowError:
        x = y = z = math.inf
    if not all(map(math.isfinite, (x, y, z))):
        raise InputError(f"{name} must hold finite numbers.", "Leave it out to let the service choose.")
    return (x, y, z)
