"""A session in the words that the panel shows; in English, but for :func:`summary`."""

from __future__ import annotations

from ...core.jobs.lookups import SeenSession
from ...core.models import RemoteKind, RemoteStatus
from ..i18n import shown
from . import job_text

DAY_S = 24 * 3600.0
JUST_NOW_S = 10.0
STAGES: dict[str, str] = {
    "uploaded": "Image uploaded",
    "spin_generate_processing": "Making its views",
    "spin_generate_done": "Views are made",
    "training_preview": "Making the preview",
    "spin_generate_failed": "Views have failed",
    "preview_failed": "Preview has failed",
}
STAGES_BY_KIND = {**job_text.REMOTE_KINDS, RemoteKind.RUNNING: "Being refined"}
VERDICTS: dict[RemoteKind, str] = {
    RemoteKind.BEFORE: "No preview to refine yet",
    RemoteKind.BROKEN: "It cannot be refined",
    RemoteKind.REFINABLE: "It can be refined",
    RemoteKind.RUNNING: "It is refining already",
    RemoteKind.DONE: "It can be refined again",
    RemoteKind.FAILED: "It can be refined again",
}
"""Short enough for one line of a narrow sidebar: what stands below it stays where it is."""
CAN_BE_REFINED = frozenset({RemoteKind.REFINABLE, RemoteKind.DONE, RemoteKind.FAILED})


def stage(status: RemoteStatus) -> str:
    """Return what a status word means, in plain words."""
    if not status.word:
        return "Unknown stage"
    return STAGES.get(status.word.lower(), STAGES_BY_KIND[status.kind])


def can_be_refined(status: RemoteStatus) -> bool:
    """Tell whether a refine of the session would be taken, as far as its stage tells."""
    return bool(status.word) and status.kind in CAN_BE_REFINED


def verdict(status: RemoteStatus) -> str:
    """Return whether a session can be refined, or why not, in a few words."""
    return VERDICTS[status.kind] if status.word else "The service does not say"


def made(session: SeenSession, now: float) -> str:
    """Return how long ago a session was made, or an empty text where nobody knows."""
    return "" if session.made_at is None else f"Made {age(now - session.made_at)} ago"


def summary(session: SeenSession, now: float) -> str:
    """Return stage and age in one line, in Blender's language."""
    if session.made_at is None:
        return shown(stage(session.status))
    return f"{shown(stage(session.status))}, {shown(age(now - session.made_at))}"


def read(at: float, now: float) -> str:
    """Return how long ago the service was read."""
    return "Read just now" if now - at < JUST_NOW_S else f"Read {age(now - at)} ago"


def age(seconds: float) -> str:
    """Return a time span in one unit: 12 s, 3 min, 5 h, 3 days."""
    if seconds < 3600:
        return job_text.duration(seconds)
    if seconds < 2 * DAY_S:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // DAY_S)} days"


def is_found(session: SeenSession, text: str) -> bool:
    """Tell whether every word of a search stands in a session's code, stage or word."""
    about = f"{session.code} {stage(session.status)} {session.status.word}".casefold()
    return all(word in about for word in text.casefold().split())
