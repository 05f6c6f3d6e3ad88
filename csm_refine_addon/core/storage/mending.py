"""A journal that is damaged is kept aside, and what can still be read out of it comes into a new one.

Several processes may find the damage at once: one mends, the others wait for it and find a sound journal. At no
moment is there no journal. A process that has the damaged one open finds in the list of mended journals that it was
replaced, and opens the new one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..driving import flow
from ..errors import StorageError
from ..models import Job, JobState
from . import private_files

PATIENT_S = 30.0
"""How long to wait for another process that is mending."""
NOT_A_JOB = (ValueError, TypeError, KeyError, AttributeError)
"""What JSON that is no job of this version raises: that is no damage."""
as_text = functools.partial(str, encoding="utf-8", errors="replace")
"""For a connection's ``text_factory``: SQLite itself would refuse the whole result."""
_BEGINNING = json.dumps({"id": ""})[:-2]
_decoder = json.JSONDecoder()


def is_damage(error: BaseException) -> bool:
    """Tell whether SQLite says that the file is damaged, or no database at all."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says where; https://www.sqlite.org/rescode.html
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def times_mended(path: Path) -> int:
    """Return a number that grows each time the journal is replaced by a mended one."""
    try:
        return _list_of(path).stat().st_size
    except OSError:
        return 0


def mend(path: Path, fill: Callable[[Path, Sequence[Job], str], None]) -> None:
    """Keep a damaged journal aside and put a new one in its place; nothing where it is not damaged (any more).

    ``fill`` makes a journal with these jobs and this sentence for the user. Raises OSError, sqlite3.Error.
    """
    with _alone(path):
        if not _is_damaged(path):
            return
        jobs = _saved(path)
        aside = _kept_aside(path)
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        fill(draft, jobs, f"The journal was damaged. It is kept as {aside.name}; jobs saved out of it: {len(jobs)}.")
        with open(_list_of(path), "a", encoding="utf-8", opener=private_files.opener) as mended:
            mended.write(f"{aside.name}\n")
        _rollback_journal(path).unlink(missing_ok=True)  # SQLite would play it back into the new one
        os.replace(draft, path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time in; the lock goes with the process, however it ends."""
    file = path.with_name(f"{path.stem}.lock")
    private_files.touch(file)
    lock = sqlite3.connect(file, timeout=PATIENT_S, isolation_level=None)
    with contextlib.closing(lock):
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _is_damaged(path: Path) -> bool:
    try:
        with contextlib.closing(_opened(path)) as journal:
            if journal.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                return True
            for (document,) in journal.execute("SELECT document FROM jobs UNION ALL SELECT document FROM lookups"):
                json.loads(document)
    except sqlite3.Error as error:
        if is_damage(error):
            return True
        raise
    except ValueError:
        return True
    return False


def _saved(path: Path) -> list[Job]:
    """Return the jobs that can be read, each as it was last written, oldest first."""
    newest: dict[str, Job] = {}
    for document in (*_by_rows(path, "jobs", "document"), *_by_bytes(path)):
        with contextlib.suppress(*NOT_A_JOB):
            job = Job.from_json(json.loads(document))
            if job.id not in newest or job.revision > newest[job.id].revision:
                newest[job.id] = job
    removed = set(_by_rows(path, "removed", "job"))
    kept = (_unsent(job) for job in newest.values() if job.id not in removed)
    return sorted(kept, key=lambda job: job.created_at)


def _unsent(job: Job) -> Job:
    """Leave it to the user to send what stands as not yet sent: a later row that says otherwise may be lost."""
    if job.state is not JobState.PREPARED or job.fetch_only:
        return job
    error = StorageError("The journal was damaged before this was sent, as far as can be read.", "Retry sends it.")
    return flow.move(job, JobState.STOPPED, error=flow.job_error(error), finished_at=time.time())


def _by_rows(path: Path, table: str, column: str) -> Iterator[str]:
    """Yield what SQLite can read from both ends of a table, up to the damage."""
    for order in ("", " DESC"):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(path)) as journal:
            for (text,) in journal.execute(f"SELECT {column} FROM {table} ORDER BY rowid{order}"):  # noqa: S608 -- ours
                yield text


def _by_bytes(path: Path) -> Iterator[str]:
    """Yield what looks like a job anywhere in the file, older ones too: a page without its header still holds them."""
    text = path.read_bytes().decode("utf-8", "replace")
    start = text.find(_BEGINNING)
    while start >= 0:
        with contextlib.suppress(ValueError, RecursionError):
            _, end = _decoder.raw_decode(text, start)
            yield text[start:end]
        start = text.find(_BEGINNING, start + 1)


def _opened(path: Path) -> sqlite3.Connection:
    journal = sqlite3.connect(path)
    journal.text_factory = as_text
    return journal


def _kept_aside(path: Path) -> Path:
    """Copy the damaged file, and what SQLite keeps beside it, under a name with the date."""
    stem = f"{path.stem}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (path.with_name(f"{stem}{more}{path.suffix}") for more in ("", *(f"-{n}" for n in range(2, 1000))))
    aside = next(name for name in names if not name.exists())
    for source, target in ((path, aside), (_rollback_journal(path), _rollback_journal(aside))):
        if source.exists():
            private_files.touch(target)
            shutil.copyfile(source, target)
    return aside


def _rollback_journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


@functools.cache
def _list_of(path: Path) -> Path:
    """Kept: each turn of a Blender's timer asks a few times."""
    return path.with_name(f"{path.stem}.mended")
