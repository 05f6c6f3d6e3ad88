"""QuadriFlow on the repaired shape (J. Huang et al., Computer Graphics Forum 2018, as Blender has it)."""

from __future__ import annotations

from ..quads import flowed
from ..squaring import squared
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return quads, squared and drawn near."""
    return squared(flowed(shape, budget), shape)
