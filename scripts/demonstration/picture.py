"""One picture of source and result, each in place: the same camera, the same box drawn around both."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

WIDTH, HEIGHT = 640, 480
SAMPLES = 12


def before_and_after(source_name: str, result_name: str, path: Path) -> None:
    """Render source and result side by side with Cycles, which needs no graphics system, into one PNG."""
    source, result = bpy.data.objects[source_name], bpy.data.objects[result_name]
    _add_frame(result)
    _add_surroundings(result)
    with tempfile.TemporaryDirectory() as folder:
        halves = [
            _render(source, result, "source", Path(folder, "before.png")),
            _render(result, source, "result, placed", Path(folder, "after.png")),
        ]
    _save(np.concatenate(halves, axis=1), path)


def _render(shown: bpy.types.Object, hidden: bpy.types.Object, caption: str, path: Path) -> np.ndarray:
    shown.hide_set(False)
    shown.hide_render, hidden.hide_render = False, True
    text = bpy.data.objects["Caption"]
    text.data.body = caption
    scene = bpy.context.scene
    scene.render.filepath = str(path)
    with _quiet():
        bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.empty(WIDTH * HEIGHT * 4, dtype=np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(HEIGHT, WIDTH, 4)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Cycles' line for every sample from the terminal: it is written past Python, to the file descriptor."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _save(pixels: np.ndarray, path: Path) -> None:
    height, width, _channels = pixels.shape
    image = bpy.data.images.new("before_after", width, height)
    image.pixels.foreach_set(pixels.ravel())
    image.filepath_raw = str(path)
    image.file_format = "PNG"
    image.save()


def _add_frame(obj: bpy.types.Object) -> None:
    """Draw the object's box as thin rods, and its origin as a small ball."""
    corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
    edges = [(a, b) for a in range(8) for b in range(a) if _share_a_side(obj, a, b)]
    curve = bpy.data.curves.new("Box", "CURVE")
    curve.dimensions = "3D"
    curve.bevel_depth = 0.008
    for edge in edges:
        spline = curve.splines.new("POLY")
        spline.points.add(1)
        for point, corner in zip(spline.points, edge, strict=True):
            point.co = (*corners[corner], 1.0)
    curve.materials.append(_plain("Box", (1.0, 0.35, 0.05)))
    _link(bpy.data.objects.new("Box", curve))
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.05, location=obj.matrix_world.translation)
    bpy.context.object.data.materials.append(_plain("Origin", (1.0, 0.1, 0.4)))


def _share_a_side(obj: bpy.types.Object, first: int, second: int) -> bool:
    differs = [a != b for a, b in zip(obj.bound_box[first], obj.bound_box[second], strict=True)]
    return sum(differs) == 1


def _add_surroundings(obj: bpy.types.Object) -> None:
    """Add floor, lights and a camera that looks at the object from its front left."""
    scene = bpy.context.scene
    middle = sum((obj.matrix_world @ Vector(corner) for corner in obj.bound_box), Vector()) / 8
    reach = max(obj.dimensions)
    bpy.ops.mesh.primitive_plane_add(size=60, location=(0, 0, middle.z - reach * 0.55))
    bpy.context.object.data.materials.append(_plain("Floor", (0.35, 0.36, 0.38), strength=0.0))
    sun = bpy.data.lights.new("Sun", "SUN")
    sun.energy, sun.angle = 3.0, 0.1
    light = _link(bpy.data.objects.new("Sun", sun))
    light.rotation_euler = (math.radians(40), math.radians(15), math.radians(20))
    camera = _link(bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera")))
    camera.data.lens = 60
    camera.location = middle + Vector((0.75, -1.0, 0.6)).normalized() * reach * 2.6
    camera.rotation_euler = (middle - camera.location).to_track_quat("-Z", "Y").to_euler()
    _add_caption(camera)
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.75, 0.8, 0.9, 1.0)
    scene.world, scene.camera = world, camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = SAMPLES, False, 2
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.image_settings.file_format = "PNG"
    scene.view_settings.view_transform = "Standard"


def _add_caption(camera: bpy.types.Object) -> None:
    text = _link(bpy.data.objects.new("Caption", bpy.data.curves.new("Caption", "FONT")))
    text.parent = camera
    text.location = (-0.56, 0.375, -2.0)
    text.data.size = 0.07
    text.data.materials.append(_plain("Caption", (0.02, 0.02, 0.02)))


def _plain(name: str, colour: tuple[float, float, float], strength: float = 1.0) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Emission Color"].default_value = (*colour, 1.0)
    shader.inputs["Emission Strength"].default_value = strength
    return material


def _link(obj: bpy.types.Object) -> bpy.types.Object:
    bpy.context.scene.collection.objects.link(obj)
    return obj
