"""Recovery of damaged databases: the file is backed up, and its readable records are copied to a new one.

Used for the job store, and for the sessions of the local service. If several processes detect the damage, one recovers
the database and the others wait. The file exists at any time. A process that has the damaged file open detects the
replacement by :func:`recovery_count`, and opens the new file.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import private_files

LOCK_TIMEOUT_S = 30.0
"""Time limit of the wait for another process that recovers the file."""
DECODE_ERRORS = (ValueError, TypeError, KeyError, AttributeError)
"""Errors of decoding a record of another version; they do not count as damage."""
as_text = functools.partial(str, encoding="utf-8", errors="replace")
"""A connection's ``text_factory``: with the default, one invalid byte fails the whole result."""
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds: JSON in the column ``document`` of ``tables``, and ids in the table ``removed``.

    ``first_key`` is the first JSON key of the documents of the first table; only these are salvaged.
    """

    tables: tuple[str, ...]
    first_key: str


@dataclass(frozen=True, slots=True)
class Salvage:
    """Readable records of a damaged database, and the path of its backup.

    ``documents`` also contains older versions of some documents. ``removed`` has the ids of deleted ones.
    """

    backup: Path
    documents: tuple[str, ...]
    removed: frozenset[str]


def is_damage(error: BaseException) -> bool:
    """Return whether an SQLite error means that the file is damaged, or not a database."""
    code = (
        getattr(error, "sqlite_errorcode", 0) & 0xFF
    )  # the extended code is not needed; https://www.sqlite.org/rescode.html
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def recovery_count(path: Path) -> int:
    """Return a number that grows with each recovery of the database."""
    try:
        return _recovery_log(path).stat().st_size
    except OSError:
        return 0


def recover(path: Path, contents: Contents, fill: Callable[[Path, Salvage], None]) -> None:
    """Back up a damaged database and replace it; do nothing if it is not damaged (any more).

    ``fill`` creates a database from the salvaged records. Raises OSError, sqlite3.Error.
    """
    with _exclusive_lock(path):
        if not _is_damaged(path, contents):
            return
        documents = (*_salvage_rows(path, contents.tables[0], "document"), *_salvage_bytes(path, contents.first_key))
        saved = Salvage(_back_up(path), documents, frozenset(_salvage_rows(path, "removed", "*")))
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        fill(draft, saved)
        with open(_recovery_log(path), "a", encoding="utf-8", opener=private_files.opener) as log:
            log.write(f"{saved.backup.name}\n")
        _rollback_journal(path).unlink(missing_ok=True)  # SQLite would roll it back into the new file
        os.replace(draft, path)


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; it is released when the process ends."""
    file = path.with_name(f"{path.stem}.lock")
    private_files.touch(file)
    lock = sqlite3.connect(file, timeout=LOCK_TIMEOUT_S, isolation_level=None)
    with contextlib.closing(lock):
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _is_damaged(path: Path, contents: Contents) -> bool:
    try:
        with contextlib.closing(_open(path)) as database:
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                return True
            for table in contents.tables:
                for (document,) in database.execute(f"SELECT document FROM {table}"):  # noqa: S608 -- ours
                    json.loads(document)
    except sqlite3.Error as error:
        if is_damage(error):
            return True
        raise
    except ValueError:
        return True
    return False


def _salvage_rows(path: Path, table: str, column: str) -> Iterator[str]:
    """Yield the first selected column of the rows that SQLite can read from both ends of a table."""
    for order in ("", " DESC"):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(path)) as database:
            for row in database.execute(f"SELECT {column} FROM {table} ORDER BY rowid{order}"):  # noqa: S608 -- ours
                yield row[0]


def _salvage_bytes(path: Path, first_key: str) -> Iterator[str]:
    """Yield JSON documents found anywhere in the file: pages with a damaged header still contain them."""
    text = path.read_bytes().decode("utf-8", "replace")
    beginning = json.dumps({first_key: ""})[:-2]
    start = text.find(beginning)
    while start >= 0:
        with contextlib.suppress(ValueError, RecursionError):
            _, end = _decoder.raw_decode(text, start)
            yield text[start:end]
        start = text.find(beginning, start + 1)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.text_factory = as_text
    return database


def _back_up(path: Path) -> Path:
    """Copy the damaged file and its rollback journal to a name with the date; return the path."""
    stem = f"{path.stem}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (path.with_name(f"{stem}{more}{path.suffix}") for more in ("", *(f"-{n}" for n in range(2, 1000))))
    backup = next(name for name in names if not name.exists())
    for source, target in ((path, backup), (_rollback_journal(path), _rollback_journal(backup))):
        if source.exists():
            private_files.touch(target)
            shutil.copyfile(source, target)
    return backup


def _rollback_journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


@functools.cache
def _recovery_log(path: Path) -> Path:
    """Return the path of the recovery log; cached because each timer call in Blender reads it several times."""
    return path.with_name(f"{path.stem}.mended")
