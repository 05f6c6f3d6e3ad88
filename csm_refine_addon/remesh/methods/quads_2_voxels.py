"""QuadriFlow on a voxel remesh, which has no open edges and no handles too thin for QuadriFlow."""

from __future__ import annotations

from ..components import without_small_components
from ..quad_regularization import regularize_quads
from ..quads import run_quadriflow, voxel_remesh
from ..repair import split_non_manifold_vertices
from ..surface import Surface
from ..tuning import VOXEL_DEBRIS


def refine(shape: Surface, budget: int) -> Surface:
    """Return regularized quads, fitted to the shape before the voxel remesh."""
    return regularize_quads(
        run_quadriflow(
            split_non_manifold_vertices(without_small_components(voxel_remesh(shape), VOXEL_DEBRIS)), budget
        ),
        shape,
    )
