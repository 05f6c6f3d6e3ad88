"""Repairs a shape for remeshing: no edge with more than two faces, holes of closed bodies filled.

Works on arrays without materials: textures are baked from the unrepaired source.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..blender.background.topology import connected_components
from . import tuning
from .components import component_of_face
from .edges import Edges, build_edges
from .surface import Array, Surface, areas, of_mesh, of_triangles, triangles_of_mesh


def repair_shape(mesh: bpy.types.Mesh) -> Surface:
    """Return the repaired shape of a cleaned mesh as triangles. The mesh is not changed."""
    triangles, _ = triangles_of_mesh(mesh)
    points = of_mesh(mesh).points
    kept = without_duplicate_faces(triangles.astype(np.int64))
    for turn in range(tuning.REPAIR_ROUNDS):
        kept, non_manifold = without_non_manifold_edges(points, kept, whole_ring=turn > 0)
        points, kept, filled = fill_holes(points, kept)
        if not non_manifold and not filled:
            break
    kept, _ = without_non_manifold_edges(points, kept, whole_ring=False)
    return split_non_manifold_vertices(of_triangles(points, kept if len(kept) else triangles))


def split_non_manifold_vertices(surface: Surface) -> Surface:
    """Return triangles with each non-manifold vertex duplicated, once for each fan of edge-connected triangles.

    QuadriFlow rejects such vertices, for example two cones that touch at their tips.
    """
    count, triangles = len(surface.points), surface.faces[:, :3]
    edges = build_edges(triangles, count)
    one, other = edges.pairs()
    links = []
    for vertex in (edges.start[one], edges.end[one]):
        places = [
            (triangles[face] == vertex[:, None]).argmax(axis=1) + 3 * face
            for face in (edges.face[one], edges.face[other])
        ]
        links.append(np.stack(places, axis=1))
    fans = connected_components(3 * len(triangles), *np.concatenate(links).T)
    first, corner = np.unique(fans, return_inverse=True)
    return of_triangles(surface.points[triangles.ravel()[first]], corner.reshape(-1, 3))


def without_duplicate_faces(triangles: Array) -> Array:
    """Return the triangles without duplicate and degenerate ones."""
    ordered = np.sort(triangles, axis=1)
    kept = np.zeros(len(triangles), bool)
    kept[np.unique(ordered, axis=0, return_index=True)[1]] = True
    kept &= (ordered[:, 0] != ordered[:, 1]) & (ordered[:, 1] != ordered[:, 2])
    return triangles[kept]


def without_non_manifold_edges(points: Array, triangles: Array, *, whole_ring: bool) -> tuple[Array, int]:
    """Return triangles with at most two at each edge, and how many edges had more.

    Fins have open edges and inner walls are mostly small, so the largest triangle without open edges is kept for each
    direction. With ``whole_ring`` every triangle that touches such an edge is removed, for edges that came back.
    """
    edges = build_edges(triangles, len(points))
    non_manifold = np.flatnonzero(edges.uses > 2)
    if not len(non_manifold):
        return triangles, 0
    if whole_ring:
        spoiled = np.unique([edges.start[edges.first[non_manifold]], edges.end[edges.first[non_manifold]]])
        return triangles[~np.isin(triangles, spoiled).any(axis=1)], len(non_manifold)
    sizes, doomed = areas(points, triangles), np.zeros(len(triangles), bool)
    sizes[edges.face[edges.first[edges.uses == 1]]] *= tuning.OPEN_FACE_WEIGHT
    for edge in non_manifold.tolist():
        halves = slice(edges.first[edge], edges.first[edge] + edges.uses[edge])
        around, forwards = edges.face[halves], edges.start[halves] < edges.end[halves]
        weight = np.where(doomed[around], -1.0, sizes[around])
        for way in (True, False):  # one triangle per orientation stays
            mine = np.flatnonzero(forwards == way)
            doomed[around[mine[np.argsort(weight[mine])[:-1]]]] = True
    return triangles[~doomed], len(non_manifold)


def fill_holes(points: Array, triangles: Array) -> tuple[Array, Array, int]:
    """Return points, triangles, and the number of holes filled: those small relative to their component.

    Each hole gets a fan around its centre, which never duplicates an existing edge.
    """
    edges = build_edges(triangles, len(points))
    rim = edges.first[edges.uses == 1]
    if not len(rim):
        return points, triangles, 0
    part = component_of_face(triangles, len(points))
    size = np.bincount(part, weights=areas(points, triangles))
    middles: list[Array] = []
    fans: list[Array] = []
    for loop in _boundary_loops(edges, rim):
        around = points[edges.start[loop]]
        length = np.linalg.norm(around - np.roll(around, -1, axis=0), axis=1).sum()
        if length**2 < tuning.HOLE_SHARE * 4 * np.pi * size[part[edges.face[loop[0]]]]:
            middle = np.full(len(loop), len(points) + len(middles))
            fans.append(np.stack([edges.end[loop], edges.start[loop], middle], axis=1))
            middles.append(around.mean(axis=0))
    if not fans:
        return points, triangles, 0
    return np.concatenate([points, middles]), np.concatenate([triangles, *fans]), len(fans)


def _boundary_loops(edges: Edges, rim: Array) -> list[Array]:
    """Return the boundary half edges as closed loops, in order."""
    leaving: dict[int, list[int]] = {}
    for half, vertex in zip(rim.tolist(), edges.start[rim].tolist(), strict=True):
        leaving.setdefault(vertex, []).append(half)
    loops = []
    while leaving:
        vertex = first = next(iter(leaving))
        loop: list[int] = []
        while vertex in leaving:
            loop.append(leaving[vertex].pop())
            if not leaving[vertex]:
                del leaving[vertex]
            vertex = int(edges.end[loop[-1]])
            if vertex == first:
                break
        if vertex == first and len(loop) > 2:
            loops.append(np.array(loop))
    return loops
