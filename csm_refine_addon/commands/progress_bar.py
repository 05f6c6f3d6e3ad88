"""Messages and progress on stderr: a bar on a terminal, else one line for each change.

A closed pipe, a closed terminal, a full disk or a missing stream never fails a job.
"""

from __future__ import annotations

import sys
from typing import TextIO

from ..core.models import Job, JobState
from ..core.stdio import write

_BAR_WIDTH = 24
_WORDS = {
    JobState.PREPARED: "asking for the session",
    JobState.SUBMITTING: "sending the refine",
    JobState.UNCERTAIN: "looking whether the refine arrived",
    JobState.RUNNING: "refining",
    JobState.DOWNLOADING: "downloading",
    JobState.PREPARING: "preparing the mesh",
    JobState.READY: "ready",
    JobState.PLACED: "placed",
    JobState.FAILED: "failed",
    JobState.STOPPED: "stopped",
}


def tell(sentence: str) -> None:
    """Write a line to stderr; never raise if it is closed."""
    write(sys.stderr, sentence + "\n")


class Progress:
    """Writes a job's progress to ``stream``; the same text is never written twice in a row."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._is_terminal = stream is not None and not stream.closed and stream.isatty()
        self._last = ""

    def __call__(self, job: Job) -> None:
        """Write the job's state and progress."""
        text = describe(job)
        if text == self._last:
            return
        self._last = text
        write(self._stream, f"\r\x1b[K{bar(share(job))} {text}" if self._is_terminal else text + "\n")

    def end(self) -> None:
        """End the line of the bar."""
        if self._is_terminal and self._last:
            write(self._stream, "\n")


def describe(job: Job) -> str:
    """Return a job's state in a few words: what is under way, the service's own word, percent or megabytes."""
    state = "cancelled" if job.is_cancelled else _WORDS[job.state]
    words = [f"{job.request.session_code or 'new session'}: {state}"]
    if job.state is JobState.RUNNING and job.remote:
        words.append(f"({job.remote.word})")
        if job.remote.percent is not None:
            words.append(f"{job.remote.percent:.0f} %")
    if job.state is JobState.DOWNLOADING and job.bytes_done:
        total = f" of {job.bytes_total / 1e6:.1f}" if job.bytes_total else ""
        words.append(f"{job.bytes_done / 1e6:.1f}{total} MB")
    if job.trouble:
        words.append(f"- {job.trouble}")
    return " ".join(words)


def share(job: Job) -> float | None:
    """Return how much of the present stage is done, 0 to 1, or None if unknown."""
    if job.state in (JobState.READY, JobState.PLACED):
        return 1.0
    if job.state is JobState.DOWNLOADING and job.bytes_total:
        return min(1.0, job.bytes_done / job.bytes_total)
    if job.state is JobState.RUNNING and job.remote and job.remote.percent is not None:
        return job.remote.percent / 100
    return None


def bar(part: float | None) -> str:
    """Return a bar of fixed width; an empty one where the share is not known."""
    filled = round(_BAR_WIDTH * (part or 0.0))
    return "[" + "#" * filled + "." * (_BAR_WIDTH - filled) + "]"
