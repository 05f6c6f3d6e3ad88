"""The refine itself, run by a background Blender: read, clean, fit to the box, set the pivot, write.

``main([folder])`` reads ``order.json`` in the folder and leaves there the files ``mesh.*``, ``progress`` (0 to 100),
and ``report.json``. It ends when its stdin does, since then the service is gone.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Refine what ``argv[0]`` holds; 0 where ``mesh.glb`` was written, 8 where the mesh is not usable, else 1."""
    from .process import main as run  # the stages need Blender; what the service itself takes from here does not

    return run(argv)
