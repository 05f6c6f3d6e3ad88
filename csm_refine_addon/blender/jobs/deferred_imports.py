"""What the timer's turns need and enabling the extension does not: brought in one library at a time.

numpy alone takes up to 100 ms. One in a turn, the window stands still for none of them longer than it takes.
"""

from __future__ import annotations

import importlib
import sys

_PACKAGE = (__package__ or "").rpartition(".blender")[0]
_OURS = ("core.jobs.job_store", "core.jobs.worker", "blender.geometry.bounds", "blender.scene.placing")
NAMES = ("numpy", "sqlite3", *(f"{_PACKAGE}.{name}" for name in _OURS))


def next_one() -> bool:
    """Import the next of them; tell whether there was one left."""
    for name in NAMES:
        if name not in sys.modules:
            importlib.import_module(name)
            return True
    return False
