"""Small loose parts go beside the methods: they stay, keep the box, and have their share of the faces at most."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from csm_refine_addon.remesh import components, decimation, edges, evaluate, quads, small_components, surface, tuning
from csm_refine_addon.remesh.progress import Progress, turns
from csm_refine_addon.remesh.refine_settings import Topology
from tests.support import raw_shapes

FEWER = {Topology.TRIS: decimation.reduce_triangles, Topology.QUADS: quads.reduce_to_quads}


@pytest.fixture(autouse=True)
def empty_scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)


def ball(rings: int, radius: float, middle: tuple[float, float, float]) -> surface.Surface:
    points, triangles = raw_shapes.sphere(rings, 2 * rings)
    return surface.of_triangles(points * radius + middle, np.asarray(triangles))


def body_with(*small: surface.Surface) -> surface.Surface:
    return small_components.join_surfaces([ball(24, 1.0, (0, 0, 0)), *small])


def nothing_small(shape: surface.Surface, budget: int) -> surface.Surface:
    """A method as remeshers are: it loses whatever is smaller than its faces."""
    return decimation.reduce_triangles(components.without_small_components(shape, 1e-2), budget)


@pytest.mark.parametrize("topology", FEWER)
def test_a_floater_keeps_the_box(topology):
    """A speck far outside stays, closed and of the kind asked for, with the box that it makes up."""
    shape = body_with(ball(8, 0.02, (2.0, 0, 0)))
    found, dropped = small_components.refine_with_small_components(nothing_small, FEWER[topology], shape, 400)
    assert dropped == 0
    assert np.allclose(found.points.max(axis=0)[0], shape.points.max(axis=0)[0])
    assert len(found.faces) <= 400 * (1 + tuning.FACES_TOLERANCE)
    assert edges.count_edge_defects(found).is_closed
    speck = found.faces[(found.points[found.faces[:, 0]] > 1.5)[:, 0]]
    assert 0 < len(speck) < 60
    assert (speck[:, 3] >= 0).all() == (topology is Topology.QUADS)


def test_without_specks_a_method_gets_the_shape_as_it_is():
    """Two balls of like size are both the method's own."""
    shape = body_with(ball(24, 0.9, (3, 0, 0)))
    large, small = small_components.split_small_components(shape, 400)
    assert large is shape
    assert small == []


def test_too_many_specks_take_no_more_than_their_share():
    """Of two hundred, the ones at the box's sides and the largest stay, and it is told how many did not."""
    chance = np.random.default_rng(1)
    middles = chance.uniform(-1.5, 1.5, (200, 3))
    shape = body_with(*(ball(6, 0.01, tuple(middle)) for middle in middles), ball(6, 0.01, (4, 0, 0)))
    found, dropped = small_components.refine_with_small_components(
        nothing_small, decimation.reduce_triangles, shape, 1000
    )
    assert 0 < dropped < 200
    assert len(found.faces) <= 1000
    assert np.allclose(np.ptp(found.points, axis=0), np.ptp(shape.points, axis=0))


class Counted(np.ndarray):
    """Points that count how often all of them are looked at for their box."""

    looks, whole = 0, 0

    def min(self, *arguments, **options):
        type(self).looks += len(self) == type(self).whole
        return super().min(*arguments, **options)


def test_the_box_is_taken_once_for_all_specks(monkeypatch):
    """With two thousand floaters on a large mesh, to take it for each took most of the time that a method has."""
    shape = body_with(*(ball(4, 0.01, (2 + 0.1 * at, 0, 0)) for at in range(20)))
    monkeypatch.setattr(Counted, "looks", 0)
    monkeypatch.setattr(Counted, "whole", len(shape.points))
    counted = surface.Surface(shape.points.view(Counted), shape.faces)
    small_components.refine_with_small_components(nothing_small, decimation.reduce_triangles, counted, 400)
    assert Counted.looks == 1


@pytest.mark.parametrize("topology", FEWER)
def test_no_specks_are_reduced_in_vain(topology):
    """When the faces for them are used up, the others are dropped as they are."""
    middles = np.random.default_rng(1).uniform(1.5, 2.5, (300, 3))
    shape = body_with(*(ball(4, 0.01, tuple(middle)) for middle in middles))
    reduced = []

    def counted(speck: surface.Surface, faces: int) -> surface.Surface:
        reduced.append(speck.points[0].tobytes())
        return FEWER[topology](speck, faces)

    found, dropped = small_components.refine_with_small_components(nothing_small, counted, shape, 200)
    assert dropped > 280
    assert len(set(reduced)) <= 300 - dropped + tuning.SMALL_COMPONENT_MISSES
    assert len(found.faces) <= 200


