"""How far a refine is, as a file; reports; and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..core import private_files
from ..core.errors import CsmError


class Step(enum.StrEnum):
    """What a refine is doing."""

    QUEUED = "queued"
    READING = "reading"
    QUADS = "quads"
    TRIANGLES = "triangles"
    UNWRAPPING = "unwrapping"
    BAKING = "baking"
    WRITING = "writing"


def read_step(folder: Path) -> tuple[str, int] | None:
    """Return the step of the refine in a folder, and for the how many-th time it was begun; None: not known."""
    try:
        name, number = (folder / STEP_FILE).read_text("ascii").split()
        return name, int(number)
    except (OSError, ValueError):
        return None


def _unheard(_share: float) -> None:
    """Where nobody asked how far a stage is."""


STEP_FILE = "step"
"""Beside the file with the percentage."""
_listening: ContextVar[Callable[[float], None]] = ContextVar("listening", default=_unheard)


class Progress:
    """The file that tells the service how far the refine is; it never goes back.

    Each process counts its own work from 0 to 100. That stands for what those before it left of the refine, up to
    ``end``, or for a ``share`` of it: so one that fails has its part of the way, and the next one goes on from there.
    """

    def __init__(self, path: Path, *, share: float = 1.0, end: int = 100) -> None:
        self._path = path
        self._percent = -1
        with contextlib.suppress(OSError, ValueError):
            self._percent = int(path.read_text("ascii"))
        self._began = max(0, self._percent)
        self._whole = max(0.0, share * (end - self._began))

    def begin(self, step: Step, attempt: int = 1) -> None:
        """Note which step begins, and for the how many-th time."""
        private_files.write_atomically(self._path.with_name(STEP_FILE), f"{step} {attempt}")

    def reached(self, percent: float) -> None:
        """Say that so many percent of this process's work are done."""
        found = int(self._began + self._whole * percent / 100)
        if found > self._percent:
            self._percent = found
            private_files.write_atomically(self._path, str(found))

    @contextlib.contextmanager
    def stage(self, first: float, last: float) -> Iterator[None]:
        """Go from ``first`` to ``last`` percent in this block, as the :func:`turns` inside of it tell."""
        self.reached(first)
        token = _listening.set(lambda share: self.reached(first + (last - first) * share))
        try:
            yield
        finally:
            _listening.reset(token)
        self.reached(last)


def turns(count: int, first: float = 0.0, last: float = 1.0) -> Iterator[int]:
    """Yield 0 to ``count`` - 1, and tell before each how much of the stage that is under way is done.

    The turns are the part of the stage from ``first`` to ``last``, where the whole is 1. Nobody need be listening.
    """
    for turn in range(count):
        _listening.get()(first + (last - first) * turn / count)
        yield turn
    _listening.get()(last)


@contextlib.contextmanager
def within(first: float, last: float) -> Iterator[None]:
    """Let the :func:`turns` inside of this block, which count from 0 to 1, be this part of the stage."""
    whole = _listening.get()
    token = _listening.set(lambda share: whole(first + (last - first) * share))
    try:
        yield
    finally:
        _listening.reset(token)


def refusal(error: CsmError) -> dict[str, Any]:
    """Return the report of a refine that cannot be."""
    return {"ok": False, "error": {"code": error.code, "message": error.message, "action": error.action}}
