"""Mesh counts as JSON, and the comparison of placed, prepared and reported counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from . import serialization
from .models import Job, JobState, MeshCounts

FEWER_QUADS = "The placed mesh has {found} quads; the refining made {made}."
MORE_OPEN_EDGES = "The placed mesh has {found} open edges; the refining made {made}."
MORE_PIECES = "The placed mesh has {found} pieces; the refining made {made}."
ANOTHER_MESH = (
    "The placed mesh has other faces or vertices than the prepared one: its edges and pieces are not measured."
)
_SIDES = {"3": "triangles", "4": "quads", "more": "ngons"}


def document(counts: MeshCounts) -> dict[str, Any]:
    """Return counts as JSON, for the session of the local service and the command line."""
    found = dataclasses.asdict(counts)
    faces = {sides: found.pop(name) for sides, name in _SIDES.items()}
    return {"faces": faces, **found, "watertight": counts.is_watertight}


def read(found: object) -> MeshCounts | None:
    """Return the counts that :func:`document` wrote; None for anything else."""
    faces = found.get("faces") if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(faces, Mapping):
        return None
    named = {name: faces.get(sides) for sides, name in _SIDES.items()}
    try:
        return serialization.decode(MeshCounts, {**found, **named}, strict=True)
    except (TypeError, ValueError):
        return None


def completed(counts: MeshCounts, prepared: MeshCounts | None) -> MeshCounts:
    """Return counts of the object in the scene, with the slow counts taken from the background measurement.

    The meshes count as the same if their faces by sides and vertices are equal; else missing counts stay None.
    """
    if counts.is_watertight is not None or prepared is None:
        return counts
    return prepared if _without_edges(prepared) == counts else counts


def in_scene(job: Job) -> MeshCounts | None:
    """Return the counts of the placed object; None if there is none, or it was not counted."""
    return job.placed_counts if job.state is JobState.PLACED else None


def placed(job: Job) -> dict[str, Any] | None:
    """Return the counts of the placed object as JSON for the command line; None if nothing was placed."""
    found = in_scene(job)
    return {**document(found), "dimensions": job.placed_size} if found else None


def warnings(job: Job) -> tuple[str, ...]:
    """Return a warning for each count in which the placed mesh is worse than the reported one."""
    found, made = in_scene(job), job.reported_counts
    if found is None:
        return ()
    said = [ANOTHER_MESH] if found.open_edges is None else []
    if made is not None:
        if found.quads < made.quads:
            said.append(FEWER_QUADS.format(found=found.quads, made=made.quads))
        if _is_more(found.open_edges, made.open_edges):
            said.append(MORE_OPEN_EDGES.format(found=found.open_edges, made=made.open_edges))
        if _is_more(found.pieces, made.pieces):
            said.append(MORE_PIECES.format(found=found.pieces, made=made.pieces))
    return tuple(said)


def _is_more(found: int | None, made: int | None) -> bool:
    return found is not None and made is not None and found > made


def _without_edges(counts: MeshCounts) -> MeshCounts:
    return MeshCounts(counts.triangles, counts.quads, counts.ngons, counts.vertices)
