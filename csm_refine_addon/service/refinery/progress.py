"""How far a refine is, as a file; and files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path


class Progress:
    """The file that tells the service how far the refine is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def reached(self, percent: int) -> None:
        """Say that so many percent are done."""
        write_whole(self._path, str(percent))


def write_whole(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)
