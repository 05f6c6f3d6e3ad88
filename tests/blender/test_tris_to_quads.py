"""Triangles are joined where an exporter has cut every face of a mesh of quads, and only there."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from csm_refine_addon.blender.background.tris_to_quads import join_pairs
from tests.support import scenes
from tests.support.counted import counted


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


def cut(quads, way):
    """Each quad as two triangles, in the way of an exporter."""
    return [tuple(quad[corner] for corner in half) for quad in quads for half in way]


WAYS = {
    "Blender": ((0, 1, 2), (0, 2, 3)),
    "Blender, not convex": ((0, 1, 3), (1, 2, 3)),
    "from the last corner": ((0, 1, 2), (2, 3, 0)),
    "from the second corner": ((1, 2, 3), (3, 0, 1)),
}
POINTS = [(x, y, 0.1 * x * y) for y in range(4) for x in range(5)]
QUADS = [(row * 5 + i, row * 5 + i + 1, row * 5 + i + 6, row * 5 + i + 5) for row in range(3) for i in range(4)]


def grid(faces) -> bpy.types.Mesh:
    """A bent sheet with a UV map and a colour for each vertex."""
    mesh = scenes.mesh_object(points=POINTS, faces=faces).data
    corners = [loop.vertex_index for loop in mesh.loops]
    layer = mesh.uv_layers.new()
    layer.uv.foreach_set("vector", np.array(POINTS, dtype=np.float32)[corners, :2].ravel())
    mesh.materials.append(bpy.data.materials.new("Sheet"))
    return mesh


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_quads_come_back_as_they_were(way):
    """Each way of cutting is undone: the quads with their vertices, in their order, with UVs at their corners."""
    mesh = grid(cut(QUADS, way))
    assert join_pairs(mesh) == len(QUADS)
    assert not mesh.validate()
    whole = grid(QUADS)
    assert [set(face.vertices) for face in mesh.polygons] == [set(face.vertices) for face in whole.polygons]
    assert all(one.normal.dot(other.normal) > 0.9 for one, other in zip(mesh.polygons, whole.polygons, strict=True))
    assert counted(mesh) == counted(whole)
    for loop in mesh.loops:
        assert tuple(mesh.uv_layers[0].uv[loop.index].vector) == POINTS[loop.vertex_index][:2]


def test_both_ways_of_blender_may_be_in_one_mesh():
    """Blender cuts a quad that is not convex along its other diagonal."""
    ways = [WAYS["Blender"], WAYS["Blender, not convex"]]
    faces = [half for i, quad in enumerate(QUADS) for half in cut([quad], ways[i % 2])]
    assert join_pairs(grid(faces)) == len(QUADS)


@pytest.mark.parametrize(
    "faces",
    [
        cut(QUADS, WAYS["Blender"])[:-1],
        [*cut(QUADS[:-1], WAYS["Blender"]), QUADS[-1]],
        cut(QUADS, WAYS["Blender"])[1:] + cut(QUADS, WAYS["Blender"])[:1],
        [*cut(QUADS[:6], WAYS["Blender"]), *cut(QUADS[6:], WAYS["from the last corner"])],
        [(0, 1, 5), (7, 8, 12)],
        [(0, 1, 5), (1, 0, 5)],
    ],
    ids=["an odd one", "a quad, too", "out of step", "two exporters", "apart", "one upon the other"],
)
def test_anything_else_stays_as_it_is(faces):
    """Where one pair is no cut quad, nothing is joined."""
    mesh = grid(faces)
    before = counted(mesh)
    assert join_pairs(mesh) == 0
    assert counted(mesh) == before


def test_halves_that_show_something_else_stay_apart():
    """A seam of the UV map, another material or another normal along a cut: this was no quad."""
    mesh = grid(cut(QUADS, WAYS["Blender"]))
    mesh.uv_layers[0].uv[0].vector = (0.5, 0.5)
    assert join_pairs(mesh) == 0
    mesh = grid(cut(QUADS, WAYS["Blender"]))
    mesh.materials.append(bpy.data.materials.new("Other"))
    mesh.polygons[3].material_index = 1
    mesh.update()
    assert join_pairs(mesh) == 0
    mesh = grid(cut(QUADS, WAYS["Blender"]))
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    mesh.normals_split_custom_set([tuple(mesh.polygons[corner // 3].normal) for corner in range(len(mesh.loops))])
    assert join_pairs(mesh) == 0


def test_custom_normals_stay():
    """Normals that agree along each cut are the corners' own afterwards."""
    mesh = grid(cut(QUADS, WAYS["Blender"]))
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    wanted = np.array([(0.3 * x - 0.5, 0.2 * y, 1.0) for x, y, _z in POINTS])
    wanted /= np.linalg.norm(wanted, axis=1)[:, None]
    mesh.normals_split_custom_set_from_vertices(wanted.tolist())
    assert join_pairs(mesh) == len(QUADS)
    found = np.array([tuple(corner.vector) for corner in mesh.corner_normals])
    assert np.abs(found - wanted[[loop.vertex_index for loop in mesh.loops]]).max() < 1e-3
