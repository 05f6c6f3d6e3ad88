"""A refined mesh in its source's box: it fills it exactly, and lies where its source lies."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from csm_refine_addon.blender.background import mesh_io  # noqa: E402 -- only where there is a Blender
from csm_refine_addon.remesh.final_fit import fit  # noqa: E402
from tests.support import raw_shapes  # noqa: E402

FRAME = (np.full(3, -1.0), np.full(3, 1.0))


def ball(stretch):
    vertices, triangles = raw_shapes.sphere(48, 64)
    mesh = bpy.data.meshes.new("ball")
    mesh.from_pydata((vertices * stretch).tolist(), [], triangles.tolist())
    return mesh


@pytest.mark.parametrize("stretch", [(1.004, 1.0, 0.997), (0.99, 1.012, 1.0), (1.0, 1.0, 1.0)])
def test_only_the_outermost_is_drawn_to_the_box(stretch):
    """A mesh that sticks out of its source's box, or falls short of it, fills the asked box; inside nothing moves."""
    mesh = ball(stretch)
    before = mesh_io.vertex_positions(mesh).copy()
    fit(mesh, (2.0, 2.0, 2.0), None, frame=FRAME)
    after = mesh_io.vertex_positions(mesh)
    assert np.abs(after.min(axis=0) + 1).max() < 1e-6
    assert np.abs(after.max(axis=0) - 1).max() < 1e-6
    inner = np.abs(before) < 0.93
    assert np.abs(after - before)[inner].max() < 1e-6


def test_a_mesh_that_lost_a_part_is_stretched_as_a_whole():
    """Where the source's box was much larger, the mesh's own box counts."""
    mesh = ball((0.5, 1.0, 1.0))
    fit(mesh, (2.0, 2.0, 2.0), None, frame=FRAME)
    assert np.ptp(mesh_io.vertex_positions(mesh), axis=0) == pytest.approx((2, 2, 2))
