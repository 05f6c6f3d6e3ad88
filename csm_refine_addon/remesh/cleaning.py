"""Topology-preserving cleaning: merges doubles, deletes loose geometry, repairs face orientation."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import bpy  # where Blender is a Python module, bmesh is there only after it

# isort: split
import bmesh
import numpy as np

from ..blender.background import mesh_io
from ..core.errors import MeshUnusable
from .face_orientation import Faces, WrongFaces, find_wrong_faces
from .tuning import MERGE_FRACTION

_NORMALS = "csm_refine_normals"


def clean(mesh: bpy.types.Mesh, *, merge: bool = True) -> None:
    """Merge doubles, drop edges and vertices without faces, and repair face orientation; keep UVs, materials, normals.

    Without ``merge``, vertices at the same place stay separate, except those of a zero-length edge.
    Raises MeshUnusable if no face with an area is left.
    """
    normals = _corner_normals(mesh) if mesh.has_custom_normals else None
    if normals is not None:  # Blender stores them relative to the surrounding faces, which change below
        kept: Any = mesh.attributes.new(_NORMALS, "FLOAT_VECTOR", "CORNER")
        kept.data.foreach_set("vector", normals.ravel())
    with edited_mesh(mesh) as edited:
        least = MERGE_FRACTION * _diagonal(mesh)
        if merge:
            bmesh.ops.remove_doubles(edited, verts=edited.verts, dist=least)
        else:
            short = [edge for edge in edited.edges if edge.calc_length() <= least]
            bmesh.ops.collapse(edited, edges=short, uvs=True)
        bmesh.ops.delete(edited, geom=[edge for edge in edited.edges if not edge.link_faces], context="EDGES")
        bmesh.ops.delete(edited, geom=[vertex for vertex in edited.verts if not vertex.link_faces], context="VERTS")
    if not mesh.polygons:
        raise MeshUnusable("Nothing is left of the mesh: its faces have no area.", "Take another mesh.")
    wrong = find_wrong_faces(_faces(mesh))
    if len(wrong.inconsistent) or len(wrong.inside_out):
        _repair_normals(mesh, wrong)
    if normals is not None:
        _restore_normals(mesh)


@contextlib.contextmanager
def edited_mesh(mesh: bpy.types.Mesh) -> Any:
    edited = bmesh.new()
    try:
        edited.from_mesh(mesh)
        yield edited
        edited.to_mesh(mesh)
    finally:
        edited.free()
    mesh.update()


def _repair_normals(mesh: bpy.types.Mesh, wrong: WrongFaces) -> None:
    with edited_mesh(mesh) as edited:
        edited.faces.ensure_lookup_table()
        inconsistent = [edited.faces[index] for index in wrong.inconsistent]
        inside_out = [edited.faces[index] for index in wrong.inside_out]
        before = {face: face.normal.copy() for face in inconsistent}
        bmesh.ops.recalc_face_normals(edited, faces=inconsistent)
        bmesh.ops.reverse_faces(edited, faces=inside_out)
        turned = [*inside_out, *(face for face in inconsistent if face.normal.dot(before[face]) < 0)]
        _negate_custom_normals(edited, turned)


def _negate_custom_normals(edited: bmesh.types.BMesh, faces: Sequence[bmesh.types.BMFace]) -> None:
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
