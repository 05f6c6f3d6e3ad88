"""The refine itself, run by a background Blender: read, clean, fit to the box, set the pivot, write.

``main([folder])`` reads ``order.json`` in the folder and leaves there the files ``mesh.*``, ``progress`` (0 to 100),
and ``report.json``. It ends when its stdin does, since then the service is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import traceback
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy  # where Blender is a Python module, bmesh is there only after it

# isort: split
import bmesh
import numpy as np
from mathutils import Matrix, Vector

from ..blender.meshes import mesh_io
from ..core import axes
from ..core.axes import Vector3
from ..core.errors import CsmError, MeshUnusable
from .refinery_faces import Faces, WrongFaces, find_wrong_faces

MERGE_FRACTION = 1e-6
"""Vertices closer than this part of the box's diagonal are one."""
FLAT_FRACTION = 1e-6
"""A side shorter than this part of the longest one has no extent that could be stretched."""
_NORMALS = "csm_refine_normals"


def main(argv: Sequence[str]) -> int:
    """Refine what ``argv[0]`` holds; 0 where ``mesh.glb`` was written, 8 where the mesh is not usable, else 1."""
    folder = Path(argv[0])
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        report = refine(folder, json.loads((folder / "order.json").read_text("utf-8")))
        code = 0
    except CsmError as error:
        report = {"ok": False, "error": {"code": error.code, "message": error.message, "action": error.action}}
        code = error.exit_code
    except Exception:  # noqa: BLE001 -- the top of the process: the service says that Blender failed, the log says on what
        traceback.print_exc()
        return 1
    _write_whole(folder / "report.json", json.dumps(report))
    return code


