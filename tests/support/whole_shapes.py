"""Objects of a scene as artists have them, with quads, UV maps, colours, normals and textures, for whole jobs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from tests.support import raw_meshes, scenes

STANDS = Matrix.LocRotScale(Vector((3, -2, 1.5)), Euler((0.3, 0.5, 1.1)), Vector((1, 1, 1)))
COLOURS, LAYOUTS = "Paint", ("UVMap", "Second")


def cube() -> bpy.types.Object:
    """The cube of 8 vertices and 6 quads."""
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = [(0, 1, 3, 2), (2, 3, 7, 6), (6, 7, 5, 4), (4, 5, 1, 0), (2, 6, 4, 0), (7, 3, 1, 5)]
    return _dressed(scenes.mesh_object("Cube", corners, faces, STANDS))


def ball() -> bpy.types.Object:
    """A textured ball with triangles at its poles, a seam, custom normals and a ring of sharp edges."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=16, ring_count=10, radius=1.3)
    obj = bpy.context.object
    obj.name, obj.matrix_world = "Ball", STANDS
    obj.data.shade_smooth()
    for edge in obj.data.edges:
        edge.use_edge_sharp = all(abs(obj.data.vertices[vertex].co.z) < 1e-4 for vertex in edge.vertices)
    obj.data.uv_layers.remove(obj.data.uv_layers[0])
    _dressed(obj)
    normals = np.empty((len(obj.data.loops), 3), np.float32)
    obj.data.corner_normals.foreach_get("vector", normals.ravel())
    normals += (0.0, 0.0, 0.3)
    obj.data.normals_split_custom_set(normals / np.linalg.norm(normals, axis=1, keepdims=True))
    return obj


def torus() -> bpy.types.Object:
    """A torus of quads, all with small bumps."""
    bpy.ops.mesh.primitive_torus_add(major_segments=32, minor_segments=14, major_radius=1.2, minor_radius=0.45)
    obj = bpy.context.object
    obj.name, obj.matrix_world = "Torus", STANDS
    points = np.empty((len(obj.data.vertices), 3), np.float32)
    obj.data.vertices.foreach_get("co", points.ravel())
    points += np.random.default_rng(3).uniform(-0.01, 0.01, points.shape)
    obj.data.vertices.foreach_set("co", points.ravel())
    obj.data.uv_layers.remove(obj.data.uv_layers[0])
    return _dressed(obj)


def bicycle() -> bpy.types.Object:
    """Wheels, tubes and spokes: some forty parts that touch each other, most of them thin."""
    parts = [_ring(x, 0.33, 0.02) for x in (-0.5, 0.5)]
    for x in (-0.5, 0.5):
        turns = np.linspace(0, 2 * math.pi, 16, endpoint=False)
        parts += [_tube((x, 0, 0.33), (x + 0.33 * math.cos(a), 0, 0.33 + 0.33 * math.sin(a)), 0.004) for a in turns]
    seat, pedals, head, rear, front = (-0.15, 0, 0.85), (-0.05, 0, 0.3), (0.38, 0, 0.8), (-0.5, 0, 0.33), (0.5, 0, 0.33)
    pairs = [(seat, pedals), (seat, head), (pedals, head), (rear, pedals), (rear, seat), (head, front)]
    parts += [_tube(start, end, 0.02) for start, end in pairs]
    with bpy.context.temp_override(active_object=parts[0], object=parts[0], selected_editable_objects=parts):
        bpy.ops.object.join()
    parts[0].name = "Bicycle"
    return parts[0]


def chair(folder: Path) -> bpy.types.Object:
    """A generated chair of some 60,000 triangles in its vertex colours."""
    bpy.ops.wm.obj_import(filepath=str(raw_meshes.chair(folder)))
    return bpy.context.object


SMALL: dict[str, Callable[[Path], bpy.types.Object]] = {
    "cube": lambda _folder: cube(),
    "ball": lambda _folder: ball(),
    "torus": lambda _folder: torus(),
}
LARGE: dict[str, Callable[[Path], bpy.types.Object]] = {"chair": chair, "bicycle": lambda _folder: bicycle()}


def _dressed(obj: bpy.types.Object) -> bpy.types.Object:
    """Give an object two UV maps, painted corners and a texture that stands packed in its material."""
    mesh = obj.data
    random = np.random.default_rng(7)
    for name in LAYOUTS:
        values = random.uniform(0.02, 0.98, 2 * len(mesh.loops)).astype(np.float32)
        mesh.uv_layers.new(name=name).data.foreach_set("uv", values)
    painted = mesh.color_attributes.new(COLOURS, "FLOAT_COLOR", "CORNER").data
    painted.foreach_set("color", random.uniform(0, 1, 4 * len(painted)).astype(np.float32))
    material = bpy.data.materials.new("Checker")
    if material.node_tree is None:  # up to 4.5; later ones have it, and warn
        material.use_nodes = True
    image = bpy.data.images.new("Checker", 32, 32)
    image.pixels.foreach_set(np.tile([[0.8, 0.2, 0.1, 1.0], [0.1, 0.3, 0.8, 1.0]], (512, 1)).astype(np.float32).ravel())
    image.update()
    image.pack()
    texture = material.node_tree.nodes.new("ShaderNodeTexImage")
    texture.image = image
    shader = material.node_tree.nodes["Principled BSDF"]
    material.node_tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    mesh.materials.append(material)
    return obj


def _ring(x: float, radius: float, thickness: float) -> bpy.types.Object:
    bpy.ops.mesh.primitive_torus_add(
        major_radius=radius, minor_radius=thickness, location=(x, 0, radius), rotation=(math.pi / 2, 0, 0)
    )
    return bpy.context.object


def _tube(start, end, radius: float) -> bpy.types.Object:
    along = Vector(end) - Vector(start)
    bpy.ops.mesh.primitive_cylinder_add(vertices=10, radius=radius, depth=along.length)
    obj = bpy.context.object
    obj.matrix_world = (
        Matrix.Translation((Vector(start) + Vector(end)) / 2) @ along.to_track_quat().to_matrix().to_4x4()
    )
    return obj
