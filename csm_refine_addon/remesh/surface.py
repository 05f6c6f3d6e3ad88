"""A mesh as two arrays, conversion from and to Blender meshes, and nearest-point lookup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree

Array = np.ndarray[Any, Any]
TINY = 1e-30


@dataclass(frozen=True)
class Surface:
    """``points`` (v, 3) float64 and ``faces`` (f, 4) vertex numbers; a triangle's fourth is -1."""

    points: Array
    faces: Array

    @property
    def is_quad(self) -> Array:
        """Per face."""
        return self.faces[:, 3] >= 0

    @property
    def diagonal(self) -> float:
        """Of the box."""
        return float(np.linalg.norm(np.ptp(self.points, axis=0))) if len(self.points) else 0.0

    def triangles(self) -> Array:
        """Return (t, 3): the faces' halves, first halves first, in order; quads cut from first to third corner.

        So does Blender, which every exporter follows.
        """
        return np.concatenate([self.faces[:, :3], self.faces[self.is_quad][:, [0, 2, 3]]])


def of_triangles(points: Array, triangles: Array) -> Surface:
    """Return a surface of triangles alone."""
    return Surface(np.asarray(points, np.float64), np.column_stack([triangles, np.full(len(triangles), -1)]))


def of_mesh(mesh: bpy.types.Mesh) -> Surface:
    """Return the shape of a Blender mesh; faces of more than four corners come as triangles."""
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    starts, totals, corners = (
        np.empty(len(mesh.polygons), np.int32),
        np.empty(len(mesh.polygons), np.int32),
        np.empty(len(mesh.loops), np.int32),
    )
    mesh.polygons.foreach_get("loop_start", starts)
    mesh.polygons.foreach_get("loop_total", totals)
    mesh.loops.foreach_get("vertex_index", corners)
    small = totals <= 4
    faces = corners[np.minimum(starts[small, None] + np.arange(4), len(corners) - 1)]
    faces[totals[small] == 3, 3] = -1
    if not small.all():
        triangles, owner = triangles_of_mesh(mesh)
        large = triangles[~small[owner]]
        faces = np.concatenate([faces, np.column_stack([large, np.full(len(large), -1)])])
    return Surface(points.reshape(-1, 3).astype(np.float64), faces.astype(np.int64))


def triangles_of_mesh(mesh: bpy.types.Mesh) -> tuple[Array, Array]:
    """Return the vertices of Blender's triangles (t, 3), and the face of each."""
    mesh.calc_loop_triangles()
    vertices = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    owner = np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", vertices)
    mesh.loop_triangles.foreach_get("polygon_index", owner)
    return vertices.reshape(-1, 3), owner


def to_mesh(surface: Surface, name: str) -> bpy.types.Mesh:
    """Return a new Blender mesh of this shape."""
    mesh = bpy.data.meshes.new(name)
    sizes = 3 + surface.is_quad
    corners = surface.faces[surface.faces >= 0]
    mesh.vertices.add(len(surface.points))
    mesh.loops.add(len(corners))
    mesh.polygons.add(len(sizes))
    mesh.vertices.foreach_set("co", surface.points.astype(np.float32).ravel())
    mesh.loops.foreach_set("vertex_index", corners.astype(np.int32))
    mesh.polygons.foreach_set("loop_start", (np.cumsum(sizes) - sizes).astype(np.int32))
    mesh.update(calc_edges=True)
    return mesh


