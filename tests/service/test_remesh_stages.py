"""The refinery's stages alone: repairing, nearing, UV layout, baking, symmetry, quads."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from csm_refine_addon.remesh import (
    baking,
    components,
    corner_attributes,
    decimation,
    edges,
    material_sampling,
    packing,
    projection,
    quads,
    raster,
    repair,
    sampling,
    source_materials,
    surface,
    symmetry,
    unwrapping,
)
from tests.support import raw_shapes


@pytest.fixture(autouse=True)
def empty_scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)


def ball(rings=24, segments=32) -> surface.Surface:
    points, triangles = raw_shapes.sphere(rings, segments)
    return surface.of_triangles(points, np.asarray(triangles))


def cylinder(segments=40, rings=12) -> tuple[np.ndarray, np.ndarray]:
    """An open one, radius 1, height 3."""
    row, column = (part.ravel() for part in np.mgrid[0:rings, 0:segments])
    angle = 2 * np.pi * column / segments
    points = np.stack([np.cos(angle), np.sin(angle), 3 * row / (rings - 1)], axis=1)
    a = (np.arange(rings - 1)[:, None] * segments + np.arange(segments)).ravel()
    b = (np.arange(rings - 1)[:, None] * segments + (np.arange(segments) + 1) % segments).ravel()
    return points, np.concatenate([np.stack([a, b, b + segments], 1), np.stack([a, b + segments, a + segments], 1)])


def test_holes_of_a_body_are_closed_and_a_sheet_stays_open():
    """What encloses a volume comes out closed; a sheet keeps its rim."""
    whole = ball()
    holed = surface.to_mesh(surface.Surface(whole.points, np.delete(whole.faces, [100, 101, 300], axis=0)), "holed")
    assert edges.count_edge_defects(repair.repair_shape(holed)).is_closed
    sheet = surface.to_mesh(
        surface.of_triangles(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]), [[0, 1, 2], [0, 2, 3]]), "s"
    )
    assert edges.count_edge_defects(repair.repair_shape(sheet)).open == 4


def test_fins_and_doubled_faces_go():
    """A fin on an edge, and a face that is there twice, leave a closed body."""
    whole = ball()
    a, b, _, _ = whole.faces[200]
    points = np.concatenate([whole.points, [[0, 0, 3.0]]])
    faces = np.concatenate([whole.faces, [[a, b, len(points) - 1, -1]], whole.faces[50:51]])
    found = repair.repair_shape(surface.to_mesh(surface.Surface(points, faces), "fin"))
    assert edges.count_edge_defects(found).is_closed
    assert np.abs(found.points).max() < 1.1


def test_two_tips_that_touch_are_two_vertices():
    """Bodies that share one vertex are taken apart there, as QuadriFlow wants it."""
    one = ball(6, 8)
    top = int(one.points[:, 2].argmax())
    other = one.points * -1 + 2 * one.points[top]
    number = np.arange(len(other)) + len(one.points)
    number[top] = top
    both = surface.of_triangles(
        np.concatenate([one.points, other]), np.concatenate([one.faces[:, :3], number[one.faces[:, 2::-1]]])
    )
    used = len(components.compact(both).points)
    assert len(repair.split_non_manifold_vertices(both).points) == used + 1


def test_nearing_brings_a_coarse_mesh_nearer():
    """At the same number of faces, a fifth of the collapse's distance at least is gone, and it stays closed."""
    source = ball(48, 64)
    source = surface.Surface(source.points * (1 + 0.2 * np.sin(5 * source.points[:, :1])), source.faces)
    coarse = decimation.collapse_edges(source, 500)
    points, triangles = projection.fit_to_source(coarse.points, coarse.triangles(), source.points, source.triangles())
    before, after = (distance(source, one) for one in (coarse, surface.of_triangles(points, triangles)))
    assert after < 0.8 * before
    assert len(triangles) == len(coarse.faces)
    assert edges.count_edge_defects(surface.of_triangles(points, triangles)).is_closed


def distance(source, result) -> float:
    there = surface.Nearest(result.points, result.triangles()).distances(
        surface.samples(source.points, source.triangles(), 5000, 1)[0]
    )
    back = surface.Nearest(source.points, source.triangles()).distances(
        surface.samples(result.points, result.triangles(), 5000, 2)[0]
    )
    return float(there.mean() + back.mean()) / 2


def layout(points, triangles, target=6):
    return unwrapping.unwrap(points, triangles, np.arange(len(triangles)), target)


def test_a_cylinder_is_laid_out_without_stretch():
    """What can be unrolled is unrolled as it is."""
    points, triangles = cylinder()
    assert unwrapping.stretch_by_chart(points, triangles, layout(points, triangles)).max() < 1.01


def test_charts_do_not_lie_over_each_other_or_themselves():
    """In the square, no pixel belongs to two triangles, no chart is mirrored, and a good part of the square is used."""
    shape = ball(32, 48)
    places = packing.pack_charts(layout(shape.points, shape.faces[:, :3], 10), 512)
    assert (raster.signed_areas(places) > 0).all()
    assert places.min() >= 0
    assert places.max() <= 1
    _, row, column = raster.rasterize(places, 512, 512)
    times = np.bincount(row * 512 + column)
    assert (times > 1).sum() <= 2e-4 * (times > 0).sum()
    assert (times > 0).sum() > 0.45 * 512 * 512


