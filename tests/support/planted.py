"""Modules that lie in wait in a folder: whoever imports one leaves a mark."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PACKAGE = "csm_refine_addon"
NAMES = ("argparse", "json", "logging", "sqlite3", "requests", "urllib3", "bottle", "waitress", "numpy", PACKAGE)
CODE = """
import os
os.makedirs({marks!r}, exist_ok=True)
open(os.path.join({marks!r}, __name__), "w").close()
raise ImportError(__name__ + " is not the module that was meant")
"""


class Planted:
    """Modules in folders, and which of them have been run."""

    def __init__(self, marks: Path, seen_as: str = "") -> None:
        self._marks = marks
        self._seen_as = seen_as or str(marks)
        """The folder's path for the process that runs them."""

    def put(self, folder: Path, names: Iterable[str] = NAMES) -> Path:
        """Put a module of each name into a folder, our package as a folder of its own; return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = folder / name / "__init__.py" if name == PACKAGE else folder / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(CODE.format(marks=self._seen_as))
        return folder

    def ran(self) -> list[str]:
        """Return the names of those that were imported."""
        return sorted(path.name for path in self._marks.iterdir()) if self._marks.is_dir() else []
