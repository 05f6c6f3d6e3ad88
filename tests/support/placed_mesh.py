"""What stands in the scene after a job, read from its bmesh."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import bpy

# isort: split
import bmesh


@dataclass(frozen=True)
class PlacedMesh:
    """``sides`` counts the faces by their number of sides; an open edge has not exactly two faces."""

    vertices: int
    sides: dict[int, int]
    open_edges: int
    pieces: int
    uv_maps: tuple[str, ...]
    colours: tuple[str, ...]

    @property
    def quad_share(self) -> float:
        return self.sides.get(4, 0) / sum(self.sides.values())


def read(obj: bpy.types.Object) -> PlacedMesh:
    edited = bmesh.new()
    try:
        edited.from_mesh(obj.data)
        return PlacedMesh(
            len(edited.verts),
            dict(Counter(len(face.verts) for face in edited.faces)),
            sum(len(edge.link_faces) != 2 for edge in edited.edges),
            _pieces(edited),
            tuple(obj.data.uv_layers.keys()),
            tuple(obj.data.color_attributes.keys()),
        )
    finally:
        edited.free()


def _pieces(edited: bmesh.types.BMesh) -> int:
    """How many sets of faces there are that share no vertex."""
    left, count = set(edited.verts), 0
    while left:
        count += 1
        ahead = [left.pop()]
        while ahead:
            vertex = ahead.pop()
            around = {edge.other_vert(vertex) for edge in vertex.link_edges} & left
            left -= around
            ahead += around
    return count
