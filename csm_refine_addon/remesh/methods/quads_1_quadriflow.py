"""QuadriFlow on the repaired shape (J. Huang et al., Computer Graphics Forum 2018, as Blender has it)."""

from __future__ import annotations

from ..quad_regularization import regularize_quads
from ..quads import run_quadriflow
from ..surface import Surface


def refine(shape: Surface, budget: int) -> Surface:
    """Return regularized quads, fitted to the shape."""
    return regularize_quads(run_quadriflow(shape, budget), shape)
