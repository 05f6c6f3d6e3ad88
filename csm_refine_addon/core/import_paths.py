"""Import paths: ``sys.path`` without the current folder, in which a file could shadow any module.

Imports nothing that Python has not loaded before, so that it can be a program's first import.
"""

import os
import sys

PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def without_current_folder() -> "list[str]":
    """Return ``sys.path`` without the current folder, unless this package lies in it."""
    current = _current_folder()
    if current == PACKAGE_PARENT:
        return list(sys.path)
    return [path for path in sys.path if path and os.path.realpath(path) != current]


def leave_current_folder_out() -> None:
    """Remove the current folder from ``sys.path``. Only for programs: a host process may need it there."""
    sys.path[:] = without_current_folder()


def folder_of(name: str) -> str:
    """Return the folder that a module was imported from, or would be; empty if there is none.

    The current folder does not count, unless it was imported from there. Once ``bpy`` is imported as a Python module,
    ``sys.path`` has a folder with another ``bpy``, which cannot be imported by itself.
    """
    from importlib.machinery import PathFinder

    loaded = getattr(sys.modules.get(name), "__spec__", None)
    spec = loaded or PathFinder.find_spec(name, without_current_folder())
    if spec is None or spec.origin is None:
        return ""
    folder = os.path.dirname(spec.origin)
    return os.path.dirname(folder) if spec.submodule_search_locations else folder


def _current_folder() -> str:
    try:
        return os.path.realpath(os.getcwd())
    except OSError:  # deleted
        return ""
