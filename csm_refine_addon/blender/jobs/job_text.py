"""A job in the words, icon and numbers that the panel shows. Pure: nothing here touches Blender's data."""

from __future__ import annotations

import enum

from ...core import mesh_counts
from ...core.axes import Vector3
from ...core.errors import HELD_BACK, PrepareFailed
from ...core.jobs import state_machine
from ...core.models import Job, JobState, RemoteKind, RemoteStatus

S = JobState

ICONS: dict[JobState, str] = {
    S.PREPARED: "TIME",
    S.SUBMITTING: "EXPORT",
    S.UNCERTAIN: "QUESTION",
    S.RUNNING: "PLAY",
    S.DOWNLOADING: "IMPORT",
    S.PREPARING: "MODIFIER",
    S.READY: "CHECKMARK",
    S.PLACED: "CHECKBOX_HLT",
    S.FAILED: "ERROR",
    S.STOPPED: "PAUSE",
}
STATE_WORDS: dict[JobState, str] = {
    S.PREPARED: "Waiting to be sent",
    S.SUBMITTING: "Sending",
    S.UNCERTAIN: "Unclear if sent",
    S.RUNNING: "Refining",
    S.DOWNLOADING: "Downloading",
    S.PREPARING: "Preparing the mesh",
    S.READY: "Ready to be placed",
    S.PLACED: "Placed",
    S.FAILED: "Failed",
    S.STOPPED: "No longer tracked",
}
SHORT_WORDS: dict[JobState, str] = {
    S.PREPARED: "Waiting",
    S.UNCERTAIN: "Unclear",
    S.PREPARING: "Preparing",
    S.READY: "Ready",
    S.STOPPED: "Stopped",
}
CANCELLED = "Cancelled"


STEPS: dict[str, str] = {
    "queued": "Queued",
    "reading": "Reading the mesh",
    "quads": "Finding quads",
    "triangles": "Reducing triangles",
    "unwrapping": "Unwrapping",
    "baking": "Baking textures",
    "writing": "Writing files",
}
"""What the local service says that a refine is doing."""
TRIES = {2: "{}, 2nd try", 3: "{}, 3rd try"}
REMOTE_WORDS: dict[str, str] = {
    "unprocessed": "Queued",
    "queued": "Queued",
    "preview_done": "Queued",
    "training_refine": "Refining",
    "in_progress": "Refining",
    "incomplete": "Refining",
}
"""The services' words while a refine runs: right after it was sent, the session may still be as before."""
REMOTE_KINDS: dict[RemoteKind, str] = {
    RemoteKind.BEFORE: "Before the preview",
    RemoteKind.BROKEN: "Preview has failed",
    RemoteKind.REFINABLE: "Preview is ready",
    RemoteKind.DONE: "Refined",
    RemoteKind.FAILED: "Refine has failed",
}
OFF_BY = "{percent} off its box"


class JobAction(enum.Enum):
    """What the user can do with a job: each has an operator and a button."""

    STOP = "stop"
    RETRY = "retry"
    SEND_AGAIN = "send again"
    PLACE = "place"
    FIT = "fit"
    SWAP = "swap"
    TAKE_OVER = "take over"
    USE_AGAIN = "use again"
    DIAGNOSE = "diagnose"
    IMPORT_HERE = "import here"
    OPEN_FOLDER = "open folder"
    OPEN_PICTURE = "open picture"
    REMOVE = "remove"


def can(job: Job, deed: JobAction) -> bool:
    """Tell whether something can be done with a job as it stands."""
    return deed in _deeds(job)


def _deeds(job: Job) -> set[JobAction]:
    found = {JobAction.DIAGNOSE, *_deeds_of_result(job)}
    if S.STOPPED in state_machine.TRANSITIONS[job.state]:
        found.add(JobAction.STOP)
    if job.state in (S.FAILED, S.STOPPED, S.UNCERTAIN):
        found.add(JobAction.RETRY)
    if job.state is S.UNCERTAIN:
        found.add(JobAction.SEND_AGAIN)
    if job.trouble in HELD_BACK:
        found.add(JobAction.TAKE_OVER)
    if job.request.session_code:
        found.add(JobAction.USE_AGAIN)
    if job.state is S.FAILED and job.mesh_path and job.error is not None and job.error.code == PrepareFailed.code:
        found.add(JobAction.IMPORT_HERE)
    if not state_machine.is_active(job) or state_machine.can_cancel(job):
        found.add(JobAction.REMOVE)
    return found


def _deeds_of_result(job: Job) -> set[JobAction]:
    found = set()
    if job.state in (S.READY, S.PLACED) and job.blend_path:
        found.add(JobAction.PLACE)
    if job.state is S.PLACED and job.placement is not None and job.placement.box is not None:
        found.add(JobAction.FIT)
    if job.state is S.PLACED and object_name(job):
        found.add(JobAction.SWAP)
    if job.mesh_path or job.blend_path:
        found.add(JobAction.OPEN_FOLDER)
    if job.picture_path:
        found.add(JobAction.OPEN_PICTURE)
    return found


