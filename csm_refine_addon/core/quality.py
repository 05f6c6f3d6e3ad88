"""Quality findings of a result: warnings and notes, computed from the job alone."""

from __future__ import annotations

from dataclasses import dataclass

from . import mesh_counts
from .models import Job, MeshCounts, MeshReport, Texture

BIG_CORRECTION = 0.02
"""From this difference, relative to the box's diagonal, the correction of the mesh is visible."""
BAD_FIT = 1e-3
"""From this fit error, relative to the box's diagonal, a placed result differs visibly from its box."""

NO_PIXELS = "The texture “{name}” has no pixels."
ONE_COLOUR = "The texture “{name}” is one colour all over."
NO_UV = "The mesh has textures but no UV map: they cannot be shown on it."
STRETCHED = "The mesh came back {percent} away from its box and was made to fit."
NOT_FITTED = "The mesh came back {percent} away from its box."
NO_UV_NOTE = "No UV map: a texture would need one."
OFF = "The placed mesh is {percent} away from its box. Fit to Box mends it."
JOINED = "The file has triangles only: they were joined to {count} quads, as they had been cut."
CORRECTED = "Made to fit: {correction}."
OPEN = "Open surface: {count} edges do not have two faces."
OPEN_ONE = "Open surface: one edge does not have two faces."


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning (``is_warning``) or a note about a result."""

    text: str
    is_warning: bool


def findings(job: Job) -> tuple[Finding, ...]:
    """Return the findings of a job's result, warnings first; empty without a report."""
    report = job.report
    if report is None:
        return ()
    warnings = (*report.problems, *_of_textures(report), *_of_fit(job, report), *mesh_counts.warnings(job))
    of_mesh = (*_of_edges(counts_of(job)), *of_joined(job), *_of_plainness(report))
    notes = (*filter(None, (job.placed_note,)), *job.notes, *of_mesh, *_of_correction(report))
    said = [Finding(text, is_warning=True) for text in warnings]
    return (*said, *(Finding(text, is_warning=False) for text in notes))


def counts_of(job: Job) -> MeshCounts | None:
    """Return the counts of the placed object, else of the prepared mesh; None if not counted."""
    return mesh_counts.in_scene(job) or (job.report.counts if job.report else None)


def of_joined(job: Job) -> tuple[str, ...]:
    """Return a note if triangles were joined to quads."""
    count = job.report.joined_quads if job.report else 0
    return (JOINED.format(count=count),) if count else ()


def percent(part: float) -> str:
    """Return a fraction as a displayed percentage."""
    return f"{part * 100:.3g} %"


def _of_textures(report: MeshReport) -> list[str]:
    found = [text for texture in report.images for text in _of_texture(texture)]
    if report.has_uv is False and (report.images or report.textures):
        found.append(NO_UV)
    return found


def _of_texture(texture: Texture) -> list[str]:
    if not texture.width or not texture.height:
        return [NO_PIXELS.format(name=texture.name)]
    return [ONE_COLOUR.format(name=texture.name)] if texture.is_plain else []


def _of_plainness(report: MeshReport) -> list[str]:
    return [NO_UV_NOTE] if report.has_uv is False and not (report.images or report.textures) else []


def _of_correction(report: MeshReport) -> list[str]:
    return [CORRECTED.format(correction=report.correction)] if report.correction else []


def _of_fit(job: Job, report: MeshReport) -> list[str]:
    found = []
    if report.difference is not None and report.difference >= BIG_CORRECTION:
        said = STRETCHED if job.fit_to_box else NOT_FITTED
        found.append(said.format(percent=percent(report.difference)))
    if job.placed_object and job.fit_error is not None and job.fit_error >= BAD_FIT:
        found.append(OFF.format(percent=percent(job.fit_error)))
    return found


def _of_edges(found: MeshCounts | None) -> list[str]:
    count = (found.open_edges or 0) + (found.non_manifold_edges or 0) if found else 0
    if not count:
        return []
    return [OPEN_ONE if count == 1 else OPEN.format(count=count)]
