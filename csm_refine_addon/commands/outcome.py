"""The outcome of a command: a line of text, a JSON document, an error, an exit code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core import errors, mesh_counts, quality
from ..core.errors import CsmError
from ..core.jobs import state_machine
from ..core.models import Job, JobState

_KEYS = (
    "job session service state remote_status percent scaled_bbox pivot_point mesh blend object dimensions fit_error "
    "seconds error placed"
)
EMPTY: dict[str, Any] = {**dict.fromkeys(_KEYS.split()), "warnings": (), "notes": ()}
"""Every key of the JSON object, without a value."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command: a line for stdout, the JSON document, an error, the exit code, sentences for stderr."""

    text: str = ""
    document: Mapping[str, Any] = field(default_factory=lambda: dict(EMPTY))
    error: Mapping[str, str] | None = None
    exit_code: int = 0
    remarks: tuple[str, ...] = ()


def failure(error: CsmError, job: Job | None = None, *, is_about_several: bool = False) -> Outcome:
    """Return the outcome of an error that ended a command, with the command's current job if there is one."""
    said = dataclasses.asdict(state_machine.job_error(error))
    found = {"jobs": []} if is_about_several else document(job) if job else EMPTY
    return Outcome(document={**found, "error": said}, error=said, exit_code=error.exit_code)


def of_job(job: Job, text: str = "") -> Outcome:
    """Return the outcome of a command about one job; ``text`` is kept only if the job has no error."""
    error = dataclasses.asdict(job.error) if job.error else None
    return Outcome(text if not error else "", document(job), error, exit_code(job), (*_warnings(job), *job.notes))


def _warnings(job: Job) -> tuple[str, ...]:
    return (*mesh_counts.warnings(job), *filter(None, (job.placed_note,)))


def warned(found: Outcome, warnings: tuple[str, ...]) -> Outcome:
    """Return an outcome whose document starts with the warnings that were already written to stderr."""
    said = (*warnings, *found.document.get("warnings", ()))
    return dataclasses.replace(found, document={**found.document, "warnings": said}) if warnings else found


def interrupted() -> errors.Interrupted:
    """Return the error for Ctrl-C, or for a signal that ends the program."""
    return errors.Interrupted("Interrupted.", "The job stays in the journal; wait follows it on.")


def not_ended(job: Job, seconds: float) -> errors.FollowTimeout:
    """Return the error for a command whose time limit has passed; the job is left as it is."""
    return errors.FollowTimeout(
        f"The job {job.id} has not ended within {seconds:.0f} s; it stays as it is.",
        "wait follows it on, without sending it again.",
    )


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Return one outcome of several, with the first exit code that is not 0; the other errors become remarks."""
    text = "\n".join(outcome.text for outcome in outcomes if outcome.text)
    worst = next((outcome for outcome in outcomes if outcome.exit_code), Outcome())
    remarks = tuple(
        f"{outcome.document['job']}: {remark}"
        for outcome in outcomes
        for remark in (*outcome.remarks, *(() if outcome is worst else [sentence(outcome)]))
        if remark
    )
    documents = {"jobs": [outcome.document for outcome in outcomes]}
    return Outcome(text, documents, worst.error, worst.exit_code, remarks)


def sentence(found: Outcome) -> str:
    """Return an outcome's error as text; empty if it has none."""
    return " ".join(part for part in (found.error["message"], found.error["action"]) if part) if found.error else ""


def document(job: Job) -> dict[str, Any]:
    """Return a job as the JSON object of ``--json``; scripts rely on its keys."""
    return {
        **EMPTY,
        "job": job.id,
        "session": job.request.session_code,
        "service": job.service,
        "state": str(job.state),
        "remote_status": job.remote.word if job.remote else None,
        "percent": job.remote.percent if job.remote else None,
        "scaled_bbox": job.request.scaled_bbox,
        "pivot_point": job.request.pivot_point,
        "mesh": job.mesh_path or None,
        "blend": job.blend_path or None,
        "object": job.placed_object or None,
        "fit_error": job.fit_error,
        "placed": mesh_counts.placed(job),
        "warnings": mesh_counts.warnings(job),
        "notes": (*job.notes, *quality.of_joined(job)),
        "error": dataclasses.asdict(job.error) if job.error else None,
    }


def exit_code(job: Job) -> int:
    """Return the exit code for a job's state: 0 unless it failed, stopped or is unclear."""
    if job.state is JobState.UNCERTAIN:
        return errors.OutcomeUncertain.exit_code
    if job.state is JobState.STOPPED:
        return errors.Interrupted.exit_code
    return _EXIT_CODES.get(job.error.code, 1) if job.error else 0


def _tree(kind: type[CsmError]) -> list[type[CsmError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


_EXIT_CODES = {kind.code: kind.exit_code for kind in _tree(CsmError)}
