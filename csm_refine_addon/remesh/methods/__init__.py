"""The ladder's rungs: one file each, ``TOPOLOGY_NUMBER_name.py``, tried in the order of their names.

A rung is a function ``refine(shape: Surface, budget: int) -> Surface``: from a repaired shape of triangles to one of
about ``budget`` faces. It may fail in any way, as each runs in a process of its own.
"""

from __future__ import annotations

import pkgutil


def rungs_for(topology: str) -> list[str]:
    """Return the names of the rungs for a topology, best first."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name.startswith(f"{topology}_"))
