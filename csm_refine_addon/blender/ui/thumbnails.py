"""The sessions' pictures as icons: loaded by Blender itself, on threads of its own, when they are drawn first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

NO_PICTURE = "FILE_3D"
_previews: Any = None
"""Blender's collection of previews, from the first picture on until :func:`forget`."""


def know(folder: Path, names: Iterable[str]) -> bool:
    """Make pictures of a folder known by their file names; tell whether one is new. Opens no file."""
    global _previews  # noqa: PLW0603  # Blender wants one collection, and wants it back
    new = [name for name in dict.fromkeys(names) if name and (_previews is None or name not in _previews)]
    if not new:
        return False
    if _previews is None:
        from bpy.utils import previews

        _previews = previews.new()
    for name in new:
        kind = "MOVIE" if name.endswith(".gif") else "IMAGE"  # Blender reads GIF as a film only
        _previews.load(name, str(folder / name), kind)
    return True


def icon(name: str) -> int:
    """Return a picture's icon; 0 where it is not known."""
    found = _previews.get(name) if _previews is not None and name else None
    return int(found.icon_id) if found is not None else 0


def forget() -> None:
    """Give all pictures back to Blender."""
    global _previews  # noqa: PLW0603
    if _previews is not None:
        from bpy.utils import previews

        previews.remove(_previews)
        _previews = None