def test_specks_count_for_the_percentage(tmp_path):
    """While small parts are reduced, the stage goes on, and the method has the rest of it."""
    progress = Progress(tmp_path / "progress")
    begun = []
    shape = body_with(*(ball(4, 0.01, (2 + 0.01 * at, 0, 0)) for at in range(800)))

    def method(large: surface.Surface, _budget: int) -> surface.Surface:
        begun.append(int((tmp_path / "progress").read_text()))
        for _ in turns(4):
            pass
        return large

    with progress.stage(0, 100):
        small_components.refine_with_small_components(method, lambda speck, _faces: speck, shape, 100_000)
        assert int((tmp_path / "progress").read_text()) == 100
    assert 8 <= begun[0] <= 10


def test_what_is_specks_alone_has_all_the_faces():
    """Of a mesh of nothing but small parts, none is dropped where the faces reach for all; a box stays six quads."""
    points, triangles = raw_shapes.cube()
    cubes = [surface.of_triangles(points + np.array([3.0 * at, 0, 0]), np.asarray(triangles)) for at in range(50)]
    for fewer, faces in ((decimation.reduce_triangles, 12), (quads.reduce_to_quads, 6)):
        found, dropped = small_components.refine_with_small_components(
            fewer, fewer, small_components.join_surfaces(cubes), 50 * faces
        )
        assert (dropped, len(found.faces)) == (0, 50 * faces)


def test_each_part_is_cut_out_with_its_own_faces():
    """No face is lost or in two parts, whatever the order of the faces."""
    small = [ball(5, 0.02, (x, 0, 0)) for x in (1.5, 2.0, 2.5)]
    shape = body_with(*small)
    mixed = surface.Surface(shape.points, np.random.default_rng(2).permutation(shape.faces))
    large, found = small_components.split_small_components(mixed, 400)
    assert len(found) == 3
    assert sorted(round(speck.points[:, 0].mean(), 2) for speck, _ in found) == [1.5, 2.0, 2.5]
    assert len(large.faces) + sum(len(speck.faces) for speck, _ in found) == len(shape.faces)


def test_a_speck_that_would_fall_together_gets_more_faces():
    """Two triangles back to back are no part: what is asked for grows until it is one."""

    def folds(shape: surface.Surface, faces: int) -> surface.Surface:
        if faces < 40:
            return surface.of_triangles(shape.points[:3], [[0, 1, 2]])
        return decimation.reduce_triangles(shape, faces)

    found = small_components.reduce_component(ball(12, 0.1, (0, 0, 0)), folds, 8)
    assert edges.count_edge_defects(found).is_closed
    assert 40 <= len(found.faces) <= 70


@pytest.mark.parametrize("faces", [4, 6, 8, 12])
def test_no_two_sides_of_a_speck_lie_on_each_other(faces):
    """Four triangles make two quads on the same corners, whose middles are one point: it gets more faces instead."""
    found = small_components.reduce_component(ball(4, 0.1, (0, 0, 0)), quads.reduce_to_quads, faces)
    assert len(np.unique(found.points, axis=0)) == len(found.points)
    assert edges.count_edge_defects(found).is_closed


def test_the_smallest_body_stays_one_as_quads():
    """Four triangles cannot be fewer: each is cut into three quads, more than were asked for."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    found = small_components.reduce_component(
        surface.of_triangles(corners, [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]), quads.reduce_to_quads, 4
    )
    assert len(np.unique(found.points, axis=0)) == len(found.points)
    assert edges.count_edge_defects(found).is_closed
    assert found.is_quad.all()


def test_a_result_that_lost_its_box_is_never_taken():
    """A floater that is gone is a part that is lost, however little surface it has."""
    shape = body_with(ball(8, 0.02, (2.0, 0, 0)))
    verdict = evaluate.evaluate_result(shape, nothing_small(shape, 400), Topology.TRIS, 400)
    assert "parts are lost" in verdict.faults
