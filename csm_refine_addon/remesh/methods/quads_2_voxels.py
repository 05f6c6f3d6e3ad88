"""QuadriFlow on a voxel remesh, which has no handles too thin for it and no open edges."""

from __future__ import annotations

from ..components import without_parts_below
from ..quad_regularization import squared
from ..quads import flowed, voxels
from ..repair import untied
from ..surface import Surface
from ..tuning import VOXEL_DUST


def refine(shape: Surface, budget: int) -> Surface:
    """Return quads, squared and drawn near to the shape as it was."""
    return squared(flowed(untied(without_parts_below(voxels(shape), VOXEL_DUST)), budget), shape)
