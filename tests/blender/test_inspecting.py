"""What is measured of a mesh: open edges whatever the seams, textures with their sizes, UV maps, quickly."""

from __future__ import annotations

import dataclasses
import time

import bpy
import numpy as np
import pytest
import trimesh
from PIL import Image

from csm_refine_addon.blender.meshes import inspecting, prepare
from csm_refine_addon.core.models import Box
from tests.support import returned, scenes

CUBE = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
BOX = Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


def edges(points, faces) -> int:
    return inspecting.open_edges(scenes.mesh_object(points=points, faces=faces).data)


def split(points, faces):
    """The same with vertices of its own for each face, as a file has them along every seam."""
    return [points[corner] for face in faces for corner in face], list(_numbered(faces))


def _numbered(faces):
    start = 0
    for face in faces:
        yield tuple(range(start, start + len(face)))
        start += len(face)


def by_hand(points, faces) -> int:
    """The same count, edge by edge."""
    found: dict[frozenset, int] = {}
    for face in faces:
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            edge = frozenset((tuple(points[a]), tuple(points[b])))
            found[edge] = found.get(edge, 0) + 1
    return sum(count != 2 for count in found.values())


@pytest.mark.parametrize("make", [lambda *mesh: mesh, split], ids=["joined", "split along every edge"])
@pytest.mark.parametrize("missing", range(4))
def test_open_edges_are_counted_across_seams(make, missing):
    """A cube is watertight, one without faces is not; vertices that a seam has split count as one."""
    faces = CUBE[missing:]
    assert edges(*make(CORNERS, faces)) == by_hand(CORNERS, faces)
    assert (edges(*make(CORNERS, faces)) == 0) == (missing == 0)


def test_an_edge_with_three_faces_is_open():
    """Watertight means two faces, no fewer and no more."""
    fin = [*CORNERS, (0.5, 0.5, 3.0)]
    assert edges(fin, [*CUBE, (1, 3, 8)]) == 3


def test_faces_that_collapse_do_not_open_a_mesh():
    """A triangle whose corners come to lie on two places is not there for the count, and neither is its gap."""
    points = [*CORNERS, CORNERS[1]]
    faces = [face for face in CUBE if face != (0, 1, 3, 2)]
    assert edges(points, [*faces, (0, 8, 3, 2), (0, 1, 8)]) == 0
    assert edges(points, [*faces, (0, 1, 8, 3, 2)]) == 0


def test_zero_has_no_sign():
    """0 and -0 are the same place."""
    points, faces = split(CORNERS, CUBE)
    points = [
        tuple(-0.0 if part == 0 and number % 2 else part for part in point) for number, point in enumerate(points)
    ]
    assert edges(points, faces) == 0


def test_places_next_to_each_other_are_two():
    """The smallest difference of float32 is a gap: nothing is rounded."""
    points, faces = split(CORNERS, CUBE)
    points[0] = (np.nextafter(np.float32(0), np.float32(1)), 0, 0)
    assert edges(points, faces) > 0


def test_random_meshes_count_as_by_hand():
    """Any set of triangles on a small grid counts as counted edge by edge."""
    chance = np.random.default_rng(5)
    for _ in range(30):
        points = [tuple(map(float, point)) for point in chance.integers(0, 3, (30, 3)) * 0.25]
        triangles = [tuple(map(int, chance.choice(30, 3, replace=False))) for _ in range(40)]
        triangles = [face for face in triangles if len({points[corner] for corner in face}) == 3]
        assert edges(points, triangles) == by_hand(points, triangles)


def test_no_faces_no_edges():
    """A mesh without faces has nothing to count."""
    assert inspecting.open_edges(bpy.data.meshes.new("Empty")) == 0


def test_a_large_mesh_is_quick():
    """Nothing per edge in Python: 1.3 million triangles take a few seconds on any machine."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=806, y_subdivisions=806)
    began = time.perf_counter()
    assert inspecting.open_edges(bpy.context.object.data) == 4 * 806
    assert time.perf_counter() - began < 5


# --- in the report ----------------------------------------------------------------------------------------------------


def report(folder, mesh, *, fit=True, box=BOX):
    return prepare.prepare(mesh, folder / "result.blend", prepare.Wanted("SESSION_1", box, fit))


def painted(folder, colours: Image.Image, *, uv=True):
    """A GLB of a closed wedge with a picture on it."""
    mesh = returned.unit_mesh()
    mesh.vertices = returned.placed_points((1.0, 3.0, 2.0), (0.0, 0.0, 0.0))
    material = trimesh.visual.material.PBRMaterial(name="Paint", baseColorTexture=colours)
    mesh.visual = trimesh.visual.TextureVisuals(uv=mesh.vertices[:, :2], material=material)
    if not uv:
        mesh.visual.uv = None
    path = folder / "mesh.glb"
    path.write_bytes(trimesh.Scene(mesh).export(file_type="glb"))
    return path


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_the_report_tells_all_of_a_good_mesh(tmp_path):
    """Triangles, materials, textures with pixels, watertight, UV, size, and no difference to the box."""
    found = report(tmp_path, painted(tmp_path, noise(64, 32)))
    (texture,) = found.images
    assert (texture.width, texture.height, texture.is_plain) == (64, 32, False)
    assert texture.name == found.textures[0]
    assert (found.open_edges, found.has_uv, found.materials) == (0, True, 1)
    assert found.size == pytest.approx(BOX.size)
    assert found.difference < 1e-6


def test_a_texture_of_one_colour_is_seen(tmp_path):
    """A colour texture without any detail is a sign that a bake went wrong."""
    (texture,) = report(tmp_path, painted(tmp_path, Image.new("RGB", (64, 64), (90, 20, 30)))).images
    assert texture.is_plain


def test_a_tiny_texture_is_a_colour_on_purpose(tmp_path):
    """Exporters write plain colours as pictures of a few pixels."""
    (texture,) = report(tmp_path, painted(tmp_path, Image.new("RGB", (4, 4), (90, 20, 30)))).images
    assert not texture.is_plain


def test_a_mesh_without_uv_is_seen(tmp_path):
    """No UV map: the report says so."""
    assert report(tmp_path, painted(tmp_path, noise(8, 8), uv=False)).has_uv is False


@pytest.mark.parametrize("fit", [True, False])
def test_difference_is_as_returned_and_size_as_placed(tmp_path, fit):
    """A mesh of twice the width: the difference is what came back; the size is what it has after fitting."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", (2.0, 3.0, 2.0), (0.0, 0.0, 0.0))
    found = report(tmp_path, mesh, fit=fit)
    assert found.difference == pytest.approx(1 / BOX.diagonal, rel=1e-4)
    assert found.size == pytest.approx((1.0, 2.0, 3.0) if fit else (2.0, 2.0, 3.0))


def test_without_a_box_there_is_no_difference(tmp_path):
    """Bounds left to the service: a size, and nothing to compare it with."""
    found = report(tmp_path, returned.write_glb(tmp_path / "mesh.glb", (2.0, 3.0, 2.0), (0.0, 0.0, 0.0)), box=None)
    assert (found.difference, found.size) == (None, pytest.approx((2.0, 2.0, 3.0)))
    assert dataclasses.asdict(found)["images"] == ()
