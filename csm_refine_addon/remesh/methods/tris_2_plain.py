"""Blender's edge collapse alone."""

from __future__ import annotations

from ..decimation import fewer_triangles
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return triangles."""
    return fewer_triangles(shape, budget)
