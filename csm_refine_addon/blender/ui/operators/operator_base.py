"""What every operator of ours does alike: report an error as a sentence, and find the job it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import bpy

from ....core.errors import CsmError, InputError
from ....core.jobs.state_machine import IllegalTransition
from ....core.models import Job
from ...i18n import in_report, shown
from ...i18n.lines import wrap
from ...jobs import job_cache, job_list, job_monitor, job_text
from ...jobs.job_text import JobAction

DIALOG_WIDTH = 340
DIALOG_FRAME = 44
"""What icon and margins take of it."""


def reported(operator: bpy.types.Operator, act: Callable[[], str]) -> set[str]:
    """Do something and report what it returns; an error is reported as a sentence, and nothing was done then."""
    try:
        said = act()
    except IllegalTransition:
        operator.report({"ERROR"}, in_report("The job has just changed. Look at its state, then decide."))
        return {"CANCELLED"}
    except CsmError as error:
        operator.report({"WARNING" if job_cache.is_locked(error) else "ERROR"}, in_report(_sentence(error)))
        return {"CANCELLED"}
    if said:
        operator.report({"INFO"}, in_report(said))
    return {"FINISHED"}


def _sentence(error: CsmError) -> str:
    return "The journal is in use for a moment. Press it again." if job_cache.is_locked(error) else str(error)


def note(layout: bpy.types.UILayout, text: str, icon: str = "INFO") -> None:
    """Draw a sentence in a dialog, over as many lines as it needs."""
    import blf

    settings: Any = bpy.context.preferences
    scale = settings.system.ui_scale or 1.0
    blf.size(0, settings.ui_styles[0].widget.points * scale)
    room = (DIALOG_WIDTH - DIALOG_FRAME) * scale
    column = layout.column(align=True)
    column.scale_y = 0.8
    font: Any = blf  # the stubs know of no return value
    for number, line in enumerate(wrap(shown(text), lambda part: font.dimensions(0, part)[0] <= room)):
        column.label(text=line, icon="BLANK1" if number else icon, translate=False)


def is_on_button(context: bpy.types.Context) -> bool:
    """Tell whether ``poll`` is asked for a button of the sidebar, which has no arguments of its own.

    A script's arguments may bring what the panel's settings lack, and ``poll`` is not told of them. A panel's buttons
    are asked in the window's main region, unless their layout has the operator context INVOKE_DEFAULT.
    """
    return context.region is not None and context.region.type == "UI"


class OfJob:
    """An operator about one job: the one named, else the one selected in the list."""

    deed: ClassVar[JobAction]
    job: bpy.props.StringProperty(
        name="Job", description="The job's id; empty: the one selected in the list", options={"SKIP_SAVE"}
    )

    def found(self) -> Job:
        """Return the job as it stands now. Raises InputError where it is gone, or where this cannot be done with it."""
        keeper = job_monitor.current()
        keeper.refresh()
        job = keeper.jobs.get(self.job or job_list.selected_id() or _newest(keeper.jobs))
        if job is None:
            raise InputError("There is no such job.", "Select one in the list.")
        if not job_text.can(job, self.deed):
            raise InputError(f"That cannot be done with a job that is {job.state}.", "Look at its state in the list.")
        return job


def _newest(jobs: dict[str, Job]) -> str:
    return max(jobs.values(), key=lambda job: job.created_at).id if jobs else ""


def set_job(operator: Any, job: Job) -> None:
    """Tell a drawn button which job it is about."""
    operator.job = job.id
