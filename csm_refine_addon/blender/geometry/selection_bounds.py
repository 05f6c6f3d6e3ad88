"""Cache of the selection's box and pivot for the panel; the timer updates it, ``draw`` reads it.

Measuring may evaluate a heavy mesh, so it happens in the timer, not in ``draw`` or a handler: only after a change, only
while the panel is visible, and at intervals of at least twenty times its duration.
"""

from __future__ import annotations

import dataclasses
import math
import time

import bpy

from ...core.errors import CsmError, InputError
from ...core.placement import BoundsOptions, BoundsSource, Measured

PAUSE_PER_COST = 20.0
LEAST_PAUSE_S = 0.1
AT_ONCE = BoundsOptions()


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """The latest measurement: an object, or None with the error (if the options need geometry)."""

    measured: Measured | None = None
    problem: CsmError | None = None
    losses: tuple[str, ...] = ()
    """Warnings about data that a session made from the selection will lose."""

    def warning(self, *, of_frame: bool, of_losses: bool) -> Measured | None:
        """Return the measurement with only the selected kinds of warnings, or None if nothing was measured."""
        if self.measured is None:
            return None
        warnings = (*(self.measured.warnings if of_frame else ()), *(self.losses if of_losses else ()))
        return dataclasses.replace(self.measured, warnings=warnings)


class _Cache:
    def __init__(self) -> None:
        self.reading = Reading()
        self.stale = True
        self.due_at = -math.inf


_cache = _Cache()


def current() -> Reading:
    """Return the latest reading."""
    return _cache.reading


def mark_stale() -> None:
    """Mark the reading as outdated. Costs nothing, so handlers and ``update=`` callbacks call it on each change."""
    _cache.stale = True


def is_stale() -> bool:
    """Return whether the reading is outdated."""
    return _cache.stale


def reset() -> None:
    """Reset the cache, after a file was loaded."""
    _cache.__init__()  # type: ignore[misc]  # resets all attributes


def update(context: bpy.types.Context, choices: BoundsOptions, thickness: float, now: float) -> bool:
    """Measure again if due; return whether the reading changed. ``now`` is in seconds of a monotonic clock."""
    if not _cache.stale or now < _cache.due_at:
        return False
    from . import bounds  # noqa: F401  # imports NumPy outside the measured time

    _cache.stale = False
    began = time.perf_counter()
    reading = measure_selection(context, choices, thickness)
    cost = time.perf_counter() - began
    _cache.due_at = now + max(LEAST_PAUSE_S, PAUSE_PER_COST * cost)
    changed = reading != _cache.reading
    _cache.reading = reading
    return changed


def measure_selection(context: bpy.types.Context, choices: BoundsOptions = AT_ONCE, thickness: float = 0.0) -> Reading:
    """Measure the selection now."""
    from . import bounds  # imports NumPy
    from .object_losses import losses_of

    try:
        active, chosen = bounds.selection(context.view_layer)
    except InputError as error:
        return Reading(None, error)
    depsgraph = context.evaluated_depsgraph_get()
    allow_flat = choices.bounds is not BoundsSource.OBJECT
    try:
        measured = bounds.measure(depsgraph, active, chosen, thickness=thickness, allow_flat=allow_flat)
        return Reading(measured, losses=losses_of(chosen))
    except InputError as error:
        problem = error
    try:
        return Reading(bounds.frame(active), problem)
    except InputError as error:
        return Reading(None, error)
