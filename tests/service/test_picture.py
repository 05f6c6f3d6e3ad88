"""The picture of a refine: made by a real background Blender, fetched from a real service, judged by its pixels."""

from __future__ import annotations

import gc
import io
import tracemalloc

import numpy as np
import pytest
import requests
from PIL import Image

from tests.support import raw_files, raw_meshes

bpy = pytest.importorskip("bpy")

from csm_refine_addon.blender.background import mesh_io  # noqa: E402 -- only where there is a Blender
from csm_refine_addon.remesh import comparison_picture, rendering  # noqa: E402

SIDE = comparison_picture.SIDE
PAPER = tuple(round(255 * shade) for shade in rendering.BACKGROUND)


def views(image):
    """The six parts of a picture: source and result shaded, the layout; both in wireframe, the texture."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return [part for row in np.split(pixels, 2) for part in np.split(row, 3, axis=1)]


def covered(view) -> float:
    return np.mean(np.abs(view - PAPER).max(axis=2) > 3)


@pytest.fixture
def imported(tmp_path):
    def read(maker):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        return mesh_io.import_mesh(maker(tmp_path), tmp_path)

    return read


def test_a_refined_session_has_its_picture(service, tmp_path):
    """A finished refine shows a signed PNG of source and result, side by side in both ways, beside the UV layout."""
    mesh = raw_meshes.uvs_outside(tmp_path).read_bytes()
    code = service.create(mesh)
    assert service.session(code)["picture_url"] == ""
    session = service.refine(code)
    assert session["status"] == "refine_done", session["error_message"]
    answer = requests.get(session["picture_url"], timeout=30)
    assert answer.headers["Content-Type"] == "image/png"
    image = Image.open(io.BytesIO(answer.content))
    assert image.size == (3 * SIDE, 2 * SIDE)
    source, result, layout, source_wires, result_wires, texture = views(image)
    assert 0.5 < covered(source) < 0.9  # a ball that fills the view: pi / 4, less its margin
    assert np.abs(source - result).mean() < 3
    assert np.abs(source_wires - result_wires).mean() < 3
    assert covered(layout) > 0.9
    assert covered(texture) > 0.9
    assert requests.get(session["picture_url"].partition("?")[0], timeout=30).status_code == 403


@pytest.mark.parametrize(
    "name", [name for name in raw_meshes.HARD if name not in {"one_vertex", "two_million_triangles"}]
)
def test_every_hard_mesh_can_be_drawn(imported, tmp_path, name):
    """Whatever a mesh is like, it has a picture with something on it."""
    obj = imported(raw_meshes.HARD[name])
    path = tmp_path / "picture.png"
    assert comparison_picture.ComparisonPicture(obj).finished(obj, path) == []
    source, result, _, wires, _, _ = views(Image.open(path))
    assert covered(source) > 0.001
    assert np.array_equal(source, result)
    assert covered(wires) == pytest.approx(covered(source), rel=0.2, abs=0.02)


def test_colours_are_those_of_the_mesh(imported, tmp_path):
    """Texture, plain material and vertex colours are each seen; only the light on them differs."""
    balls = comparison_picture.render_views(imported(raw_meshes.several_materials)).shaded
    strongest = np.asarray(balls).reshape(-1, 3)
    for channel in (0, 2):  # the red ball and the blue one
        others = [other for other in range(3) if other != channel]
        assert np.any((strongest[:, channel] > 0.5) & (strongest[:, others].max(axis=1) < 0.3))
    painted = np.asarray(comparison_picture.render_views(imported(raw_meshes.vertex_colours_only)).shaded)
    assert np.ptp(painted.reshape(-1, 3), axis=0).min() > 0.4


def coloured_ball(folder, **more):
    """A ball with a white texture that a factor and colours at its vertices are multiplied with."""
    points, triangles, uvs = raw_meshes._unrolled_ball(16, 24)
    white = raw_files.Material(np.full((4, 4, 3), 255, np.uint8), **more)
    colours = np.tile([[1.0, 1.0, 0.0]], (len(points), 1))
    return raw_files.write_glb(folder / "ball.glb", [raw_files.Piece(points, triangles, uvs, colours, white)])


def test_the_picture_shows_what_is_baked(imported):
    """A texture's factor and the colours at the vertices are multiplied in, as in the result's texture."""
    shaded = comparison_picture.render_views(
        imported(lambda folder: coloured_ball(folder, colour=(1.0, 0.5, 1.0)))
    ).shaded
    ball = np.asarray(shaded)[SIDE // 2, SIDE // 2]
    assert ball[2] < 0.01
    assert ball[1] == pytest.approx(ball[0] / 2, rel=0.05)


def test_the_ground_is_seen_through_a_mesh(imported):
    """What is half transparent lets the ground through, by half."""
    obj = imported(coloured_ball)
    solid = comparison_picture.render_views(obj).shaded[SIDE // 2, SIDE // 2]
    shader = next(node for node in obj.data.materials[0].node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Alpha"].default_value = 0.5
    clear = comparison_picture.render_views(obj).shaded[SIDE // 2, SIDE // 2]
    assert clear == pytest.approx((np.minimum(solid, 1) + rendering.BACKGROUND) / 2, abs=0.05)


def textured_ball(side: int):
    """What makes a ball with textures of this side for colour, for roughness and metalness, and for normals."""
    points, triangles, uvs = raw_meshes._unrolled_ball(16, 24)
    texture = np.random.default_rng(3).integers(0, 256, (side, 1, 3), np.uint8).repeat(side, axis=1)
    piece = raw_files.Piece(points, triangles, uvs, material=raw_files.Material(texture, texture, texture))
    return lambda folder: raw_files.write_glb(folder / "ball.glb", [piece])


def memory_for(obj) -> tuple[int, int]:
    """What is left of the memory for looking at a mesh, without the help of the collector, and the most it was."""
    gc.disable()
    tracemalloc.start()
    try:
        comparison_picture.render_views(obj)
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()


def test_large_textures_take_little_memory_and_none_afterwards(imported):
    """Roughness and normals are not read for a picture, colours only as large as it takes; then all is given back."""
    _, usual = memory_for(imported(textured_ball(64)))
    left, most = memory_for(imported(textured_ball(2048)))
    assert most - usual < 1024 * 1024 * 4 * 4 * 1.5
    assert left < 1e6
    assert sorted(image.size[0] for image in bpy.data.images) == [2048] * 3


def test_a_quad_is_drawn_without_its_diagonal():
    """The wireframe shows faces as they are: an edge that only divides a quad is not there."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new("quad")
    mesh.from_pydata([(-1, 0, -1), (1, 0, -1), (1, 0, 1), (-1, 0, 1)], [], [(0, 1, 2, 3)])
    obj = bpy.data.objects.new("quad", mesh)
    middle = slice(SIDE // 2 - 20, SIDE // 2 + 20)
    one = comparison_picture.render_views(obj).wired[middle, middle]
    assert np.ptp(one) < 0.02
    mesh.clear_geometry()
    mesh.from_pydata([(-1, 0, -1), (1, 0, -1), (1, 0, 1), (-1, 0, 1)], [], [(0, 1, 2), (0, 2, 3)])
    assert np.ptp(comparison_picture.render_views(obj).wired[middle, middle]) > 0.2


def test_a_picture_that_fails_costs_no_refine(imported, tmp_path):
    """Where the picture cannot be written, the refine's report has a note, and that is all."""
    obj = imported(raw_meshes.no_colour)
    (tmp_path / "picture.png").mkdir()
    assert comparison_picture.ComparisonPicture(obj).finished(obj, tmp_path / "picture.png") != []
