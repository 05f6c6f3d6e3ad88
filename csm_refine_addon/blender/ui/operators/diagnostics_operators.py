"""The operators of a bug report: show what is in the bundle, then write it where the user wants it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ....core.errors import CsmError, InputError
from ...i18n import in_report, shown
from ...i18n.lines import columns, wrap
from .operator_base import reported

if TYPE_CHECKING:  # zip and its kin come in when the operator is pressed
    from ....core.diagnostics import Part

WIDTH = 620
COLUMNS = 96
ROWS = 18
FILE_NAME = "csm_refine_diagnostics.zip"
SUMMARY = "{parts} parts, {size} kB. Only this is written, and nothing is sent."
WRITTEN = "The diagnostics are in {path}."

_shown: list[Part] = []
"""What the dialog shows is what is written."""


class CSM_PG_line(bpy.types.PropertyGroup):
    """One line of the bundle; ``name`` is its text."""

    is_heading: bpy.props.BoolProperty(name="Heading", description="Whether it names a part")


class CSM_UL_lines(bpy.types.UIList):
    def draw_item(  # noqa: PLR0913, PLR0917  # Blender counts the arguments
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: Any,
        item: Any,
        icon: int,
        active_data: Any,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        layout.label(text=item.name, icon="TEXT" if item.is_heading else "NONE", translate=False)


class CSM_OT_diagnostics(bpy.types.Operator):
    """Show versions, settings, the job and the last lines of the logs, without keys; then save them for a bug report"""

    bl_idname = "csm_refine.diagnostics"
    bl_label = "Save Diagnostics"

    job: bpy.props.StringProperty(name="Job", description="The job's id; empty: the newest ones", options={"SKIP_SAVE"})
    filepath: bpy.props.StringProperty(
        name="File", description="Where to write it, for scripts: .zip or .txt", subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )  # fmt: skip
    lines: bpy.props.CollectionProperty(type=CSM_PG_line, options={"SKIP_SAVE"})
    active: bpy.props.IntProperty(name="Line", description="The selected line", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            gather(self.job)
        except CsmError as error:
            self.report({"ERROR"}, in_report(str(error)))
            return {"CANCELLED"}
        self.lines.clear()
        for text, is_heading in lines_of(_shown):
            line = self.lines.add()
            line.name, line.is_heading = text, is_heading
        manager: Any = context.window_manager
        answer: set[str] = manager.invoke_props_dialog(
            self, width=WIDTH, title=shown("Diagnostics for a Bug Report"), confirm_text=shown("Save…")
        )
        return answer

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        column = layout.column(align=True)
        column.label(text=shown(summary(_shown)), translate=False)
        from ....core.diagnostics import NOTE

        for line in wrap(shown(NOTE), lambda part: columns(part) <= COLUMNS):
            column.label(text=line, translate=False)
        layout.template_list("CSM_UL_lines", "", self, "lines", self, "active", rows=ROWS, maxrows=ROWS)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._save)

    def _save(self) -> str:
        if self.filepath:
            gather(self.job)
            return write(self.filepath)
        if bpy.app.background:
            raise InputError("No file was given.", "Give its path as filepath.")
        ours: Any = bpy.ops
        ours.csm_refine.save_diagnostics("INVOKE_DEFAULT")
        return ""


class CSM_OT_save_diagnostics(bpy.types.Operator):
    """Write the diagnostics that were shown to a file"""

    bl_idname = "csm_refine.save_diagnostics"
    bl_label = "Save Diagnostics"
    bl_options = {"INTERNAL"}

    filepath: bpy.props.StringProperty(
        name="File", description="A .zip, or a .txt with everything in one text", subtype="FILE_PATH"
    )
    filter_glob: bpy.props.StringProperty(default="*.zip;*.txt", options={"HIDDEN"})
    check_existing: bpy.props.BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            self.filepath = str(Path.home() / FILE_NAME)
        manager: Any = context.window_manager
        manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: write(self.filepath))


def gather(job_id: str) -> None:
    """Put the bundle together anew. Raises CsmError."""
    from ...jobs import diagnostics_report

    _shown[:] = diagnostics_report.bundle(job_id)


def write(filepath: str) -> str:
    """Write what was gathered last and return the sentence that says so. Raises CsmError."""
    if not _shown:
        raise InputError("No diagnostics were put together yet.", "Press Diagnostics first.")
    path = Path(bpy.path.abspath(filepath))
    path = path if path.suffix.lower() in (".zip", ".txt") else path.with_name(f"{path.name}.zip")
    from ....core import diagnostics

    diagnostics.write(_shown, path)
    return WRITTEN.format(path=path)


def summary(parts: Sequence[Part]) -> str:
    """Return how much there is."""
    return SUMMARY.format(parts=len(parts), size=max(1, round(sum(len(part.text) for part in parts) / 1000)))


def lines_of(parts: Sequence[Part]) -> Iterator[tuple[str, bool]]:
    """Give each line of the bundle as it is shown, long ones broken, and whether it is a part's heading."""
    for part in parts:
        yield part.name, True
        for line in part.text.splitlines():
            for start in range(0, max(1, len(line)), COLUMNS):
                yield line[start : start + COLUMNS], False


CLASSES = (CSM_PG_line, CSM_UL_lines, CSM_OT_diagnostics, CSM_OT_save_diagnostics)
