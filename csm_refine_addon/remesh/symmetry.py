"""Detects mirror symmetry, cuts a mesh in half, and mirrors the half, at the centre of its box along x."""

from __future__ import annotations

import bpy  # where Blender is a Python module, bmesh is there only after it

# isort: split
import bmesh
import numpy as np

from . import tuning
from .components import compact
from .edges import boundary_vertices
from .surface import Nearest, Surface, areas, of_mesh, of_triangles, samples, to_mesh


def is_symmetric(shape: Surface) -> bool:
    """Return whether the mirrored surface is close to the surface."""
    places, _ = samples(shape.points, shape.triangles(), tuning.SYMMETRY_SAMPLES, 5)
    places[:, 0] = 2 * mirror_plane(shape) - places[:, 0]
    far = Nearest(shape.points, shape.triangles()).distances(places)
    return bool(np.quantile(far, 0.95) < tuning.SYMMETRY_DISTANCE * shape.diagonal)


def cut_half(shape: Surface) -> Surface:
    """Return the half with more surface, cut at the middle and open there, as triangles right of x = 0."""
    triangles = shape.triangles()
    side = shape.points[triangles][:, :, 0].mean(axis=1) - mirror_plane(shape)
    size = areas(shape.points, triangles)
    flip = size[side < 0].sum() > size[side > 0].sum()
    points = shape.points - (mirror_plane(shape), 0, 0)
    if flip:
        points = points * (-1, 1, 1)
        triangles = triangles[:, ::-1]
    work, mesh = bmesh.new(), to_mesh(of_triangles(points, triangles), "halved")
    work.from_mesh(mesh)
    geometry = [*work.verts, *work.edges, *work.faces]
    reach = shape.diagonal * tuning.SYMMETRY_SNAP
    bmesh.ops.bisect_plane(work, geom=geometry, dist=reach, plane_co=(0, 0, 0), plane_no=(1, 0, 0), clear_inner=True)
    bmesh.ops.triangulate(work, faces=work.faces[:])
    work.to_mesh(mesh)
    work.free()
    half = of_mesh(mesh)
    bpy.data.meshes.remove(mesh)
    half.points[:, 0] += mirror_plane(shape)
    return half


def mirror_half(half: Surface, plane: float) -> Surface:
    """Return a half and its mirror image at x = ``plane`` as one mesh, joined where the half is open and near it."""
    rim = boundary_vertices(half.faces, len(half.points))
    reach = half.diagonal * tuning.SYMMETRY_REACH
    joint = rim[half.points[rim, 0] < plane + reach]
    points = half.points.copy()
    points[joint, 0] = plane
    points[:, 0] = np.maximum(points[:, 0], plane)
    other = points * (-1, 1, 1) + (2 * plane, 0, 0)
    number = np.arange(len(points)) + len(points)
    number[joint] = joint
    faces = half.faces.copy()
    order = np.where(half.is_quad[:, None], (3, 2, 1, 0), (2, 1, 0, 3))
    turned = np.take_along_axis(faces, order, axis=1)
    turned = np.where(turned >= 0, number[turned], -1)
    return compact(Surface(np.concatenate([points, other]), np.concatenate([faces, turned])))


def mirror_plane(shape: Surface) -> float:
    """Return the x coordinate of the mirror plane."""
    return float(shape.points[:, 0].min() + shape.points[:, 0].max()) / 2
