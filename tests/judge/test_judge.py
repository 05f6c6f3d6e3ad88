"""The judge of refined meshes, by meshes whose measures are known beforehand."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.support.repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
for needed in ("igl", "embreex", "scipy"):
    pytest.importorskip(needed, reason="the judge has an environment of its own")

from refining import distances, layout, rounds, topology, views  # noqa: E402 -- only there
from refining.judge import Judge  # noqa: E402
from refining.solids import Polygons, Solid, read_polygons, read_solid, sampled  # noqa: E402
from tests.support import raw_meshes, raw_shapes  # noqa: E402

WHITE = np.ones((1, 1, 3))


def solid(vertices, triangles, uvs=None, colours=None, picture=WHITE) -> Solid:
    corners = np.asarray(vertices, float)[triangles]
    return Solid(
        corners,
        None if uvs is None else np.asarray(uvs, float)[triangles],
        np.ones(corners.shape) if colours is None else np.asarray(colours, float)[triangles],
        np.zeros(len(triangles), int),
        [picture],
        has_normal_map=False,
    )


def ball(radius=1.0, rings=96, segments=128) -> Solid:
    vertices, triangles = raw_shapes.sphere(rings, segments)
    return solid(vertices * radius, triangles)


def square(u0=0.0, v0=0.0, side=1.0, size=1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, triangles and UVs of a square in the plane, ``size`` wide, laid out ``side`` wide."""
    grid = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    points = np.column_stack([grid * size, np.zeros(4)])
    return points, np.array([[0, 1, 2], [0, 2, 3]]), grid * side + (u0, v0)


def on_two_squares(second_u0, second_side=0.5, second_size=1.0) -> Solid:
    """Two squares that touch nowhere in space, the first one on the left of the atlas."""
    one, other = square(0, 0, 0.5), square(second_u0, 0, second_side, second_size)
    return solid(
        np.concatenate([one[0], other[0] + (9, 0, 0)]),
        np.concatenate([one[1], other[1] + 4]),
        np.concatenate([one[2], other[2]]),
    )


def test_a_mesh_differs_in_nothing_from_itself(tmp_path):
    """The same file as source and as result: no distance, the same silhouettes, the same look."""
    source = read_solid(raw_meshes.uvs_outside(tmp_path))
    found = Judge(source).judge(source)
    assert found["distance"] < 1e-6
    assert (found["silhouettes"], found["look"], found["flipped"], found["unbaked"]) == (1, 100, 0, 0)


def test_distance_is_that_of_the_surfaces():
    """Two balls inside each other are as far apart as their radii; the measure is in 1e-4 of the diagonal."""
    found = distances.measure(ball(), ball(1.01))
    assert found["distance"] == pytest.approx(1e4 * 0.01 / np.sqrt(12), rel=0.02)
    assert found["normals"] < 1.5


def test_silhouettes_are_intersection_over_union():
    """A ball of 0.9 covers 0.81 of a ball's picture, from each of the eight sides."""
    seen = [views.look(ball(radius), np.zeros(3), np.sqrt(12)) for radius in (1.0, 0.9)]
    assert views.measure(*seen)["silhouettes"] == pytest.approx(0.81, abs=0.005)


def test_look_is_the_psnr_of_base_colours():
    """A grey ball that is darker by 0.1 than the source has 20 dB, whatever the light; flipped faces are counted."""
    source, result = ball(), ball()
    result = replace(result, colours=result.colours * 0.9)
    seen = [views.look(each, np.zeros(3), np.sqrt(12)) for each in (source, result)]
    assert views.measure(*seen)["look"] == pytest.approx(20.0, abs=0.01)
    turned = replace(source, corners=source.corners[:, ::-1])
    turned_seen = views.look(turned, np.zeros(3), np.sqrt(12))
    assert views.measure(seen[0], turned_seen)["flipped"] > 0.99
    assert views.measure(*seen)["flipped"] == 0


def test_topology_of_a_cube_of_quads():
    """Six square faces, closed; without one side, doubled, or with a fin it is not."""
    vertices, _ = raw_shapes.cube()
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])

    def measured(faces):
        return topology.measure(Polygons(vertices, np.concatenate(faces), np.array([len(face) for face in faces])))

    whole = measured(list(quads))
    assert (whole["faces"], whole["quads"], whole["off_square"]) == (6, 1.0, 0.0)
    assert (whole["watertight"], whole["open_edges"], whole["non_manifold"], whole["at_odds"]) == (True, 0, 0, 0)
    assert measured(list(quads[1:]))["open_edges"] == 4
    assert measured([*quads, [0, 1, 7]])["non_manifold"] == 1
    assert measured([*quads[1:], quads[0][::-1]])["at_odds"] == 4
    assert measured([*quads[1:], [0, 1, 3], [0, 3, 2]])["quads"] == pytest.approx(5 / 7)


