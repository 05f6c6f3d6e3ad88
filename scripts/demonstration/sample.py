"""A toy tugboat: asymmetric on every axis and textured, so that a wrong turn, mirror or scale is seen at once."""

from __future__ import annotations

import math
from pathlib import Path

import bmesh
import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

NAME = "Tugboat"
TEXTURE_SIZE = 512
PAINTS = {
    "hull": (0.06, 0.2, 0.38),
    "deck": (0.72, 0.5, 0.28),
    "cabin": (0.9, 0.88, 0.8),
    "funnel": (0.78, 0.13, 0.08),
}
"""The bands of the texture, from bottom to top, linear RGB."""


def make_scene(path: Path) -> None:
    """Save a .blend in which the sample stands turned, stretched and moved, with its origin off its middle."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    obj = bpy.data.objects.new(NAME, _mesh())
    bpy.context.scene.collection.objects.link(obj)
    obj.location = (1.5, -0.8, 0.9)
    obj.rotation_euler = Euler((math.radians(8), math.radians(-6), math.radians(35)))
    obj.scale = (1.2, 0.9, 1.1)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def _mesh() -> bpy.types.Mesh:
    form = bmesh.new()
    layer = form.loops.layers.uv.new("UVMap")
    _part(form, layer, "hull", _hull)
    _part(form, layer, "deck", lambda form: _box(form, (0.56, 0.5, 0.06), (-0.62, 0.0, 0.42)))
    _part(form, layer, "cabin", lambda form: _box(form, (0.55, 0.3, 0.5), (0.05, 0.0, 0.66)))
    _part(form, layer, "cabin", lambda form: _box(form, (0.7, 0.4, 0.05), (0.05, 0.0, 0.93)))
    _part(form, layer, "funnel", lambda form: _funnel(form, (-0.62, 0.08, 0.7)))
    _part(form, layer, "deck", lambda form: _box(form, (0.05, 0.05, 0.6), (0.72, -0.04, 0.72)))
    _part(form, layer, "funnel", lambda form: _box(form, (0.22, 0.02, 0.14), (0.61, -0.04, 0.94)))
    mesh = bpy.data.meshes.new(NAME)
    form.to_mesh(mesh)
    form.free()
    mesh.materials.append(_material())
    return mesh


def _part(form: bmesh.types.BMesh, layer: object, paint: str, build: object) -> None:
    """Build a part and lay its faces into the paint's band of the texture, by the side that they show."""
    before = set(form.faces)
    build(form)  # type: ignore[operator]
    band = list(PAINTS).index(paint)
    for face in set(form.faces) - before:
        normal = face.normal if face.normal.length else Vector((0, 0, 1))
        drop = max(range(3), key=lambda axis: abs(normal[axis]))
        first, second = (axis for axis in range(3) if axis != drop)
        for loop in face.loops:
            u = loop.vert.co[first] / 2.2 + 0.5
            v = (loop.vert.co[second] / 2.2 + 0.5) % 1.0
            loop[layer].uv = (u, (band + 0.05 + 0.9 * v) / len(PAINTS))


def _box(form: bmesh.types.BMesh, size: tuple[float, ...], centre: tuple[float, ...]) -> None:
    bmesh.ops.create_cube(form, size=1.0, matrix=Matrix.Translation(centre) @ Matrix.Diagonal((*size, 1.0)))
    form.normal_update()


def _hull(form: bmesh.types.BMesh) -> None:
    """A box whose bow (+X) runs to an edge and rises, and whose keel is narrower than its deck."""
    made = bmesh.ops.create_cube(
        form, size=1.0, matrix=Matrix.Diagonal((1.9, 0.7, 0.4, 1.0)) @ Matrix.Translation((0, 0, 0.5))
    )
    for vertex in made["verts"]:
        if vertex.co.x > 0:
            vertex.co.y *= 0.12
            vertex.co.z += 0.12 if vertex.co.z > 0.2 else 0.0
            vertex.co.x -= 0.25 if vertex.co.z < 0.2 else 0.0
        if vertex.co.z < 0.2:
            vertex.co.y *= 0.6
    form.normal_update()


def _funnel(form: bmesh.types.BMesh, centre: tuple[float, ...]) -> None:
    lean = Matrix.Rotation(math.radians(-10), 4, "Y")
    bmesh.ops.create_cone(
        form,
        cap_ends=True,
        segments=24,
        radius1=0.15,
        radius2=0.12,
        depth=0.6,
        matrix=Matrix.Translation(centre) @ lean,
    )
    form.normal_update()


def _material() -> bpy.types.Material:
    material = bpy.data.materials.new(NAME)
    material.use_nodes = True
    nodes = material.node_tree.nodes
    picture = nodes.new("ShaderNodeTexImage")
    picture.image = _texture()
    material.node_tree.links.new(picture.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def _texture() -> bpy.types.Image:
    """Paint the bands with planks and rivets, so that the mapping can be seen."""
    rows, columns = np.mgrid[0:TEXTURE_SIZE, 0:TEXTURE_SIZE]
    band = rows * len(PAINTS) // TEXTURE_SIZE
    plank = (columns // 32) % 2
    rivet = ((columns % 32 - 16) ** 2 + (rows % 32 - 16) ** 2) < 12
    shade = 0.82 + 0.18 * plank - 0.35 * rivet
    pixels = np.ones((TEXTURE_SIZE, TEXTURE_SIZE, 4), dtype=np.float32)
    pixels[..., :3] = np.array(list(PAINTS.values()))[band] * shade[..., None]
    image = bpy.data.images.new(NAME, TEXTURE_SIZE, TEXTURE_SIZE)
    image.pixels.foreach_set(pixels.ravel())
    image.pack()
    return image
