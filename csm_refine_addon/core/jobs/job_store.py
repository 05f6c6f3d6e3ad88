"""Job store: jobs, transitions, leases and lookups in one SQLite file that all processes share.

It is the only channel between panel, worker, command line and other Blender processes. Every change is one short
transaction under ``synchronous=FULL`` with a rollback journal, because WAL does not work on network drives. Each row
has the revision of its last change, so that a reader fetches only new rows; ``data_version`` reports within
microseconds whether there are any.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from .. import private_files
from ..errors import InputError, JobStoreBusy, StorageError
from ..models import Job, JobState
from . import job_codec, recovery, submissions
from .crash_points import passing
from .lookups import LOOKUP_LIMIT_S, Lookup
from .state_machine import TRANSITIONS, IllegalTransition, may_run

SCHEMA_VERSION = 4
"""1: jobs; 2: look-ups, too; 3: sentences for the user, too; 4: cancellations, too."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS jobs_revision ON jobs (revision);
CREATE TABLE IF NOT EXISTS history
  (job TEXT NOT NULL, revision INTEGER NOT NULL, at REAL NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS removed (job TEXT PRIMARY KEY, revision INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS leases (job TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS lookups (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, asked_at REAL NOT NULL,
  answered_at REAL NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notices (sentence TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cancellations
  (number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, session TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counter (revision INTEGER NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT * FROM counter);
"""
_CONTENTS = recovery.Contents(("jobs", "lookups"), first_key="id")
_INSERT = "INSERT INTO jobs (document, revision, id) VALUES (?, ?, ?)"
_RETRY = "Do it again: a new one has what can be read."
_EMPTY_FILE = (
    "The journal was an empty file: its jobs are no longer known. Fetch Result Again brings the results of a session."
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes since a revision: changed jobs, ids of removed jobs, and the revision to continue from.

    ``complete`` is False if there are more changes after that revision.
    """

    jobs: tuple[Job, ...]
    removed: tuple[str, ...]
    revision: int
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The refine of a session at the local service that is to be ended, because its job was cancelled or removed."""

    number: int
    job: str
    session: str


class JobStore:
    """One connection to the database; only the thread that created it may use it.

    ``busy_timeout_s`` limits the wait for the transaction of another process. A damaged file is backed up, and its
    readable jobs are copied to a new database. Raises StorageError if the file cannot be opened or was written by a
    newer version, JobStoreBusy if another process holds the lock for longer.
    """

    def __init__(self, path: Path, busy_timeout_s: float = 5.0) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._recovery_count = recovery.recovery_count(path)
        with self._translated_errors(recovers=False):
            private_files.open_data_dir(path.parent)
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if not recovery.is_damage(error):
                    raise
                recovery.recover(path, _CONTENTS, _restore_into)
                self._recovery_count = recovery.recovery_count(path)
                self._connection = self._open()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, job: Job, *, again: bool = False) -> Job:
        """Add a new job and return it with its revision.

        Raises AlreadySubmitted if another job of its session blocks it; ``again`` skips this check.
        """
        with self._transaction():
            if not again:
                self._require_not_submitted(job)
            written = self._write(job, _INSERT, moved=True)
            passing("", job.state, "before")
        passing("", job.state, "after")
        return written

    def change(self, job_id: str, step: Callable[[Job], Job], *, again: bool = False) -> Job:
        """Read a job, apply ``step`` to it and store the result, in one transaction; return the new job.

        An exception out of ``step`` leaves the journal as it was. A job that ``step`` returns as it got it is not
        written. Raises InputError where there is no such job, IllegalTransition where ``step`` broke the table, and
        AlreadySubmitted where ``step`` is to send an ended job anew and another job of its session bars it; with
        ``again`` it is sent all the same.
        """
        with self._transaction():
            before, written = self._change(job_id, step, again=again)
        if written is not before:
            passing(before.state, written.state, "after")
        return written

    def change_each(self, job_ids: Iterable[str], step: Callable[[Job], Job]) -> list[Job]:
        """Change many jobs as :meth:`change` does, in one transaction; return them as they are now.

        Skip jobs that do not exist, and jobs for which ``step`` raises InputError or IllegalTransition.
        """
        changed = []
        with self._transaction():
            for job_id in job_ids:
                with contextlib.suppress(InputError, IllegalTransition):
                    changed.append(self._change(job_id, step))
        for before, written in changed:
            if written is not before:
                passing(before.state, written.state, "after")
        return [written for _, written in changed]

    def get(self, job_id: str) -> Job:
        """Return a job. Raises InputError if there is no job with this id."""
        with self._translated_errors():
            return self._read(job_id)

    def all(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return sorted(self.changes_since(0).jobs, key=lambda job: job.created_at)

    def changes_since(self, revision: int, most: int = -1) -> Changes:
        """Return the jobs changed and removed after ``revision``; at most ``most`` changed ones, the oldest changes.

        Jobs that only another version can read are skipped.
        """
        changed = "SELECT revision, document FROM jobs WHERE revision > ? ORDER BY revision LIMIT ?"
        gone = "SELECT job, revision FROM removed WHERE revision > ? AND revision <= ?"
        with self._transaction("DEFERRED"):  # a change between the two reads would be lost
            rows = self._connection.execute(changed, (revision, most)).fetchall()
            jobs = tuple(job for row in rows if (job := job_codec.decode_job_or_none(row)))
            complete = len(rows) != most
            until = sys.maxsize if complete else rows[-1][0]
            removed = self._connection.execute(gone, (revision, until)).fetchall()
        newest = max([revision, *(row[0] for row in rows), *(row[1] for row in removed)])
        return Changes(jobs, tuple(row[0] for row in removed), newest, complete)

    def data_version(self) -> int:
        """Return a number that changes when another connection has written."""
        with self._translated_errors():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def remove(self, *job_ids: str) -> None:
        """Forget jobs, in one transaction; their ids stay known as removed, so that their folders can be cleared.

        A refine of theirs that runs at the local service is to be cancelled.
        """
        rows = [(job_id,) for job_id in job_ids]
        with self._transaction():
            for job_id in job_ids:
                with contextlib.suppress(InputError):
                    self._cancel_if_running(self._read(job_id))
            revision = self._next_revision()
            self._connection.executemany("DELETE FROM jobs WHERE id = ?", rows)
            self._connection.executemany("DELETE FROM leases WHERE job = ?", rows)
            removed = [(job_id, revision) for job_id in job_ids]
            self._connection.executemany("INSERT OR REPLACE INTO removed VALUES (?, ?)", removed)

    def cancel_if_unwanted(self, job: Job) -> None:
        """Have the refine that was just sent cancelled, where its job was cancelled or removed meanwhile."""
        with self._transaction():
            with contextlib.suppress(InputError):
                if not self._read(job.id).is_cancelled:
                    return
            self._cancel(job)

    def cancellations(self) -> list[Cancellation]:
        """Return the refines that the local service is still to end, in the order in which that was asked for."""
        with self._translated_errors():
            rows = self._connection.execute("SELECT number, job, session FROM cancellations ORDER BY number")
            return [Cancellation(*row) for row in rows]

    def cancelled(self, cancellation: Cancellation) -> None:
        """Forget a cancellation that the service has carried out."""
        with self._transaction():
            self._connection.execute("DELETE FROM cancellations WHERE number = ?", (cancellation.number,))

    def history(self, job_id: str) -> list[tuple[float, str]]:
        """Return the time and state of each transition of the job, in order."""
        with self._translated_errors():
            rows = self._connection.execute("SELECT at, state FROM history WHERE job = ? ORDER BY rowid", (job_id,))
            return [(at, state) for at, state in rows]

    def claim(self, job_id: str, owner: str, now: float, lease_s: float) -> bool:
        """Acquire or renew the lease of a job, so that only one process runs it. False: another process has it."""
        with self._translated_errors():
            cursor = self._connection.execute(
                "INSERT INTO leases VALUES (?1, ?2, ?3) ON CONFLICT (job) DO UPDATE SET owner = ?2, until = ?3 "
                "WHERE owner = ?2 OR until < ?4 OR until > ?4 + 2 * ?5",
                (job_id, owner, now + lease_s, now, lease_s),
            )
            return cursor.rowcount == 1

    def held_by_others(self, owner: str, now: float, lease_s: float) -> frozenset[str]:
        """Return the ids of all jobs for which :meth:`claim` by ``owner`` would fail; read-only."""
        with self._translated_errors():
            query = "SELECT job FROM leases WHERE owner <> ?1 AND until BETWEEN ?2 AND ?2 + 2 * ?3"
            return frozenset(row[0] for row in self._connection.execute(query, (owner, now, lease_s)))

    def renew(self, job_ids: Iterable[str], owner: str, now: float, lease_s: float) -> None:
        """Renew the leases of these jobs that ``owner`` holds."""
        rows = [(now + lease_s, owner, job_id) for job_id in job_ids]
        with self._transaction():
            self._connection.executemany("UPDATE leases SET until = ? WHERE owner = ? AND job = ?", rows)

    def release(self, job_id: str, owner: str) -> None:
        """Release a lease."""
        with self._translated_errors():
            self._connection.execute("DELETE FROM leases WHERE job = ? AND owner = ?", (job_id, owner))

    def add_lookup(self, lookup: Lookup) -> Lookup:
        """Add a lookup, or reopen an existing one, and return it with its last result."""
        with self._transaction():
            known = self._read_lookup(lookup.key)
            return self._write_lookup(replace(known, asked_at=lookup.asked_at) if known else lookup)

    def update_lookup(self, key: str, step: Callable[[Lookup], Lookup]) -> None:
        """Apply ``step`` to a stored lookup; do nothing if it was deleted."""
        with self._transaction():
            known = self._read_lookup(key)
            if known is not None:
                self._write_lookup(step(known))

    def lookups_since(self, revision: int) -> list[Lookup]:
        """Return the lookups that were added or updated after ``revision``, ordered by revision."""
        return self._lookups("revision > ?", revision)

    def open_lookups(self, now: float) -> list[Lookup]:
        """Return the lookups without a result that have not expired."""
        return self._lookups("answered_at < asked_at AND asked_at > ?", now - LOOKUP_LIMIT_S)

    def forget_lookups(self, before: float) -> None:
        """Delete the lookups that were last requested before a time."""
        with self._transaction():
            self._connection.execute("DELETE FROM lookups WHERE asked_at < ?", (before,))

    def take_notices(self) -> list[str]:
        """Return and delete the notices that were not shown yet; the caller shows them."""
        with self._translated_errors():
            if not self._connection.execute("SELECT 1 FROM notices").fetchone():
                return []
        with self._transaction():
            sentences = [row[0] for row in self._connection.execute("SELECT sentence FROM notices ORDER BY rowid")]
            self._connection.execute("DELETE FROM notices")
        return sentences

    def restore(self, jobs: Sequence[Job], sentence: str) -> None:
        """Write down what was saved out of another journal, and the sentence that tells the user of it."""
        with self._transaction():
            for job in jobs:
                self._write(job, _INSERT, moved=True)
            self._connection.execute("INSERT INTO notices VALUES (?)", (sentence,))

    def _lookups(self, condition: str, value: float) -> list[Lookup]:
        with self._translated_errors():
            query = f"SELECT revision, document FROM lookups WHERE {condition} ORDER BY revision"  # noqa: S608 -- ours
            return [job_codec.decode_lookup(row) for row in self._connection.execute(query, (value,))]

    def _read_lookup(self, key: str) -> Lookup | None:
        row = self._connection.execute("SELECT revision, document FROM lookups WHERE key = ?", (key,)).fetchone()
        return job_codec.decode_lookup(row) if row else None

    def _write_lookup(self, lookup: Lookup) -> Lookup:
        lookup = replace(lookup, revision=self._next_revision())
        row = (lookup.key, lookup.revision, lookup.asked_at, lookup.answered_at, job_codec.encode(lookup))
        self._connection.execute("INSERT OR REPLACE INTO lookups VALUES (?, ?, ?, ?, ?)", row)
        return lookup

    def _open(self) -> sqlite3.Connection:
        is_emptied = self._path.exists() and not self._path.stat().st_size and any(self._path.parent.glob("jobs/*"))
        private_files.touch(self._path)  # SQLite gives its rollback journal the same mode
        connection = sqlite3.connect(self._path, timeout=self._busy_timeout_s, isolation_level=None)
        connection.text_factory = recovery.as_text
        try:
            connection.execute("PRAGMA synchronous=FULL")
            self._set_up(connection)
            if is_emptied:
                connection.execute("INSERT INTO notices VALUES (?)", (_EMPTY_FILE,))
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"The journal {self._path} was written by a newer version of CSM Refine.",
                "Update the extension, or set CSM_REFINE_HOME to another folder.",
            )
        if version < SCHEMA_VERSION:
            script = f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            connection.executescript(script)
        elif (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":  # 2 ms for 1,000 jobs
            raise job_codec.CorruptDatabase(found)

    def _read(self, job_id: str) -> Job:
        row = self._connection.execute("SELECT revision, document FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise InputError(f"There is no job {job_id}.", "The command jobs lists the jobs that there are.")
        return job_codec.decode_job(row)

    def _require_not_submitted(self, job: Job) -> None:
        """Raise AlreadySubmitted if the job is about to send a refine and another job of its session blocks it."""
        if not submissions.sends(job):
            return
        code = job.request.session_code
        named = "SELECT revision, document FROM jobs WHERE id <> ? AND instr(document, ?)"
        others = map(job_codec.decode_job, self._connection.execute(named, (job.id, code)))
        submissions.require_none(code, job.service, others)

    def _change(self, job_id: str, step: Callable[[Job], Job], *, again: bool = False) -> tuple[Job, Job]:
        """Change a job inside a transaction; return the old and the stored job: the same object if unchanged."""
        before = self._read(job_id)
        after = step(before)
        if after == before:
            return before, before
        moved = after.state is not before.state
        if after.is_cancelled and moved:
            self._cancel_if_running(before)
        if moved and after.state not in TRANSITIONS[before.state]:
            raise IllegalTransition(f"{before.state} -> {after.state}")
        if moved and before.state is not JobState.SUBMITTING and not again:  # from there, it has barred all others
            self._require_not_submitted(after)
        written = self._write(after, "UPDATE jobs SET document = ?, revision = ? WHERE id = ?", moved=moved)
        passing(before.state, after.state, "before")
        return before, written

    def _cancel_if_running(self, job: Job) -> None:
        if may_run(job):
            self._cancel(job)

    def _cancel(self, job: Job) -> None:
        row = (job.id, job.request.session_code)
        self._connection.execute("INSERT INTO cancellations (job, session) VALUES (?, ?)", row)

    def _next_revision(self) -> int:
        self._connection.execute("UPDATE counter SET revision = revision + 1")
        return int(self._connection.execute("SELECT revision FROM counter").fetchone()[0])

    def _write(self, job: Job, statement: str, *, moved: bool) -> Job:
        job = replace(job, revision=self._next_revision())
        self._connection.execute(statement, (job_codec.encode(job), job.revision, job.id))
        if moved:
            at = "INSERT INTO history VALUES (?, ?, (julianday('now') - 2440587.5) * 86400.0, ?)"
            self._connection.execute(at, (job.id, job.revision, str(job.state)))
        return job

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """Hold the write lock (DEFERRED: read one snapshot); an exception rolls everything back."""
        with self._translated_errors():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated_errors(self, *, recovers: bool = True) -> Iterator[None]:
        """Translate SQLite and disk errors to StorageError; recover a damaged database first."""
        try:
            self._require_in_place()
            yield
        except (sqlite3.Error, OSError) as error:
            if recovers and recovery.is_damage(error):
                self._recover()
            raise self._storage_error(error) from error

    def _require_in_place(self) -> None:
        """Raise StorageError if another process has replaced this database: writes to it would be lost."""
        if self._recovery_count != recovery.recovery_count(self._path):
            raise StorageError(f"The journal {self._path} was damaged, and there is a new one.", _RETRY)

    def _recover(self) -> None:
        self.close()
        with contextlib.suppress(sqlite3.Error, OSError):  # the original error is reported
            recovery.recover(self._path, _CONTENTS, _restore_into)

    def _storage_error(self, error: Exception) -> StorageError:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return JobStoreBusy(
                f"The journal {self._path} is locked by another process.",
                "Do it again; if it stays so, end the other Blenders and command lines.",
            )
        if recovery.is_damage(error):
            return StorageError(f"The journal {self._path} is damaged.", _RETRY)
        return StorageError(
            f"The journal {self._path} cannot be used: {error}.",
            "See that its folder can be written and has room, or set CSM_REFINE_HOME to another one.",
        )


def _restore_into(path: Path, saved: recovery.Salvage) -> None:
    jobs = job_codec.salvaged_jobs(saved)
    sentence = f"The journal was damaged. It is kept as {saved.backup.name}; jobs saved out of it: {len(jobs)}."
    with JobStore(path) as store:
        store.restore(jobs, sentence)
