"""Gives a bare shape a UV layout and textures baked from the source."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from . import tuning
from .baking import Textures, bake_textures
from .material_sampling import MaterialSampler
from .packing import pack_charts
from .progress import Progress, Step
from .surface import Array, Surface, to_mesh
from .unwrapping import unwrap


def retexture_shape(shape: Surface, source: bpy.types.Object, size: int, progress: Progress) -> bpy.types.Object:
    """Return an object of this shape with UV layout and textures of ``size`` squared; the source is removed."""
    mesh = to_mesh(shape, source.name)
    triangles = shape.triangles()
    owner = np.concatenate([np.arange(len(shape.faces)), np.flatnonzero(shape.is_quad)])
    flat = unwrap(shape.points, triangles, owner, tuning.CHARTS)
    progress.reached(22)
    layer: Any = mesh.uv_layers.new(name="UVMap")
    uvs = _corner_uvs(shape, triangles, owner, pack_charts(flat, size))
    layer.data.foreach_set("uv", uvs.astype(np.float32).ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    mesh.update()
    progress.reached(40)
    progress.begin(Step.BAKING)
    look = MaterialSampler(source.data)
    with progress.stage(40, 92):
        textures = bake_textures(mesh, look, size)
    mesh.materials.append(_material(source.name, textures, look))
    name = source.name
    bpy.data.objects.remove(source)
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def _corner_uvs(shape: Surface, triangles: Array, owner: Array, places: Array) -> Array:
    """Return UVs (corners, 2) in the order of the face corners, from the UVs of the triangles (t, 3, 2)."""
    result = np.zeros((*shape.faces.shape, 2))
    for corner in range(3):
        here = shape.faces[owner] == triangles[:, corner, None]
        triangle, place = np.nonzero(here)
        result[owner[triangle], place] = places[triangle, corner]
    return np.asarray(result[shape.faces >= 0])


def _material(name: str, textures: Textures, look: MaterialSampler) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # Blender up to 4.5; later versions always have a node tree and warn
        material.use_nodes = True
    tree: Any = material.node_tree
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    colour = _picture(tree, f"{name}_colour", textures.colour, "sRGB")
    tree.links.new(colour.outputs["Color"], shader.inputs["Base Color"])
    if look.is_see_through:
        tree.links.new(colour.outputs["Alpha"], shader.inputs["Alpha"])
    bumps = tree.nodes.new("ShaderNodeNormalMap")
    bumps.uv_map = "UVMap"
    tree.links.new(
        _picture(tree, f"{name}_normal", textures.normal, "Non-Color").outputs["Color"], bumps.inputs["Color"]
    )
    tree.links.new(bumps.outputs["Normal"], shader.inputs["Normal"])
    shader.inputs["Roughness"].default_value, shader.inputs["Metallic"].default_value = look.plain_values
    if textures.surface is not None:
        picture = _picture(tree, f"{name}_surface", textures.surface, "Non-Color")
        parts = tree.nodes.new("ShaderNodeSeparateColor")
        tree.links.new(picture.outputs["Color"], parts.inputs["Color"])
        tree.links.new(parts.outputs["Green"], shader.inputs["Roughness"])
        tree.links.new(parts.outputs["Blue"], shader.inputs["Metallic"])
    return material


def _picture(tree: Any, name: str, values: Array, space: str) -> Any:
    rows, columns = values.shape[:2]
    pixels = np.ones((rows, columns, 4), np.float32)
    pixels[:, :, : values.shape[2]] = values
    image: Any = bpy.data.images.new(name, columns, rows, alpha=True)
    image.colorspace_settings.name = space
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    image.file_format = "PNG"
    image.pack()
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    return node
