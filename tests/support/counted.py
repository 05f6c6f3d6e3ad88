"""What there is to count of a mesh, found the slow and plain way: by a walk over bmesh."""

from __future__ import annotations

import bpy

# isort: split
import bmesh

from csm_refine_addon.core.models import MeshCounts


def counted(mesh: bpy.types.Mesh) -> MeshCounts:
    """Count faces by sides, edges by faces, pieces, and islands of the rendered UV map, with ``bmesh``."""
    edited = bmesh.new()
    edited.from_mesh(mesh)
    try:
        layer = next((layer.name for layer in mesh.uv_layers if layer.active_render), None)
        sides = [len(face.verts) for face in edited.faces]
        return MeshCounts(
            sides.count(3),
            sides.count(4),
            len([number for number in sides if number > 4]),
            len(edited.verts),
            open_edges=sum(len(edge.link_faces) == 1 for edge in edited.edges),
            non_manifold_edges=sum(len(edge.link_faces) > 2 for edge in edited.edges),
            pieces=_pieces(edited),
            uv_islands=None if layer is None else _islands(edited, edited.loops.layers.uv[layer]),
        )
    finally:
        edited.free()


def _islands(edited, layer) -> int:
    def shown(face, edge):
        return {loop.vert: tuple(loop[layer].uv) for loop in face.loops if loop.vert in edge.verts}

    neighbours = {face: set() for face in edited.faces}
    for edge in edited.edges:
        for one in edge.link_faces:
            neighbours[one] |= {other for other in edge.link_faces if shown(one, edge) == shown(other, edge)}
    return _walked(neighbours)


def _pieces(edited) -> int:
    neighbours = {face: set() for face in edited.faces}
    for vertex in edited.verts:
        for face in vertex.link_faces:
            neighbours[face] |= set(vertex.link_faces)
    return _walked(neighbours)


def _walked(neighbours) -> int:
    """Return how many groups there are of things that neighbours lead to each other."""
    left, found = set(neighbours), 0
    while left:
        found += 1
        border = [left.pop()]
        while border:
            border += [other for other in neighbours[border.pop()] if other in left and not left.discard(other)]
    return found
