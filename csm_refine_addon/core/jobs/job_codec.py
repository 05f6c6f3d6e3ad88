"""Codec between the rows of the job store and jobs and lookups."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from dataclasses import replace
from typing import Any

from ..errors import StorageError
from ..models import Job, JobState
from . import recovery, state_machine
from .lookups import Lookup

Row = tuple[int, str]
"""A revision and a document."""
_log = logging.getLogger("csm_refine.journal")


class CorruptDatabase(sqlite3.DatabaseError):
    """The file is a database, but a document in it is not valid JSON."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def encode(record: Job | Lookup) -> str:
    """Return a job or a lookup as JSON text."""
    return json.dumps(record.to_json())


def decode_job(row: Row) -> Job:
    """Return a row's job. Raises StorageError if another version wrote it, CorruptDatabase if it is not JSON."""
    revision, text = row
    try:
        return Job.from_json({**_read(text), "revision": revision})
    except recovery.DECODE_ERRORS as error:
        raise StorageError(
            "The journal holds a job of another version of CSM Refine.", "Update the extension."
        ) from error


def decode_job_or_none(row: Row) -> Job | None:
    """Return a row's job, or None if another version wrote it. Raises CorruptDatabase."""
    try:
        return decode_job(row)
    except StorageError as error:
        _log.warning("row %s: %s", row[0], error)
        return None


def salvaged_jobs(saved: recovery.Salvage) -> list[Job]:
    """Return the jobs salvaged from a damaged database, each in its newest readable revision, oldest first."""
    newest: dict[str, Job] = {}
    for text in saved.documents:
        with contextlib.suppress(*recovery.DECODE_ERRORS):
            found = Job.from_json(json.loads(text))
            if found.id not in newest or found.revision > newest[found.id].revision:
                newest[found.id] = found
    jobs = (_stop_unsent(found) for found in newest.values() if found.id not in saved.removed)
    return sorted(jobs, key=lambda found: found.created_at)


def decode_lookup(row: Row) -> Lookup:
    """Return a row's lookup. Raises CorruptDatabase."""
    revision, text = row
    return replace(Lookup.from_json(_read(text)), revision=revision)


def _stop_unsent(found: Job) -> Job:
    """Stop a job in PREPARED, so that the user decides: a later revision in which it was sent may be lost."""
    if found.state is not JobState.PREPARED or found.fetch_only:
        return found
    error = StorageError("The journal was damaged before this was sent, as far as can be read.", "Retry sends it.")
    return state_machine.move(found, JobState.STOPPED, error=state_machine.job_error(error), finished_at=time.time())


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CorruptDatabase from error
