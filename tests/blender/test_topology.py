"""What is counted of a mesh is what bmesh finds, edge by edge: faces by sides, open edges, pieces, UV islands."""

from __future__ import annotations

import time

import bpy
import pytest

# isort: split
import bmesh
import numpy as np

from csm_refine_addon.blender.background import topology
from csm_refine_addon.core.models import MeshCounts
from tests.support import scenes
from tests.support.counted import counted


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


def unwrapped(mesh: bpy.types.Mesh, values: np.ndarray) -> bpy.types.Mesh:
    mesh.uv_layers.new().uv.foreach_set("vector", np.asarray(values, dtype=np.float32).ravel())
    return mesh


def random_mesh(chance: np.random.Generator) -> bpy.types.Mesh:
    """Triangles, quads and pentagons over a few vertices, with UVs of few values."""
    faces = [tuple(map(int, chance.choice(40, chance.integers(3, 6), replace=False))) for _ in range(25)]
    points = [tuple(map(float, point)) for point in chance.random((40, 3))]
    mesh = scenes.mesh_object(points=points, faces=faces).data
    return unwrapped(mesh, chance.integers(0, 2, (len(mesh.loops), 2)))


def test_random_meshes_are_counted_as_by_bmesh():
    """Any set of faces is counted as an independent walk over bmesh counts it."""
    chance = np.random.default_rng(5)
    for _ in range(40):
        mesh = random_mesh(chance)
        assert topology.measure(mesh) == counted(mesh)


@pytest.mark.parametrize("add", ["cube", "uv_sphere", "ico_sphere", "torus", "monkey", "grid", "cone"])
def test_blenders_own_meshes_are_counted_as_by_bmesh(add):
    """Quads, triangles, n-gons, open and closed, with their UV maps."""
    getattr(bpy.ops.mesh, f"primitive_{add}_add")()
    mesh = bpy.context.object.data
    assert topology.measure(mesh) == counted(mesh)


def test_a_cube_in_numbers():
    """Six quads, eight vertices, closed, one piece; the default UV map shows it in one island."""
    bpy.ops.mesh.primitive_cube_add()
    found = topology.measure(bpy.context.object.data)
    assert found == MeshCounts(0, 6, 0, 8, open_edges=0, non_manifold_edges=0, pieces=1, uv_islands=1)
    assert found.is_watertight


def test_an_edge_with_three_faces_is_not_manifold():
    """Watertight means two faces, no fewer and no more."""
    points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)]
    found = topology.measure(scenes.mesh_object(points=points, faces=[(0, 1, 2), (0, 1, 3), (0, 1, 4)]).data)
    assert (found.open_edges, found.non_manifold_edges, found.is_watertight) == (6, 1, False)


def test_islands_are_those_of_the_map_that_is_rendered():
    """Of two UV maps the one that the render shows is counted."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=2, y_subdivisions=2)
    mesh = bpy.context.object.data
    torn = mesh.uv_layers.new(name="torn")
    torn.uv.foreach_set("vector", np.arange(len(mesh.loops) * 2, dtype=np.float32))
    assert topology.measure(mesh).uv_islands == 1
    torn.active_render = True
    assert topology.measure(mesh).uv_islands == 4


def test_a_mesh_without_faces_has_nothing_to_count():
    """Nothing is counted, and nothing fails."""
    assert topology.measure(bpy.data.meshes.new("Empty")) == MeshCounts(0, 0, 0, 0, 0, 0, 0, None)
    assert topology.measure_quickly(bpy.data.meshes.new("Empty")) == MeshCounts(0, 0, 0, 0)


@pytest.mark.parametrize("add", ["cube", "uv_sphere", "ico_sphere", "cone"])
def test_quick_counts_are_those_of_the_whole_measurement(add):
    """What is counted in the window agrees with what the background counts."""
    getattr(bpy.ops.mesh, f"primitive_{add}_add")()
    mesh = bpy.context.object.data
    whole = topology.measure(mesh)
    assert topology.measure_quickly(mesh) == MeshCounts(whole.triangles, whole.quads, whole.ngons, whole.vertices)


def test_a_large_mesh_is_quick():
    """Nothing per edge in Python: 1.3 million triangles take a few seconds on any machine, and the window 50 ms."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=806, y_subdivisions=806)
    mesh = bpy.context.object.data
    edited = bmesh.new()
    edited.from_mesh(mesh)
    bmesh.ops.triangulate(edited, faces=edited.faces)
    edited.to_mesh(mesh)
    edited.free()
    began = time.process_time()
    assert topology.measure(mesh).open_edges == 4 * 806
    assert time.process_time() - began < 8
    began = time.process_time()
    assert topology.measure_quickly(mesh).triangles == 2 * 806 * 806
    assert time.process_time() - began < 0.05