class Nearest:
    """Nearest-point lookup on a triangle mesh, 2 to 5 microseconds for each point."""

    def __init__(self, points: Array, triangles: Array) -> None:
        mesh = to_mesh(of_triangles(points, triangles), "nearest")
        obj = bpy.data.objects.new("nearest", mesh)
        bpy.context.scene.collection.objects.link(obj)
        self._tree: Any = BVHTree.FromObject(
            obj, bpy.context.evaluated_depsgraph_get()
        )  # from lists: 4 times the memory
        bpy.data.objects.remove(obj)
        bpy.data.meshes.remove(mesh)

    def __call__(self, points: Array) -> tuple[Array, Array, Array]:
        """Return for each point the nearest one on the mesh (n, 3), its triangle, and the distance."""
        find = self._tree.find_nearest
        found = [find(point) for point in points.tolist()]
        places = np.array([hit[0] for hit in found], np.float64).reshape(-1, 3)
        return places, np.array([hit[2] for hit in found], np.int64), np.array([hit[3] for hit in found], np.float64)

    def triangles(self, points: Array) -> Array:
        """Return the triangle nearest to each point; in four fifths of the time."""
        find = self._tree.find_nearest
        return np.array([find(point)[2] for point in points.tolist()], np.int64)

    def distances(self, points: Array) -> Array:
        """Return how far each point is from the mesh."""
        find = self._tree.find_nearest
        return np.array([find(point)[3] for point in points.tolist()], np.float64)

    def along(self, origins: Array, directions: Array, reach: float) -> tuple[Array, Array]:
        """Return where each ray meets the mesh first (n, 3), and the triangle, -1 where it does not."""
        cast = self._tree.ray_cast
        found = [cast(o, d, reach) for o, d in zip(origins.tolist(), directions.tolist(), strict=True)]
        triangles = np.array([-1 if hit[2] is None else hit[2] for hit in found], np.int64)
        return np.array([hit[0] or (0, 0, 0) for hit in found], np.float64).reshape(-1, 3), triangles


def crosses(points: Array, triangles: Array) -> Array:
    """Return per triangle the normal, as long as twice its area."""
    corners = points[triangles]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def unit(vectors: Array) -> Array:
    """Return the vectors with length 1; those of no length stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), TINY)


def areas(points: Array, triangles: Array) -> Array:
    """Return per triangle its area."""
    return np.linalg.norm(crosses(points, triangles), axis=1) / 2


def vertex_normals(points: Array, triangles: Array) -> Array:
    """Return per vertex the mean normal of its triangles, by area."""
    normals = crosses(points, triangles)
    return unit(scatter_add(triangles, np.repeat(normals[:, None], 3, axis=1), len(points)))


def scatter_add(faces: Array, values: Array, count: int) -> Array:
    """Return (count, 3): the sum of ``values`` (f, corners, 3) over the corners of each vertex."""
    owners = faces.ravel()
    flat = values.reshape(-1, 3)
    return np.stack([np.bincount(owners, weights=flat[:, axis], minlength=count) for axis in range(3)], axis=1)


def weights_in(points: Array, triangles: Array, which: Array, places: Array) -> Array:
    """Return (n, 3): the barycentric weights of places in their triangles, kept within them."""
    corner, along, across = (points[triangles[which, k]] for k in range(3))
    along, across, inside = along - corner, across - corner, places - corner
    aa, ab, bb = (np.einsum("ij,ij->i", x, y) for x, y in ((along, along), (along, across), (across, across)))
    pa, pb = (np.einsum("ij,ij->i", inside, y) for y in (along, across))
    scale = np.maximum(aa * bb - ab * ab, TINY)
    second, third = (bb * pa - ab * pb) / scale, (aa * pb - ab * pa) / scale
    weights = np.clip(np.stack([1 - second - third, second, third], axis=1), 0, 1)
    return weights / weights.sum(axis=1, keepdims=True)


def samples(points: Array, triangles: Array, count: int, seed: int) -> tuple[Array, Array]:
    """Return places spread evenly over the surface (count, 3), and the triangle of each."""
    chance = np.random.default_rng(seed)
    share = areas(points, triangles)
    if share.sum() <= 0:
        share = np.ones(len(triangles))
    # Systematic: each triangle gets its share to within one, which halves the noise of independent draws.
    which = np.searchsorted(np.cumsum(share) / share.sum(), (np.arange(count) + chance.random(count)) / count)
    which = np.minimum(which, len(triangles) - 1)
    second, third = chance.random((2, count))
    outside = second + third > 1
    second[outside], third[outside] = 1 - second[outside], 1 - third[outside]
    corner = points[triangles[which]]
    along, across = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    return corner[:, 0] + second[:, None] * along + third[:, None] * across, which
