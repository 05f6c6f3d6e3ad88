"""Lookup of the local service's libraries, bottle and waitress: installed, or as wheels beside this package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from .. import import_paths
from ..errors import ServiceUnreachable

WHEELS = Path(__file__).resolve().parents[3] / "wheels"
NAMES = ("bottle", "waitress")
download: Callable[[], None] | None = None
"""Puts the wheels beside this package. The package itself installs nothing; scripts/refine.py sets this."""


def folders() -> list[str]:
    """Return what a Python needs on ``sys.path`` to import all of them; an empty list where one is missing."""
    found = [_folder(name) for name in NAMES]
    return sorted({*found}) if all(found) else []


def require() -> list[str]:
    """Return the same, downloaded if need be. Raises ServiceUnreachable where one is missing."""
    if download and not folders():
        download()
    found = folders()
    if not found:
        raise ServiceUnreachable(
            "The local service needs bottle and waitress, which are not installed.",
            "Run python3 scripts/wheels.py in the clone once, or install the extension from its zip.",
        )
    return found


def add_to_path() -> None:
    """Make them importable in this process. Raises ServiceUnreachable where one is missing."""
    sys.path += [folder for folder in require() if folder not in sys.path]


def _folder(name: str) -> str:
    return import_paths.folder_of(name) or next((str(wheel) for wheel in sorted(WHEELS.glob(f"{name}-*.whl"))), "")
