"""The journal: every job, every transition and every look-up, in one SQLite file that all processes share.

It is the only channel between panel, worker, command line and another Blender. Every change is one short
transaction under ``synchronous=FULL`` with a rollback journal, because home folders on network drives rule out WAL.
Each row carries the revision of its last change, so a reader fetches only what is new; ``data_version`` tells
within microseconds whether anything is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from .errors import InputError, StorageError
from .flow import TRANSITIONS, IllegalTransition
from .lookups import QUESTION_LIMIT_S, Lookup
from .models import Job

SCHEMA_VERSION = 2
"""1: jobs; 2: look-ups, too."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS jobs_revision ON jobs (revision);
CREATE TABLE IF NOT EXISTS history
  (job TEXT NOT NULL, revision INTEGER NOT NULL, at REAL NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS removed (job TEXT PRIMARY KEY, revision INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS leases (job TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS lookups (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, asked_at REAL NOT NULL,
  answered_at REAL NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counter (revision INTEGER NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT * FROM counter);
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since a revision: changed jobs, ids of removed ones, and the revision to ask from next."""

    jobs: tuple[Job, ...]
    removed: tuple[str, ...]
    revision: int


class Journal:
    """One connection to the journal; it belongs to the thread that made it.

    ``busy_timeout_s`` is how long to wait for another process's transaction. Raises StorageError where the file
    cannot be opened, is not ours, or was written by a newer version.
    """

    def __init__(self, path: Path, busy_timeout_s: float = 5.0) -> None:
        self._path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
            try:
                self._connection.execute("PRAGMA synchronous=FULL")
                self._set_up()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, job: Job) -> Job:
        """Write a new job down and return it with its revision."""
        with self._transaction():
            return self._write(job, "INSERT INTO jobs (document, revision, id) VALUES (?, ?, ?)", moved=True)

    def change(self, job_id: str, step: Callable[[Job], Job]) -> Job:
        """Read a job, apply ``step`` to it and write the outcome, as one transaction; return the new job.

        An exception out of ``step`` leaves the journal as it was. A job that ``step`` returns as it got it is not
        written. Raises InputError where there is no such job, IllegalTransition where ``step`` broke the table.
        """
        with self._transaction():
            before = self._read(job_id)
            after = step(before)
            if after == before:
                return before
            moved = after.state is not before.state
            if moved and after.state not in TRANSITIONS[before.state]:
                raise IllegalTransition(f"{before.state} -> {after.state}")
            return self._write(after, "UPDATE jobs SET document = ?, revision = ? WHERE id = ?", moved=moved)

    def get(self, job_id: str) -> Job:
        """Return a job. Raises InputError where there is none of this id."""
        with self._explained():
            return self._read(job_id)

    def all(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return sorted(self.changes_since(0).jobs, key=lambda job: job.created_at)

    def changes_since(self, revision: int) -> Changes:
        """Return the jobs changed and removed after ``revision``."""
        with self._transaction("DEFERRED"):  # a change between the two reads would be missed for good
            rows = self._connection.execute("SELECT revision, document FROM jobs WHERE revision > ?", (revision,))
            jobs = tuple(_job(row) for row in rows)
            gone = self._connection.execute("SELECT job, revision FROM removed WHERE revision > ?", (revision,))
            removed = gone.fetchall()
        newest = max([revision, *(job.revision for job in jobs), *(row[1] for row in removed)])
        return Changes(jobs, tuple(row[0] for row in removed), newest)

    def data_version(self) -> int:
        """Return a number that differs from the last one when another connection has written since."""
        with self._explained():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def remove(self, job_id: str) -> None:
        """Forget a job; its id stays known as removed, so that its folder can be cleared."""
        with self._transaction():
            self._connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            self._connection.execute("DELETE FROM leases WHERE job = ?", (job_id,))
            self._connection.execute("INSERT OR REPLACE INTO removed VALUES (?, ?)", (job_id, self._next_revision()))

    def removed(self) -> list[str]:
        """Return the ids of all removed jobs."""
        with self._explained():
            return [row[0] for row in self._connection.execute("SELECT job FROM removed")]

    def history(self, job_id: str) -> list[tuple[float, str]]:
        """Return when the job came into which state, in order."""
        with self._explained():
            rows = self._connection.execute("SELECT at, state FROM history WHERE job = ? ORDER BY rowid", (job_id,))
            return [(at, state) for at, state in rows]

    def claim(self, job_id: str, owner: str, now: float, lease_s: float) -> bool:
        """Take or renew the lease of a job: one job is driven by one process. False: another one has it."""
        with self._explained():
            cursor = self._connection.execute(
                "INSERT INTO leases VALUES (?1, ?2, ?3) ON CONFLICT (job) DO UPDATE SET owner = ?2, until = ?3 "
                "WHERE owner = ?2 OR until < ?4 OR until > ?4 + 2 * ?5",
                (job_id, owner, now + lease_s, now, lease_s),
            )
            return cursor.rowcount == 1

    def renew(self, owner: str, now: float, lease_s: float) -> None:
        """Renew every lease that ``owner`` holds."""
        with self._explained():
            self._connection.execute("UPDATE leases SET until = ? WHERE owner = ?", (now + lease_s, owner))

    def release(self, job_id: str, owner: str) -> None:
        """Give a lease back."""
        with self._explained():
            self._connection.execute("DELETE FROM leases WHERE job = ? AND owner = ?", (job_id, owner))

    def ask(self, lookup: Lookup) -> Lookup:
        """Write a question down, or an answered one anew, and return it with the last answer that it got."""
        with self._transaction():
            known = self._read_lookup(lookup.key)
            return self._write_lookup(replace(known, asked_at=lookup.asked_at) if known else lookup)

    def answer(self, key: str, step: Callable[[Lookup], Lookup]) -> None:
        """Write an answer down: ``step`` gets the question as it stands. A question that is gone stays gone."""
        with self._transaction():
            known = self._read_lookup(key)
            if known is not None:
                self._write_lookup(step(known))

    def lookups_since(self, revision: int) -> list[Lookup]:
        """Return the questions that were asked or answered after ``revision``, in the order of their revisions."""
        return self._lookups("revision > ?", revision)

    def open_lookups(self, now: float) -> list[Lookup]:
        """Return the questions that wait for an answer."""
        return self._lookups("answered_at < asked_at AND asked_at > ?", now - QUESTION_LIMIT_S)

    def forget_lookups(self, before: float) -> None:
        """Delete the questions that were last asked before a time."""
        with self._transaction():
            self._connection.execute("DELETE FROM lookups WHERE asked_at < ?", (before,))

    def _lookups(self, condition: str, value: float) -> list[Lookup]:
        with self._explained():
            query = f"SELECT revision, document FROM lookups WHERE {condition} ORDER BY revision"  # noqa: S608 -- ours
            return [_lookup(row) for row in self._connection.execute(query, (value,))]

    def _read_lookup(self, key: str) -> Lookup | None:
        row = self._connection.execute("SELECT revision, document FROM lookups WHERE key = ?", (key,)).fetchone()
        return _lookup(row) if row else None

    def _write_lookup(self, lookup: Lookup) -> Lookup:
        lookup = replace(lookup, revision=self._next_revision())
        row = (lookup.key, lookup.revision, lookup.asked_at, lookup.answered_at, json.dumps(lookup.to_json()))
        self._connection.execute("INSERT OR REPLACE INTO lookups VALUES (?, ?, ?, ?, ?)", row)
        return lookup

    def _set_up(self) -> None:
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"The journal {self._path} was written by a newer version of CSM Refine.",
                "Update the extension, or set CSM_REFINE_HOME to another folder.",
            )
        if version < SCHEMA_VERSION:
            script = f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            self._connection.executescript(script)

    def _read(self, job_id: str) -> Job:
        row = self._connection.execute("SELECT revision, document FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise InputError(f"There is no job {job_id}.", "The command jobs lists the jobs that there are.")
        return _job(row)

    def _next_revision(self) -> int:
        self._connection.execute("UPDATE counter SET revision = revision + 1")
        return int(self._connection.execute("SELECT revision FROM counter").fetchone()[0])

    def _write(self, job: Job, statement: str, *, moved: bool) -> Job:
        job = replace(job, revision=self._next_revision())
        self._connection.execute(statement, (json.dumps(job.to_json()), job.revision, job.id))
        if moved:
            at = "INSERT INTO history VALUES (?, ?, (julianday('now') - 2440587.5) * 86400.0, ?)"
            self._connection.execute(at, (job.id, job.revision, str(job.state)))
        return job

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """Hold the write lock (DEFERRED: see one state of the file); an exception takes everything back."""
        with self._explained():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"The journal {self._path} cannot be used: {error}.",
                "See that its folder can be written and has room, or set CSM_REFINE_HOME to another one.",
            ) from error


def _job(row: tuple[int, str]) -> Job:
    revision, document = row
    return Job.from_json({**json.loads(document), "revision": revision})


def _lookup(row: tuple[int, str]) -> Lookup:
    revision, document = row
    return replace(Lookup.from_json(json.loads(document)), revision=revision)
