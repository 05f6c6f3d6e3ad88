"""Meshes as a refine service returns them, written without Blender: stretched to the box, the pivot at the origin."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from tests.support.scenes import WEDGE, WEDGE_FACES


def unit_mesh() -> trimesh.Trimesh:
    """The wedge of ``scenes`` in API axes (Y up, +Z front): in a box from -0.5 to 0.5, with a UV map."""
    vertices = np.array(WEDGE)[:, [0, 2, 1]] * (1, 1, -1)
    triangles = [(face[0], face[i], face[i + 1]) for face in WEDGE_FACES for i in range(1, len(face) - 1)]
    return trimesh.Trimesh(vertices, triangles, process=False)


def placed_points(scaled_bbox, pivot_point, points=None) -> np.ndarray:
    """v' = v - c - (px w, py h, pz d): CSM API reference, ``pivot_point``."""
    points = unit_mesh().vertices if points is None else points
    return (np.array(points) - pivot_point) * scaled_bbox


def write_glb(path: Path, scaled_bbox, pivot_point, *, textured: bool = False) -> Path:
    """Write what a faithful service returns for this box and pivot."""
    mesh = unit_mesh()
    mesh.vertices = placed_points(scaled_bbox, pivot_point)
    if textured:
        image = Image.new("RGB", (8, 8), (200, 120, 40))
        material = trimesh.visual.material.PBRMaterial(name="Paint", baseColorTexture=image)
        mesh.visual = trimesh.visual.TextureVisuals(uv=mesh.vertices[:, :2], material=material)
    path.write_bytes(trimesh.Scene(mesh).export(file_type="glb"))
    return path


def read_points(path: Path) -> np.ndarray:
    """Return all vertices of a mesh file as it stands in its world, turned to Blender's axes (Z up)."""
    scene = trimesh.load(io.BytesIO(path.read_bytes()), file_type=path.suffix[1:], force="scene")
    points = np.concatenate(
        [
            trimesh.transform_points(scene.geometry[name].vertices, scene.graph[node][0])
            for node in scene.graph.nodes_geometry
            for name in [scene.graph[node][1]]
        ]
    )
    return points[:, [0, 2, 1]] * (1, -1, 1)
