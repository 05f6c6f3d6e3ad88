"""Collapse, triangles paired, each face cut around its middle: all quads, of whatever mesh, if not the evenest."""

from __future__ import annotations

from ..quad_regularization import squared
from ..quads import paired_and_cut
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return quads, squared and drawn near."""
    return squared(paired_and_cut(shape, budget), shape)
