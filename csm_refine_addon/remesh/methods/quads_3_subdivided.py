"""Edge collapse, pairing of triangles, subdivision of each face: all quads for any mesh, less even than QuadriFlow."""

from __future__ import annotations

from ..quad_regularization import regularize_quads
from ..quads import pair_and_subdivide
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return regularized quads, fitted to the shape."""
    return regularize_quads(pair_and_subdivide(shape, budget), shape)
