"""Objects in Blender for tests, and what is true about them, found the slow and plain way."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

WEDGE = (
    (-0.5, -0.5, -0.5),
    (0.5, -0.5, -0.5),
    (0.5, 0.5, -0.5),
    (-0.5, 0.5, -0.5),
    (-0.5, -0.5, 0.5),
    (0.5, -0.1, 0.5),
)
WEDGE_FACES = ((3, 2, 1, 0), (0, 1, 5, 4), (1, 2, 5), (2, 3, 4, 5), (3, 0, 4))


def empty_scene() -> bpy.types.Context:
    """Start over with a scene that holds nothing."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context


def link(obj: bpy.types.Object) -> bpy.types.Object:
    bpy.context.scene.collection.objects.link(obj)
    return obj


def mesh_object(name: str = "Wedge", points=WEDGE, faces=WEDGE_FACES, matrix: Matrix | None = None) -> bpy.types.Object:
    """Link a mesh object; the default one has no two sides alike and fills the box from -0.5 to 0.5."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(map(float, point)) for point in points], [], faces)
    obj = link(bpy.data.objects.new(name, mesh))
    obj.matrix_world = matrix or Matrix()
    return obj


def select(*objects: bpy.types.Object) -> None:
    """Select these alone; the first one becomes active."""
    bpy.context.view_layer.update()  # what was linked just now cannot be selected before
    for other in bpy.context.view_layer.objects:
        other.select_set(other in objects)
    bpy.context.view_layer.objects.active = objects[0] if objects else None


def world_vertices(*objects: bpy.types.Object) -> np.ndarray:
    """Return every evaluated vertex of exactly these objects, without instances, in world space, (n, 3) float64."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    points = []
    for obj in objects:
        mesh = bpy.data.meshes.new_from_object(obj.evaluated_get(depsgraph))
        points += [transformed(obj.matrix_world, vertex.co) for vertex in mesh.vertices]
        bpy.data.meshes.remove(mesh)
    return np.array(points)


def transformed(matrix: Matrix, point) -> np.ndarray:
    return np.array(matrix, dtype=np.float64) @ (*point, 1.0) @ np.eye(4, 3)


def in_frame(points: np.ndarray, origin, rotation) -> np.ndarray:
    """Return world points in a frame: turned back by a quaternion w, x, y, z, from its origin."""
    w, x, y, z = np.array(rotation) / np.linalg.norm(rotation)
    turn = np.eye(3) + 2 * w * _cross(x, y, z) + 2 * _cross(x, y, z) @ _cross(x, y, z)  # Rodrigues
    return (points - np.array(origin)) @ turn


def _cross(x, y, z) -> np.ndarray:
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def box_error(box, points: np.ndarray) -> float:
    """Return the largest difference between a box and that of points, relative to the box's diagonal."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, size = np.array(box.centre), np.array(box.size)
    return float(np.abs([centre - size / 2 - low, centre + size / 2 - high]).max() / box.diagonal)