def test_corners_off_square_are_measured_in_degrees():
    """A rhombus of 60 and 120 degrees is 30 off."""
    points = np.array([[0, 0, 0], [1, 0, 0], [1.5, np.sqrt(0.75), 0], [0.5, np.sqrt(0.75), 0]])
    assert topology.measure(Polygons(points, np.arange(4), np.array([4])))["off_square"] == pytest.approx(30)


def test_layout_of_two_squares():
    """Side by side they overlap nowhere and use half of the atlas; half over each other, a third of what is used."""
    apart = layout.measure(on_two_squares(0.5))
    assert apart == pytest.approx({"overlap": 0, "atlas_use": 0.5, "stretch": 1, "islands": 2}, abs=2e-3)
    over = layout.measure(on_two_squares(0.25))
    assert over["overlap"] == pytest.approx(1 / 3, abs=2e-3)


def test_stretch_is_one_for_a_true_image_only():
    """A layout in one scale has no stretch; one square twice as large as the other has, and so has one drawn out."""
    assert layout.stretch(on_two_squares(0.5, 0.25, 0.5)) == pytest.approx(1.0)
    assert layout.stretch(on_two_squares(0.5, 0.25)) == pytest.approx(np.sqrt(10) * np.sqrt(0.3125 / 2), rel=1e-3)
    drawn_out = on_two_squares(0.5)
    wide = replace(drawn_out, uvs=drawn_out.uvs * (1.0, 0.25))
    assert layout.stretch(wide) == pytest.approx(np.sqrt((1 + 16) / 2) * np.sqrt(0.25), rel=1e-3)


def test_texels_that_were_never_baked_are_found():
    """Where the source is light and the texture is black, a quarter of it, a quarter counts; dark sources do not."""
    points, triangles, uvs = square()
    picture = np.ones((64, 64, 3))
    picture[:32, :32] = 0
    source, result = solid(points, triangles), solid(points, triangles, uvs, picture=picture)
    assert Judge(source).judge(result)["unbaked"] == pytest.approx(0.25, abs=0.01)
    dark = solid(points, triangles, colours=np.zeros((4, 3)))
    assert Judge(dark).judge(result)["unbaked"] == 0


def test_pictures_are_read_with_v_upwards():
    """The middle of a texel has its colour; V = 1 is the first row, and beyond 1 it repeats."""
    picture = np.zeros((2, 2, 3))
    picture[0, 1] = (1, 0, 0)
    assert sampled(picture, np.array([[0.75, 0.75], [1.75, -0.25], [0.25, 0.75]]))[:, 0].tolist() == [1, 1, 0]


def test_files_keep_their_colours_and_faces(tmp_path):
    """An OBJ's colours are sRGB, a GLB's linear, in 256 steps: both come out as they were made; quads stay quads."""
    found = read_solid(raw_meshes.vertex_colours_only(tmp_path))
    place = found.corners.reshape(-1, 3)
    assert np.abs(found.colours.reshape(-1, 3) - (place + 0.5)).max() < 0.03
    path = tmp_path / "quad.obj"
    path.write_text("v 0 0 0 1 0 0.5\nv 1 0 0 1 0 0.5\nv 1 1 0 1 0 0.5\nv 0 1 0 1 0 0.5\nf 1 2 3 4\n")
    assert read_polygons(path).sizes.tolist() == [4]
    assert np.allclose(read_solid(path).colours, (1, 0, 0.5), atol=0.003)


def test_meshes_of_one_name_are_told_apart(tmp_path):
    """Users name many files alike: each has a folder, a heading and pictures of its own."""
    meshes = [
        tmp_path / folder / name for folder, name in (("a", "m.glb"), ("b", "m_2.glb"), ("c", "m.glb"), ("d", "m.obj"))
    ]
    found = rounds.labelled(meshes)
    assert list(found.values()) == meshes
    assert list(found) == ["m", "m_2", "m_3", "m_4"]
