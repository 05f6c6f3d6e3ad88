"""Formatting of lengths in the scene's units."""

from __future__ import annotations

from typing import Any

from ...core.axes import Vector3

METRIC = (("KILOMETERS", 1e3, "km"), ("METERS", 1.0, "m"), ("CENTIMETERS", 1e-2, "cm"),
          ("MILLIMETERS", 1e-3, "mm"), ("MICROMETERS", 1e-6, "µm"))  # fmt: skip
IMPERIAL = (("MILES", 1609.344, "mi"), ("FEET", 0.3048, "ft"), ("INCHES", 0.0254, "in"), ("THOU", 2.54e-5, "thou"))
SYSTEMS = {"METRIC": METRIC, "IMPERIAL": IMPERIAL}
TEMPLATE = "{0} × {1} × {2} {unit}"


def size_text(settings: Any, size: Vector3) -> str:
    """Format three sides in the scene's unit; if that is Adaptive, in the unit that suits the longest side.

    ``settings`` is ``scene.unit_settings``. Without a unit system, the numbers have no unit.
    """
    units = SYSTEMS.get(settings.system)
    if units is None:
        return TEMPLATE.format(*map(number, size), unit="").strip()
    metres = [side * settings.scale_length for side in size]
    _, length, unit = next(
        (each for each in units if each[0] == settings.length_unit), _suitable_unit(units, max(metres))
    )
    return TEMPLATE.format(*(number(side / length) for side in metres), unit=unit)


def number(value: float) -> str:
    """Format a length with about three digits: three lengths must fit in a line of the sidebar."""
    if value < 1.0:
        return f"{value:.3g}"
    text = f"{value:.{2 if value < 10.0 else 1 if value < 100.0 else 0}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _suitable_unit(units: tuple[tuple[str, float, str], ...], longest: float) -> tuple[str, float, str]:
    return next((each for each in units if longest >= each[1]), units[-1])
