"""Collapse, triangles paired, each face cut around its middle: all quads, of whatever mesh, if not the evenest."""

from __future__ import annotations

from ..quad_regularization import regularize_quads
from ..quads import pair_and_subdivide
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return quads, squared and drawn near."""
    return regularize_quads(pair_and_subdivide(shape, budget), shape)
