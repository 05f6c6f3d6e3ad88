"""The journal's records: what stands in them, and what it means where they cannot be read."""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import replace
from typing import Any

from ..errors import StorageError
from ..models import Job
from ..questions.lookups import Lookup
from . import mending

Row = tuple[int, str]
"""A revision and a document."""
_log = logging.getLogger("csm_refine.journal")


class Damaged(sqlite3.DatabaseError):
    """The file is a database, and what stands in it is not what was written."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def document(what: Job | Lookup) -> str:
    """Return what is written of a job or a look-up."""
    return json.dumps(what.to_json())


def job(row: Row) -> Job:
    """Return a row's job. Raises StorageError where another version wrote it, Damaged where it is no document."""
    revision, written = row
    try:
        return Job.from_json({**_read(written), "revision": revision})
    except mending.NOT_A_JOB as error:
        raise StorageError(
            "The journal holds a job of another version of CSM Refine.", "Update the extension."
        ) from error


def job_or_none(row: Row) -> Job | None:
    """Return a row's job, or None where another version wrote it. Raises Damaged."""
    try:
        return job(row)
    except StorageError as error:
        _log.warning("row %s: %s", row[0], error)
        return None


def lookup(row: Row) -> Lookup:
    """Return a row's look-up. Raises Damaged."""
    revision, written = row
    return replace(Lookup.from_json(_read(written)), revision=revision)


def _read(written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError as error:
        raise Damaged from error