def test_charts_keep_a_gap():
    """Texels next to a chart are its own: no other chart is nearer than twice the gap."""
    shape = ball(32, 48)
    flat = layout(shape.points, shape.faces[:, :3], 10)
    triangle, row, column = raster.rasterize(packing.pack_charts(flat, 256), 256, 256, grow=1.0)
    owner = np.full((256, 256), -1)
    for chart in range(flat.chart.max() + 1):
        mine = flat.chart[triangle] == chart
        assert set(np.unique(owner[row[mine], column[mine]])) <= {-1}
        owner[row[mine], column[mine]] = chart


def test_very_many_charts_are_packed_by_their_boxes():
    """A thousand loose triangles come out side by side."""
    flat = raster.UVLayout(np.arange(1000), np.tile(np.array([[0, 0], [1, 0], [0, 1.0]]), (1000, 1, 1)))
    places = packing.pack_charts(flat, 1024)
    _, row, column = raster.rasterize(places, 1024, 1024)
    assert np.bincount(row * 1024 + column).max() == 1
    assert (raster.signed_areas(places) > 0).all()


def test_the_look_is_baked_without_an_empty_texel():
    """Every texel of the surface has the source's colour at its place, and nothing is black in between."""
    source = surface.to_mesh(ball(48, 64), "source")
    colours = source.color_attributes.new("Color", "FLOAT_COLOR", "POINT")
    points = surface.of_mesh(source).points
    values = np.column_stack([points * 0.4 + 0.5, np.ones(len(points))])
    colours.data.foreach_set("color", values.astype(np.float32).ravel())
    shape = ball(12, 16)
    mesh = surface.to_mesh(shape, "result")
    places = packing.pack_charts(layout(shape.points, shape.faces[:, :3]), 128)
    mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", places.astype(np.float32).ravel())
    textures = baking.bake_textures(mesh, material_sampling.MaterialSampler(source), 128)
    assert textures.colour[..., :3].min() > 0.2
    assert textures.surface is None
    assert textures.normal[..., 2].min() > 0.5
    triangle, row, column = raster.rasterize(places, 128, 128)
    corners = np.einsum("ijk->ik", shape.points[shape.faces[triangle, :3]]) / 3
    wanted = sampling.srgb_of_linear(surface.unit(corners) * 0.4 + 0.5)
    assert np.abs(textures.colour[row, column, :3] - wanted).mean() < 0.05


def test_what_has_no_colour_looks_as_in_blender():
    """A mesh without material and colours is baked in the grey that its artist sees."""
    bare = material_sampling.MaterialSampler(surface.to_mesh(ball(), "bare"))
    seen = bare.at(corner_attributes.SurfacePoints(np.array([0]), np.array([[1.0, 0, 0]])))
    assert seen.colour[0] == pytest.approx(source_materials.UNPAINTED)


def test_a_picture_repeats_outside_its_square():
    """UVs outside of 0 to 1 see the picture again, as the file formats say."""
    pixels = np.random.default_rng(0).random((5, 7, 4))
    at = np.array([[0.3, 0.6], [0.9, 0.05]])
    assert sampling.sample_image(pixels, at) == pytest.approx(sampling.sample_image(pixels, at + np.array([3, -2])))


def test_halves_make_a_whole():
    """The half of a ball, mirrored, is a closed ball that is its own mirror image."""
    shape = ball(24, 32)
    assert symmetry.is_symmetric(shape)
    long = surface.Surface(shape.points * (1, 1.5, 0.7), shape.faces)
    whole = symmetry.mirror_half(symmetry.cut_half(long), symmetry.mirror_plane(long))
    assert edges.count_edge_defects(whole).is_closed
    mirrored = np.sort(np.round(whole.points * (-1, 1, 1), 4), axis=0)
    assert mirrored == pytest.approx(np.sort(np.round(whole.points, 4), axis=0), abs=1e-3)
    lopsided = shape.points * np.where(shape.points[:, :1] > 0, (1, 1, 1), (1, 0.3, 1))
    assert not symmetry.is_symmetric(surface.Surface(lopsided, shape.faces))


def test_any_mesh_becomes_quads_by_cutting():
    """Pairing and cutting makes nothing but quads, closed as the mesh was, about as many as asked for."""
    shape = ball(32, 48)
    found = quads.pair_and_subdivide(shape, 600)
    assert found.is_quad.all()
    assert edges.count_edge_defects(found).is_closed
    assert 0.7 * 600 <= len(found.faces) <= 600 * 1.05


def test_small_parts_are_dropped_by_their_share():
    """Only parts below the share go, and the largest never."""
    large, small = ball(), ball(6, 8)
    points = np.concatenate([large.points, small.points * 0.05 + (3, 0, 0)])
    both = surface.of_triangles(points, np.concatenate([large.faces[:, :3], small.faces[:, :3] + len(large.points)]))
    assert len(components.without_small_components(both, 0.01).faces) == len(large.faces)
    assert len(components.without_small_components(both, 1e-4).faces) == len(both.faces)
    assert len(components.without_small_components(both, 0.9999).faces) == len(large.faces)


@pytest.mark.parametrize(
    ("given", "next_one"),
    [({5000: 4000}, 6250), ({5000: 4500, 5600: 5500}, 5300), ({5000: 4500, 5600: 5500, 5300: 4600}, 5433)],
)
def test_quadriflow_is_asked_for_what_is_in_between(given, next_one):
    """It gives now more, now less than it is asked for: the next number lies between the nearest on both sides."""
    assert quads._next_target(given, 5000) == next_one
