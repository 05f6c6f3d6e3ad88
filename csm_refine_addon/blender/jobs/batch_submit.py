"""One refine for each of many objects: all are measured at the click, then written down one in a turn of the timer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy

from ...core import placement
from ...core.errors import CsmError, InputError, StorageError
from ...core.models import LOCAL, Job, RefineRequest
from ...core.placement import BoundsOptions, BoundsSource
from .. import local_options
from ..properties import choices_of, settings_of
from . import session_files
from .submit import NO_SOURCE, Order, Source

if TYPE_CHECKING:
    from .job_monitor import JobMonitor


GONE = "“{}” is gone, so it is not refined."


@dataclass(frozen=True, slots=True)
class Plan:
    """What the selection comes to: an order for each object that can be refined, a sentence for each that cannot."""

    orders: tuple[Order, ...]
    refused: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many objects were looked at."""
        return len(self.orders) + len(self.refused)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be known of some of those that are refined, each sentence once."""
        return tuple(dict.fromkeys(warning for order in self.orders for warning in order.asked.warnings))


@dataclass(slots=True)
class _One:
    object_name: str
    order: Order
    window: str
    source: Source = NO_SOURCE
    """What was written already, where the job could not be written down yet."""


_waiting: list[_One] = []


def plan(context: bpy.types.Context) -> Plan:
    """Measure each selected object, with its children, in its own frame. Raises InputError where none is selected.

    An object whose parent is selected, too, belongs to that one, as it does in a single refine.
    """
    from ..geometry import bounds  # brings numpy

    _active, chosen = bounds.selection(context.view_layer)
    # Each has a box of its own: one that is typed in, right or wrong, is not for many.
    choices = choices_of(settings_of(context), scaled_bbox=(1.0, 1.0, 1.0))
    choices = dataclasses.replace(choices, bounds=BoundsSource.OBJECT, typed_bbox=None)
    orders, refused = [], []
    for obj in _tops(chosen):
        try:
            orders.append(_order(context, obj, choices))
        except CsmError as error:
            refused.append(error.message)
    return Plan(tuple(orders), tuple(refused))


def _tops(chosen: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    known = set(chosen)
    return sorted((obj for obj in chosen if not known.intersection(_parents(obj))), key=lambda obj: obj.name)


def _parents(obj: bpy.types.Object) -> list[bpy.types.Object]:
    found = []
    while obj.parent is not None:
        obj = obj.parent
        found.append(obj)
    return found


def _order(context: bpy.types.Context, obj: bpy.types.Object, choices: BoundsOptions) -> Order:
    from ..geometry import bounds
    from ..geometry.object_losses import losses_of

    depsgraph = context.evaluated_depsgraph_get()
    measured = bounds.measure(depsgraph, obj, thickness=settings_of(context).thickness)
    asked = placement.resolve(dataclasses.replace(measured, warnings=losses_of([obj])), choices)
    local = local_options.settings_for(LOCAL, settings_of(context).local)
    return Order(RefineRequest("", asked.scaled_bbox, asked.pivot_point, local), asked, LOCAL)


def begin(keeper: JobMonitor, orders: Sequence[Order]) -> None:
    """Have a job made for each order, in the turns to come; without a window, now. Raises CsmError then."""
    keeper.press()
    _waiting.extend(_One(_name(order), order, keeper.window) for order in orders)
    while bpy.app.background and _waiting:
        make_next(keeper)


def _name(order: Order) -> str:
    return order.asked.placement.object_name or ""


def is_waiting() -> bool:
    """Tell whether there are jobs to be made."""
    return bool(_waiting)


def drop() -> int:
    """Make none of the jobs that were not made yet; return how many that were."""
    dropped = list(_waiting)
    _waiting.clear()
    for one in dropped:
        session_files.drop(one.source)
    return len(dropped)


def make_next(keeper: JobMonitor) -> Job | None:
    """Make the next job. Raises CsmError where its object is gone or cannot be written; the others go on then.

    Raises StorageError where the folder or the journal cannot be written: then it waits on.
    """
    one = _waiting[0]
    try:
        made = _make(keeper, one)
    except StorageError:
        raise
    except CsmError:
        session_files.drop(one.source)
        del _waiting[0]
        raise
    del _waiting[0]
    return made


def _make(keeper: JobMonitor, one: _One) -> Job | None:
    if one.window != keeper.window:  # another file is open
        session_files.drop(one.source)
        return None
    if one.source is NO_SOURCE:
        obj = bpy.context.view_layer.objects.get(one.object_name)
        if obj is None:
            raise InputError(GONE.format(one.object_name), "Refine another object.")
        one.source = session_files.write(obj)
    return keeper.add(one.order.job(keeper.window, one.source), in_front=False)
