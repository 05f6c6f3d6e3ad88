"""Operators that measure and free the disk space of jobs and local sessions, in a short-lived process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import bpy

from ....core.errors import StorageError
from ... import data_location
from ...i18n import shown
from ...jobs import job_text, worker_supervisor
from .operator_base import DIALOG_WIDTH, note, reported

if TYPE_CHECKING:
    import subprocess

    from ....core.jobs.cleanup import Space

LOOK_EVERY_S = 0.1
HELD = "Jobs hold {}, local sessions {}."
UNNEEDED = "{} can be deleted."
NOTHING = "Jobs hold {}, local sessions {}. All of it is needed."
DELETED = "{} are deleted."
RULE = (
    "Deleted are files of finished jobs that are older than 30 days or belong to a .blend file that is gone, "
    "and local sessions without a job that are older than a day."
)


def _start(*, delete: bool) -> subprocess.Popen[bytes]:
    """Start measuring, or deleting. Raises StorageError."""
    from ....core.jobs import cleanup
    from ....core.processes.background import detached

    try:
        home = data_location.home().ensure()
        return cleanup.start(home, sys.executable, bpy.app.binary_path, delete=delete, **detached())
    except OSError as error:
        raise StorageError(f"The clean-up cannot be started: {error.strerror or error}.", "Try again later.") from error


def _finish(process: subprocess.Popen[bytes]) -> Space:
    """Return what a process found; at its end, there is nothing to wait for. Raises StorageError."""
    from ....core.jobs import cleanup

    return cleanup.finish(process)


class CSM_OT_clean_up(bpy.types.Operator):
    """Measure what jobs and local sessions hold on disk, and ask before anything is deleted"""

    bl_idname = "csm_refine.clean_up"
    bl_label = "Clean Up…"

    _process: Any = None  # Blender evaluates annotations of its classes, and subprocess is imported later
    _timer: Any = None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if reported(self, self._measure) == {"CANCELLED"}:
            return {"CANCELLED"}
        manager: Any = context.window_manager
        self._timer = manager.event_timer_add(LOOK_EVERY_S, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def _measure(self) -> str:
        self._process = _start(delete=False)
        return ""

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER" or self._process is None or self._process.poll() is None:
            return {"PASS_THROUGH"}
        process = self._process
        self.cancel(context)
        return reported(self, lambda: self._ask(_finish(process)))

    def cancel(self, context: bpy.types.Context) -> None:
        """Stop waiting: the window was closed, or the process has ended."""
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
        self._timer = self._process = None

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: _summary(_finish(_start(delete=False))))

    def _ask(self, space: Space) -> str:
        if space.unneeded:
            held = HELD.format(job_text.size(space.jobs), job_text.size(space.sessions))
            operators: Any = bpy.ops
            operators.csm_refine.delete_unneeded("INVOKE_DEFAULT", held=held, unneeded=job_text.size(space.unneeded))
        return _summary(space)


def _summary(space: Space) -> str:
    held = job_text.size(space.jobs), job_text.size(space.sessions)
    if not space.unneeded:
        return NOTHING.format(*held)
    return f"{HELD.format(*held)} {UNNEEDED.format(job_text.size(space.unneeded))}"


class CSM_OT_delete_unneeded(bpy.types.Operator):
    """Delete files of finished jobs and local sessions that nothing needs; placed objects stay"""

    bl_idname = "csm_refine.delete_unneeded"
    bl_label = "Delete Unneeded Files"
    bl_options = {"INTERNAL"}

    held: bpy.props.StringProperty(name="Held", description="What is on disk", options={"SKIP_SAVE", "HIDDEN"})
    unneeded: bpy.props.StringProperty(
        name="Unneeded", description="What can be deleted", options={"SKIP_SAVE", "HIDDEN"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        manager: Any = context.window_manager
        answer: set[str] = manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title=shown("Delete unneeded files?"), confirm_text=shown("Delete")
        )
        return answer

    def draw(self, context: bpy.types.Context) -> None:
        for text, icon in ((self.held, "DISK_DRIVE"), (UNNEEDED.format(self.unneeded), "TRASH"), (RULE, "INFO")):
            note(self.layout, text, icon)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._delete)

    def _delete(self) -> str:
        process = _start(delete=True)
        if bpy.app.background:
            return DELETED.format(job_text.size(_finish(process).deleted))
        worker_supervisor.leave(process)
        return "Unneeded files are being deleted."


CLASSES = (CSM_OT_clean_up, CSM_OT_delete_unneeded)
