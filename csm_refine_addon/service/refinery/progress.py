"""How far a refine is, as a file; reports; and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ...core.errors import CsmError


class Progress:
    """The file that tells the service how far the refine is; it never goes back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._percent = -1
        with contextlib.suppress(OSError, ValueError):
            self._percent = int(path.read_text("ascii"))

    def reached(self, percent: int) -> None:
        """Say that so many percent are done."""
        if percent > self._percent:
            self._percent = percent
            write_whole(self._path, str(percent))


def refusal(error: CsmError) -> dict[str, Any]:
    """Return the report of a refine that cannot be."""
    return {"ok": False, "error": {"code": error.code, "message": error.message, "action": error.action}}


def write_whole(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)
