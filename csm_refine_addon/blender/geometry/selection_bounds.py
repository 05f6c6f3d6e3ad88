"""The selection's box and pivot as the panel shows them: measured by the timer, kept here for ``draw``.

Measuring may evaluate a heavy mesh, so it happens neither in ``draw`` nor in a handler, but between two turns of the
timer: only after something changed, only while the panel is looked at, and with pauses of twenty times its cost.
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
    """What was measured last: an object, or nothing and (where a choice needs it) the sentence why."""

    measured: Measured | None = None
    problem: CsmError | None = None
    losses: tuple[str, ...] = ()
    """What a session made out of the selection will not have."""

    def warning(self, *, of_frame: bool, of_losses: bool) -> Measured | None:
        """Return what was measured with these warnings alone; a new session's mesh is turned with its frame."""
        if self.measured is None:
            return None
        warnings = (*(self.measured.warnings if of_frame else ()), *(self.losses if of_losses else ()))
        return dataclasses.replace(self.measured, warnings=warnings)


class _Readout:
    def __init__(self) -> None:
        self.reading = Reading()
        self.stale = True
        self.due_at = -math.inf


_readout = _Readout()


def current() -> Reading:
    """Return the last reading."""
    return _readout.reading


def mark_stale() -> None:
    """Note that selection, geometry or choices changed. Free: handlers and ``update=`` callbacks call it."""
    _readout.stale = True


def is_stale() -> bool:
    """Tell whether something is to be measured anew, as soon as that is due."""
    return _readout.stale


def forget() -> None:
    """Drop the reading, for a newly loaded file."""
    _readout.__init__()  # type: ignore[misc]  # back to how it began


def update(context: bpy.types.Context, choices: BoundsOptions, thickness: float, now: float) -> bool:
    """Measure anew where that is due; tell whether the reading changed. ``now`` is a monotonic clock's, in seconds."""
    if not _readout.stale or now < _readout.due_at:
        return False
    from . import bounds  # noqa: F401  # brings numpy, once: that is no part of what measuring costs

    _readout.stale = False
    began = time.perf_counter()
    reading = take(context, choices, thickness)
    cost = time.perf_counter() - began
    _readout.due_at = now + max(LEAST_PAUSE_S, PAUSE_PER_COST * cost)
    changed = reading != _readout.reading
    _readout.reading = reading
    return changed


def take(context: bpy.types.Context, choices: BoundsOptions = AT_ONCE, thickness: float = 0.0) -> Reading:
    """Measure the selection now."""
    from . import bounds  # brings numpy
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