def refine(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Do the work of one order and return its report. Raises MeshUnusable."""
    progress = Progress(folder / "progress")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    progress.reached(5)
    obj = mesh_io.import_mesh(Path(order["mesh"]), folder / "scratch")
    obj.name = obj.data.name = order["code"]
    progress.reached(30)
    clean(obj.data)
    progress.reached(50)
    notes = fit(obj.data, order.get("scaled_bbox"), order.get("pivot_point"))
    progress.reached(60)
    formats, failed = write(obj, folder, order["code"], progress)
    low, high = mesh_io.vertex_bounds(obj)
    return {
        "ok": True,
        "formats": formats,
        "notes": [*notes, *failed],
        "vertices": len(obj.data.vertices),
        "faces": len(obj.data.polygons),
        "box": [low.tolist(), high.tolist()],
    }


class Progress:
    """The file that tells the service how far the refine is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def reached(self, percent: int) -> None:
        """Say that so many percent are done."""
        _write_whole(self._path, str(percent))


def clean(mesh: bpy.types.Mesh) -> None:
    """Merge doubles, drop edges and vertices without faces, and turn wrong faces; UVs, materials, normals stay.

    Raises MeshUnusable where nothing with an area is left.
    """
    normals = _corner_normals(mesh) if mesh.has_custom_normals else None
    if normals is not None:  # Blender keeps them relative to the faces around, which are about to change
        kept: Any = mesh.attributes.new(_NORMALS, "FLOAT_VECTOR", "CORNER")
        kept.data.foreach_set("vector", normals.ravel())
    with _edited(mesh) as edited:
        bmesh.ops.remove_doubles(edited, verts=edited.verts, dist=MERGE_FRACTION * _diagonal(mesh))
        bmesh.ops.delete(edited, geom=[edge for edge in edited.edges if not edge.link_faces], context="EDGES")
        bmesh.ops.delete(edited, geom=[vertex for vertex in edited.verts if not vertex.link_faces], context="VERTS")
    if not mesh.polygons:
        raise MeshUnusable("Nothing is left of the mesh: its faces have no area.", "Take another mesh.")
    wrong = find_wrong_faces(_faces(mesh))
    if len(wrong.at_odds) or len(wrong.inside_out):
        _turn(mesh, wrong)
    if normals is not None:
        _restore_normals(mesh)


def fit(mesh: bpy.types.Mesh, scaled_bbox: Sequence[float] | None, pivot_point: Sequence[float] | None) -> list[str]:
    """Stretch the mesh to the box and put its origin at the pivot, in float64; return notes of what could not be.

    API axes; v' = v - c - (px w, py h, pz d) once stretched (CSM API reference). None keeps the size, or the centre.
    A flat side cannot be stretched: it stays flat, in the middle of its side of the box.
    """
    positions = mesh_io.vertex_positions(mesh).astype(np.float64)
    low, high = positions.min(axis=0), positions.max(axis=0)
    size = high - low
    is_flat = size <= FLAT_FRACTION * size.max()
    box = size if scaled_bbox is None else np.array(axes.size_from_scaled_bbox(_vector(scaled_bbox)))
    pivot = np.array(axes.blender_from_pivot_point(_vector(pivot_point or (0.0, 0.0, 0.0))))
    along = np.where(is_flat, 0.5, (positions - low) / np.where(is_flat, 1.0, size))
    stretch = np.where(is_flat, 1.0, box / np.where(is_flat, 1.0, size))
    mesh_io.transform_mesh(mesh, Matrix.Diagonal(Vector((*stretch.tolist(), 1.0))))  # for the normals' sake
    placed = along * box + (-0.5 - pivot) * box
    mesh.vertices.foreach_set("co", placed.astype(np.float32).ravel())
    mesh.update()
    names = [name for name, flat in zip(("width", "depth", "height"), is_flat, strict=True) if flat]
    return [f"The mesh has no {name}, so it was not stretched that way." for name in names]


def write(obj: bpy.types.Object, folder: Path, code: str, progress: Progress) -> tuple[list[str], list[str]]:
    """Write the mesh in every format; return those written and a note for each of the others. GLB must be written."""
    mesh_io.export_mesh(obj, folder / "mesh.glb")
    progress.reached(75)
    formats, notes = ["glb"], []
    for percent, (kind, writer) in zip((85, 92, 98), _OTHER_FORMATS.items(), strict=True):
        try:
            formats += writer(obj, folder, code)
        except (CsmError, RuntimeError, OSError) as error:
            traceback.print_exc()
            notes.append(f"{kind} could not be written: {str(error).strip().splitlines()[-1]}")
        progress.reached(percent)
    return formats, notes


def _write_obj(obj: bpy.types.Object, folder: Path, code: str) -> list[str]:
    """A zip of ``CODE/mesh.obj`` with MTL and textures, and the OBJ once more, bare."""
    draft = folder / "scratch" / f"{code}.zip"
    mesh_io.export_mesh(obj, draft)
    with zipfile.ZipFile(draft) as archive:
        Path(archive.extract(f"{code}/mesh.obj", folder / "scratch")).replace(folder / "mesh.obj")
    draft.replace(folder / "mesh.zip")
    return ["zip", "obj"]


def _write_fbx(obj: bpy.types.Object, folder: Path, _code: str) -> list[str]:
    mesh_io.export_mesh(obj, folder / "mesh.fbx")
    return ["fbx"]


def _write_usdz(obj: bpy.types.Object, folder: Path, _code: str) -> list[str]:
    mesh_io.export_mesh(obj, folder / "mesh.usdz")
    return ["usdz"] if (folder / "mesh.usdz").is_file() else []


_OTHER_FORMATS = {"OBJ": _write_obj, "FBX": _write_fbx, "USDZ": _write_usdz}


@contextlib.contextmanager
def _edited(mesh: bpy.types.Mesh) -> Any:
    edited = bmesh.new()
    try:
        edited.from_mesh(mesh)
        yield edited
        edited.to_mesh(mesh)
    finally:
        edited.free()
    mesh.update()


def _turn(mesh: bpy.types.Mesh, wrong: WrongFaces) -> None:
    with _edited(mesh) as edited:
        edited.faces.ensure_lookup_table()
        at_odds = [edited.faces[index] for index in wrong.at_odds]
        inside_out = [edited.faces[index] for index in wrong.inside_out]
        before = {face: face.normal.copy() for face in at_odds}
        bmesh.ops.recalc_face_normals(edited, faces=at_odds)
        bmesh.ops.reverse_faces(edited, faces=inside_out)
        turned = [*inside_out, *(face for face in at_odds if face.normal.dot(before[face]) < 0)]
        _turn_normals(edited, turned)


def _turn_normals(edited: bmesh.types.BMesh, faces: Sequence[bmesh.types.BMFace]) -> None:
    layer = edited.loops.layers.float_vector.get(_NORMALS)
    if layer is not None:
        for face in faces:
            for loop in face.loops:
                loop[layer] = -loop[layer]


def _corner_normals(mesh: bpy.types.Mesh) -> np.ndarray[Any, Any]:
    normals = np.empty(len(mesh.loops) * 3, dtype=np.float32)
    mesh.corner_normals.foreach_get("vector", normals)
    return normals.reshape(-1, 3)


def _restore_normals(mesh: bpy.types.Mesh) -> None:
    attribute: Any = mesh.attributes[_NORMALS]
    normals = np.empty(len(mesh.loops) * 3, dtype=np.float32)
    attribute.data.foreach_get("vector", normals)
    mesh.attributes.remove(attribute)
    mesh.normals_split_custom_set(normals.reshape(-1, 3))


def _faces(mesh: bpy.types.Mesh) -> Faces:
    corners, polygons = len(mesh.loops), len(mesh.polygons)
    corner_vertex, corner_edge = np.empty(corners, dtype=np.int32), np.empty(corners, dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", corner_vertex)
    mesh.loops.foreach_get("edge_index", corner_edge)
    starts, totals = np.empty(polygons, dtype=np.int32), np.empty(polygons, dtype=np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    mesh.polygons.foreach_get("loop_total", totals)
    edges = np.empty(len(mesh.edges) * 2, dtype=np.int32)
    mesh.edges.foreach_get("vertices", edges)
    return Faces(
        positions=mesh_io.vertex_positions(mesh).astype(np.float64),
        corner_vertex=corner_vertex,
        corner_edge=corner_edge,
        corner_face=np.repeat(np.arange(polygons), totals),
        edges=edges.reshape(-1, 2),
        starts=starts,
    )


def _diagonal(mesh: bpy.types.Mesh) -> float:
    positions = mesh_io.vertex_positions(mesh)
    return float(np.linalg.norm(np.ptp(positions.astype(np.float64), axis=0)))


def _vector(values: Sequence[float]) -> Vector3:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def _end_with_stdin() -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    os._exit(1)
