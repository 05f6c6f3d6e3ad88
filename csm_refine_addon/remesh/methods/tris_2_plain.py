"""Blender's edge collapse alone."""

from __future__ import annotations

from ..decimation import reduce_triangles
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return triangles."""
    return reduce_triangles(shape, budget)
