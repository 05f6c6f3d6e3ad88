"""What a job's result is like, whether it stands in this file, and the active object's result, to be fetched again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ....core import quality
from ....core.models import Job, JobState, MeshCounts, MeshReport, Texture
from ...geometry import units
from ...jobs import job_monitor, job_text
from ...jobs.job_text import JobAction
from ...scene import object_metadata, refetch, visibility
from .. import sidebar_visibility, thumbnails
from ..operators.operator_base import set_job
from .layouts import fact, sentences
from .session_panel import InSidebar

MOST_TEXTURES = 6
PICTURE_SCALE = 11.0
"""About as wide as the sidebar at first."""
PIXELS = "{width} × {height} px"
AND_MORE = "and {count} more"
NOT_HERE = "The result is not in this file. Place it again to have it here."
SOURCE_GONE = "Its source object “{name}” is gone: the result is placed where that stood."
NO_FILES = "“{name}” is a result of {code}. Its files are not on this machine."


def draw_result(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """Draw what is known of a job's result, and a warning sign where something is off."""
    if job.report is not None:
        column = layout.column(align=True)
        column.scale_y = 0.9
        _draw_mesh(column, context, job, job.report)
        _draw_textures(column, job, job.report)
        _draw_fit(column, job, job.report)
    _draw_picture(layout, job)
    for finding in quality.findings(job):
        sentences(layout, context, finding.text, icon="ERROR" if finding.is_warning else "INFO")
    _draw_presence(layout, context, job)


def _draw_picture(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw source and result side by side; Blender reads the file itself, on a thread of its own."""
    if not job.picture_path:
        return
    path = Path(job.picture_path)
    name = f"{job.id}/{path.name}"
    thumbnails.know(path.parents[1], [name])
    layout.template_icon(icon_value=thumbnails.icon(name), scale=PICTURE_SCALE)
    set_job(layout.operator("csm_refine.open_picture", icon="IMAGE_DATA"), job)


def _draw_mesh(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job, report: MeshReport) -> None:
    counts = quality.counts_of(job)
    if counts is None:
        fact(layout, "Triangles", job_text.thousands(report.triangles))
    else:
        _draw_counts(layout, counts)
    if report.size is not None:
        fact(layout, "X × Y × Z", units.size_text(context.scene.unit_settings, report.size))
    fact(layout, "Materials", str(report.materials))


def _draw_counts(layout: bpy.types.UILayout, counts: MeshCounts) -> None:
    """Draw what was counted; what is not there at all, and what nobody counted, is left out."""
    faces = {"Quads": counts.quads, "Triangles": counts.triangles, "N-gons": counts.ngons}
    edges = {"Open edges": counts.open_edges, "Non-manifold edges": counts.non_manifold_edges}
    parts = {"Pieces": counts.pieces, "UV islands": counts.uv_islands}
    for name, count in {**faces, "Vertices": counts.vertices, **edges, **parts}.items():
        if count:
            fact(layout, name, job_text.thousands(count))
    if counts.is_watertight is not None:
        fact(layout, "Watertight", "Yes" if counts.is_watertight else "No")


def _draw_textures(layout: bpy.types.UILayout, job: Job, report: MeshReport) -> None:
    fact(layout, "Textures", str(len(report.images or report.textures)) if report.textures else "None")
    for texture in report.images[:MOST_TEXTURES]:
        fact(layout, texture_name(job, texture), PIXELS.format(width=texture.width, height=texture.height))
    if len(report.images) > MOST_TEXTURES:
        fact(layout, "", AND_MORE.format(count=len(report.images) - MOST_TEXTURES))


def texture_name(job: Job, texture: Texture) -> str:
    """Return a texture's name without the session's code, which may stand in each of them more than once."""
    return texture.name.replace(job.request.session_code, "").strip(" _") or texture.name


def _draw_fit(layout: bpy.types.UILayout, job: Job, report: MeshReport) -> None:
    if report.difference is not None:
        fact(layout, "Came back", job_text.off_by(report.difference))
    if job.state is JobState.PLACED:
        fact(layout, "Placed as", object_metadata.result_name(job) or job.placed_object, is_given=True)
        fact(layout, "Fit error", "No box to measure" if job.fit_error is None else job_text.fit_error(job.fit_error))


def _draw_presence(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """Draw the toggle between source and result, or say which of them this file does not have."""
    if not object_metadata.has_looked():
        return
    if job.state is JobState.PLACED and not object_metadata.result_name(job):
        sentences(layout, context, NOT_HERE, icon="INFO")
    if is_source_gone(job):
        sentences(layout, context, SOURCE_GONE.format(name=job_text.object_name(job)), icon="INFO")
    elif job_text.can(job, JobAction.SWAP) and object_metadata.result_name(job):
        shows_result = visibility.shows_result(job)
        text, icon = ("Show Source", "LOOP_BACK") if shows_result else ("Show Result", "LOOP_FORWARDS")
        set_job(layout.operator("csm_refine.swap", text=text, icon=icon), job)


def is_source_gone(job: Job) -> bool:
    """Tell whether a job of this file has lost its source object; a job of another file has not."""
    if (
        not job_text.object_name(job)
        or object_metadata.source_name(job)
        or job.state in (JobState.FAILED, JobState.STOPPED)
    ):
        return False
    return object_metadata.is_of_this_file(job)


class CSM_PT_fetch(InSidebar, bpy.types.Panel):
    bl_label = "Result Without Files"
    bl_parent_id = "CSM_PT_refine"
    bl_order = 0

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        keeper = job_monitor.current()
        return keeper.has_read and refetch.is_offered(context.active_object, keeper.jobs.values())

    def draw(self, context: bpy.types.Context) -> None:
        sidebar_visibility.note_draw(context)
        obj: Any = context.active_object
        column = self.layout.column()
        said = NO_FILES.format(name=obj.name, code=object_metadata.of(obj).session_code)
        sentences(column, context, said, icon="INFO")
        problem = refetch.obstacle(obj)
        if problem is not None:
            sentences(column, context, str(problem), icon="BLANK1")
        column.operator("csm_refine.fetch_again", icon="IMPORT")


CLASSES = (CSM_PT_fetch,)
