"""The methods of the fallback chain: one file each, ``TOPOLOGY_NUMBER_name.py``, run in the order of their names.

A method is a function ``refine(shape: Surface, budget: int) -> Surface`` from a repaired shape of triangles to one of
about ``budget`` faces. It may crash: each method runs in its own process.
"""

from __future__ import annotations

import pkgutil

NAMES = {
    "quads_1_quadriflow": "QuadriFlow",
    "quads_2_voxels": "QuadriFlow on Voxels",
    "quads_3_subdivided": "Paired Triangles",
    "tris_1_collapse": "Decimate and Fit",
    "tris_2_plain": "Decimate",
}
"""For users."""


def name_of(method: str) -> str:
    """Return a method's name for users; that of its file where it has none."""
    return NAMES.get(method, method)


def methods_for(topology: str) -> list[str]:
    """Return the names of the methods for a topology, in the order in which they are tried."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name.startswith(f"{topology}_"))
