"""QuadriFlow on the repaired shape (J. Huang et al., Computer Graphics Forum 2018, as Blender has it)."""

from __future__ import annotations

from ..quad_regularization import squared
from ..quads import flowed
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return quads, squared and drawn near."""
    return squared(flowed(shape, budget), shape)
