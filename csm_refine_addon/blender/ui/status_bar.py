"""The jobs under way in Blender's status bar, where they are seen from every editor and workspace."""

from __future__ import annotations

import re
from collections.abc import Iterable

import bpy

from ...core.jobs import state_machine
from ...core.models import Job, JobState
from .. import i18n
from ..jobs import job_text

S = JobState

MOST_LETTERS = 24
TEXTS: dict[JobState, str] = {
    S.PREPARED: "{} waits to be sent",
    S.SUBMITTING: "Sending {}",
    S.UNCERTAIN: "Looking whether {} was sent",
    S.RUNNING: "Refining {}",
    S.DOWNLOADING: "Downloading {}",
    S.PREPARING: "Preparing {}",
}
MAKING = "Making the session of {}"
TROUBLED = "{}: waiting for the service"
PERCENT = "{} {} %"
FIGURE_SPACE = "\N{FIGURE SPACE}"
"""As wide as a digit: what stands beside the number keeps its place."""
_PERCENT_AT_END = re.compile(r"(.*) (\S*\d+) %", re.DOTALL)
SEVERAL = "{} refines running"
WAITING = "Results that wait to be placed: {}"
SEVERAL_TROUBLED = "{} refines running, {} waiting for the service"


class _Shown:
    text = ""


def text_of(jobs: Iterable[Job], waiting_here: int = 0) -> str:
    """Return what the status bar says about these jobs: nothing where none is under way.

    ``waiting_here`` is how many results belong into the open file and cannot be placed at this moment.
    """
    active = [job for job in jobs if state_machine.is_active(job)]
    if not active:
        return WAITING.format(waiting_here) if waiting_here else ""
    if len(active) == 1:
        return _one(active[0])
    waiting = sum(1 for job in active if job.trouble)
    return SEVERAL_TROUBLED.format(len(active), waiting) if waiting else SEVERAL.format(len(active))


def _one(job: Job) -> str:
    name = _short(job_text.object_name(job) or job_text.short_title(job))
    if job.trouble:
        return TROUBLED.format(name)
    is_making = job.state is S.PREPARED and not job.request.session_code
    text = (MAKING if is_making else TEXTS[job.state]).format(name)
    part = job_text.progress(job)
    return text if part is None else PERCENT.format(text, f"{part[0] * 100:.0f}".rjust(2, FIGURE_SPACE))


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"


def follow(jobs: Iterable[Job], waiting_here: int = 0) -> bool:
    """Show how these jobs stand, as :func:`text_of`; tell whether that is another text than before. For the timer."""
    text = text_of(jobs, waiting_here)
    if text == _Shown.text:
        return False
    _Shown.text = text
    _redraw()
    return True


def shown() -> str:
    """Return the text that is shown."""
    return _Shown.text


def _redraw() -> None:
    # The status bar is in no screen's areas, so it cannot be tagged. It draws itself anew when a view layer is
    # renamed, which this says without renaming one (statusbar_header_region_message_subscribe, Blender 4.2 to 5.2).
    bpy.msgbus.publish_rna(key=(bpy.types.ViewLayer, "name"))


def draw(self: bpy.types.Header, _context: bpy.types.Context) -> None:
    """Draw the text at the end of the status bar; nothing while nothing runs."""
    if _Shown.text:
        self.layout.label(text=_in_language(_Shown.text), icon="MOD_REMESH", translate=False)


def _in_language(text: str) -> str:
    """Return a text of ours in Blender's language, the percentage at its end."""
    found = _PERCENT_AT_END.fullmatch(text)
    return i18n.shown(text) if found is None else PERCENT.format(i18n.shown(found[1]), found[2])


def add() -> None:
    """Append to the status bar."""
    _Shown.text = ""
    bpy.types.STATUSBAR_HT_header.append(draw)


def take_away() -> None:
    """Undo :func:`add`."""
    bpy.types.STATUSBAR_HT_header.remove(draw)
    _Shown.text = ""
