"""Background task that converts a downloaded mesh file to a checked .blend with exactly one object, and a report.

The report is a :class:`~..core.models.MeshReport` as JSON with two more keys, ``ok`` and ``error``; ``error`` is null
or ``{code, message, action}``. It is written last: a report with ``ok`` implies a complete .blend.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy  # if Blender is a Python module, addon_utils can be imported only after it

# isort: split
import addon_utils

from ...core import disk_errors, limits, private_files, serialization
from ...core.errors import CsmError, PrepareFailed
from ...core.mesh_files import blend_files
from ...core.models import Box, MeshReport, Placement
from . import box_fit, chunked_append, data_only, inspection, mesh_io, topology
from .strip_attributes import strip_attributes
from .tris_to_quads import join_pairs

FAILED = 8
REMOVED_DATA = ("collections", "actions", "texts", "libraries", "particles", "sounds", "movieclips", "cache_files")
"""Collections of ``bpy.data`` that are emptied explicitly: blocks with a fake user survive a purge."""
IMPORTERS = frozenset({"io_scene_gltf2", "io_scene_fbx"})


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Options: the name for all data-blocks, the expected box, and whether to fit the mesh to it."""

    name: str
    box: Box | None = None
    fit: bool = True
    quads: bool = False
    """Whether to join triangle pairs that were quads."""
    mirrored: bool = False
    """Whether to mirror the mesh, because its source is mirrored."""


def main(request: Mapping[str, Any]) -> int:
    """Prepare a mesh file; return 0, or 8 and write the error to the report.

    The request is
    ``{"mesh": path, "blend": path to write, "report": path to write, "name": for object, mesh and materials,
    "placement": Placement as JSON or null, "fit": bool, "quads": bool}``.
    """
    report_file = Path(request["report"])
    try:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        _disable_other_addons()
        report = prepare(Path(request["mesh"]), Path(request["blend"]), _parse_options(request))
    except Exception as error:  # noqa: BLE001  # top level of the task: every error goes into the report
        traceback.print_exc(file=sys.stderr)
        _write_json(report_file, {"ok": False, "error": _error_document(error)})
        return FAILED
    _write_json(report_file, {**dataclasses.asdict(report), "ok": True, "error": None})
    return 0


def _disable_other_addons() -> None:
    """Disable all bundled add-ons but the importers, because they hook into every import."""
    for name in [addon.module for addon in bpy.context.preferences.addons]:
        if name not in IMPORTERS:
            addon_utils.disable(name, default_set=True)


def prepare(mesh: Path, blend: Path, options: PrepareOptions) -> MeshReport:
    """Import a mesh file into this empty Blender and save its single object as ``blend``.

    Raises MeshUnusable if the file is not a usable mesh; ``blend`` does not exist in that case.
    """
    blend.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        obj = mesh_io.import_mesh(mesh, Path(scratch))
        report = finish(obj, options, mesh.stat().st_size)
        _keep_only(obj)
        _save(blend)
        blend_files.refuse_more_than_data(blend)
        chunked_append.write(obj, blend)
    return report


def finish(obj: bpy.types.Object, options: PrepareOptions, size_bytes: int) -> MeshReport:
    """Reduce an imported object to plain data, fit it to its box, name it, and return its report.

    With ``options.fit``, the vertices fill ``options.box`` exactly, however small the difference was. Otherwise they
    stay as returned, except that an origin outside the box, which could not be sent, is restored.
    """
    data_only.make_plain(obj)
    joined = join_pairs(obj.data) if options.quads else 0
    if options.mirrored:
        box_fit.mirror(obj.data)
    found = box_fit.mesh_box(obj.data)
    problems: tuple[str, ...] = ()
    correction = ""
    difference = box_fit.difference(found, box_fit.expected_box(options.box)) if options.box else None
    if options.box and options.fit:
        problems = box_fit.flat_sides(found)
        correction = box_fit.correction(found, box_fit.expected_box(options.box))
        box_fit.fit_mesh(obj.data, options.box)
    elif options.box:
        box_fit.restore_origin(obj.data, options.box)
    strip_attributes(obj)
    _name(obj, options.name)
    report = _report(obj, found, size_bytes)
    return dataclasses.replace(
        report, problems=problems, correction=correction, difference=difference, joined_quads=joined
    )


def _report(obj: bpy.types.Object, found: Box, size_bytes: int) -> MeshReport:
    mesh = obj.data
    images = inspection.images_of(obj)
    return MeshReport(
        triangles=len(mesh.loops) - 2 * len(mesh.polygons),
        vertices=len(mesh.vertices),
        materials=len(mesh.materials),
        textures=tuple(image.name for image in images),
        box=found,
        size_bytes=size_bytes,
        images=inspection.textures(obj),
        counts=topology.measure(mesh),
        has_uv=bool(mesh.uv_layers),
        size=box_fit.mesh_box(mesh).size,
    )


def _name(obj: bpy.types.Object, name: str) -> None:
    obj.name = obj.data.name = name
    for material in obj.data.materials:
        if material:
            material.name = name
    for image in inspection.images_of(obj):
        image.name = f"{name} {image.name}"


def _keep_only(obj: bpy.types.Object) -> None:
    """Remove every other object and all unused data: cameras, lights, actions, texts, libraries."""
    for other in [found for found in bpy.data.objects if found != obj]:
        bpy.data.objects.remove(other)
    for kind in REMOVED_DATA:
        bpy.data.batch_remove(list(getattr(bpy.data, kind)))
    if obj.name not in bpy.context.scene.collection.objects:
        bpy.context.scene.collection.objects.link(obj)
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)  # type: ignore[call-arg]


def _save(blend: Path) -> None:
    """Save uncompressed, because the file is read once, on Blender's main thread."""
    part = blend.with_name(f"{blend.name}.part")
    bpy.ops.wm.save_as_mainfile(filepath=str(part), check_existing=False, compress=False, copy=True)
    os.replace(part, blend)


def _parse_options(request: Mapping[str, Any]) -> PrepareOptions:
    placement = serialization.decode(Placement, request.get("placement") or {})
    options = bool(request.get("fit", True)), bool(request.get("quads", False))
    return PrepareOptions(request["name"], placement.box, *options, placement.mirrored)


def _error_document(error: Exception) -> dict[str, str]:
    if isinstance(error, MemoryError):
        error = limits.out_of_memory()
    if disk_errors.is_no_room(error):
        error = disk_errors.no_room()
    if not isinstance(error, CsmError):
        error = PrepareFailed(
            f"Blender failed on the mesh: {str(error) or type(error).__name__}.",
            "Import the mesh in the window instead.",
        )
    return {"code": error.code, "message": error.message, "action": error.action}


def _write_json(path: Path, document: dict[str, Any]) -> None:
    private_files.write_atomically(path, json.dumps(document))