def loss(job: Job, *, is_here: bool) -> str:
    """Return what is lost with a job that is removed, or an empty text; ``is_here``: its result is in this file."""
    if state_machine.is_active(job):
        return "Its refine is cancelled."
    if job.mesh_path or job.blend_path:
        if job.state is not S.PLACED:
            return "Its result is not placed, and is deleted."
        return "" if is_here else "Its result is not in this file; the downloaded one is deleted."
    if job.state in (S.UNCERTAIN, S.STOPPED) and job.sent_at is not None:
        return "It may have been sent: what comes of it is not fetched."
    return ""


def icon(job: Job) -> str:
    """Return a job's icon; a warning sign where less stands in the scene than was refined."""
    return "ERROR" if job.state is S.PLACED and mesh_counts.warnings(job) else ICONS[job.state]


def title(job: Job) -> str:
    """Return the session's code, or what will become one."""
    return job.request.session_code or "New session"


def short_title(job: Job) -> str:
    """Return the code without the part that all codes have in common: the list is narrow."""
    return title(job).removeprefix("SESSION_")


def object_name(job: Job) -> str:
    """Return the source object's name, or an empty text."""
    return (job.placement.object_name or "") if job.placement else ""


def merged_names(job: Job) -> tuple[str, ...]:
    """Return the names of the objects that were taken as one with the source object."""
    return job.placement.merged_names if job.placement else ()


def status(job: Job) -> str:
    """Return what the service is doing while it works, else how the job stands."""
    if job.state is S.RUNNING and job.remote is not None:
        return remote_status(job.remote)
    if job.state is S.PREPARED and not job.request.session_code:
        return "Making the session"
    if job.state is S.PREPARED and job.fetch_only:
        return "Reading the session"
    return state_word(job)


def remote_status(remote: RemoteStatus) -> str:
    """Return what a service says, in plain words; a word that is not known as it is."""
    if remote.step in STEPS:
        return TRIES.get(remote.attempt, "{}").format(STEPS[remote.step])
    return REMOTE_WORDS.get(remote.word.lower()) or REMOTE_KINDS.get(remote.kind, remote.word)


def state_word(job: Job) -> str:
    """Return how the job stands."""
    return CANCELLED if job.is_cancelled else STATE_WORDS[job.state]


def short_status(job: Job) -> str:
    """Return :func:`status` in a word or two, for the list."""
    is_word = job.state is S.RUNNING and job.remote is not None
    return status(job) if is_word or job.is_cancelled else SHORT_WORDS.get(job.state, STATE_WORDS[job.state])


def progress(job: Job) -> tuple[float, str] | None:
    """Return how far a job under way is, from 0 to 1, with a text; None where nobody knows."""
    if job.state is S.RUNNING and job.remote is not None and job.remote.percent is not None:
        return job.remote.percent / 100.0, f"{job.remote.percent:.0f} %"
    if job.state is S.DOWNLOADING and job.bytes_total:
        part = min(1.0, job.bytes_done / job.bytes_total)
        return part, f"{size(job.bytes_done)} of {size(job.bytes_total)}"
    return None


def last_answer(job: Job, now: float) -> str:
    """Return how long ago the service answered, or an empty text where that no longer matters."""
    if job.answered_at is None or not state_machine.is_active(job):
        return ""
    return f"{duration(now - job.answered_at)} ago"


def duration(seconds: float) -> str:
    """Return a time span as a reader says it: 12 s, 3 min, 2 h 5 min."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Return a number of bytes as kB or MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def thousands(count: int) -> str:
    """Return a count with thin groups of three digits."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def triple(values: Vector3, digits: int = 4) -> str:
    """Return three numbers as they are shown: significant digits, no trailing zeros."""
    return " × ".join(f"{value:.{digits}g}" for value in values)


def length(value: float) -> str:
    """Return a length in metres, as it is sent, in significant digits."""
    return f"{value:.5g} m"


def fit_error(value: float) -> str:
    """Return an error relative to the box's diagonal: a bound where it is no more than rounding."""
    return "below 0.001 %" if value < 1e-5 else f"{value * 100:.3g} %"


def off_by(value: float) -> str:
    """Return how far a mesh was from its box when it came back."""
    return "As asked for" if value < 1e-5 else OFF_BY.format(percent=f"{value * 100:.3g} %")


def pivot(values: Vector3) -> str:
    """Return a pivot point as it is shown."""
    return ", ".join(f"{value + 0.0:.3f}".rstrip("0").rstrip(".") for value in (0.0 + round(v, 3) for v in values))


def error_text(job: Job) -> str:
    """Return an error in full, to be copied: how the job stood, what is wrong, what to do."""
    if job.error is None:
        return ""
    facts = [f"job {job.id}", title(job), f"service {job.service}", f"state {job.state}"]
    if job.trial_key:
        facts.append(f"trial key {job.trial_key}")
    return f"{job.error.message}\n{job.error.action}\n({', '.join(facts)}; {job.error.code})".replace("\n\n", "\n")
