"""The rows of the list of sessions: codes only, because everything else stands in the pump's snapshot."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from ...core.jobs.lookups import SeenSession

_shown: list[str] = []
"""What the rows are to show: they are taken away while a file is saved."""
_is_ours = False
"""Whether it is us who select a row, and not the user."""


def show(sessions: Sequence[SeenSession], code: str) -> bool:
    """Make the list show these sessions, with the one selected that the field names; tell whether a row changed."""
    _shown[:] = [session.code for session in sessions]
    return _show(code)


def _show(code: str) -> bool:
    global _is_ours  # noqa: PLW0603  # there is one list
    kept = bpy.context.window_manager.csm_refine
    changed = [row.name for row in kept.sessions] != _shown
    if changed:
        kept.sessions.clear()
        for each in _shown:
            kept.sessions.add().name = each
    active = _shown.index(code) if code in _shown else -1
    if kept.active_session != active:
        _is_ours = True
        kept.active_session = active
        _is_ours = False
        changed = True
    return changed


def clear() -> None:
    """Take all rows away: they would be saved with the file."""
    bpy.context.window_manager.csm_refine.sessions.clear()


def bring_back() -> None:
    """Undo :func:`clear`."""
    _show(picked(bpy.context.window_manager.csm_refine.active_session))


def forget() -> None:
    """Back to how it began."""
    _shown.clear()


def picked(index: int) -> str:
    """Return the code of a row that the user has just clicked, or an empty text."""
    return "" if _is_ours or not 0 <= index < len(_shown) else _shown[index]
