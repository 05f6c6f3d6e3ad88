"""The session database: opening, schema version and recovery.

A damaged file is kept under another name, and its readable rows are written to a new database. Rows that this version
cannot read stay in the database and are not listed. None of this deletes files of sessions, except those of sessions
that the user deleted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..core import private_files
from ..core.errors import InputError, StorageError
from ..core.jobs import recovery
from ..core.jobs.job_codec import CorruptDatabase

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
"""1: tables ``sessions`` and ``removed`` (codes of deleted sessions). 0: ``sessions`` only."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (number INTEGER PRIMARY KEY, code TEXT UNIQUE, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS removed (code TEXT PRIMARY KEY);
"""
_READABLE = """
CREATE TEMP TABLE unreadable (number INTEGER PRIMARY KEY);
CREATE TEMP VIEW readable AS SELECT * FROM main.sessions WHERE number NOT IN unreadable;
"""
_CONTENTS = recovery.Contents(("sessions",), first_key="code")
_FOLDER = re.compile(r"SESSION_\d{10}_\d{7}", re.ASCII)
_MAX_LISTED = 10

IsReadable = Callable[[str, str], bool]
"""Arguments: a row's code and document."""


def open_database(path: Path, is_readable: IsReadable) -> sqlite3.Connection:
    """Open the database with an exclusive lock; log rows that cannot be read. The view ``readable`` has all others.

    Raises InputError if another service has it open, StorageError if it cannot be used or is of a newer version.
    """
    try:
        private_files.make_folder(path.parent)
        private_files.touch(path)
        try:
            database = _connect(path)
        except sqlite3.DatabaseError as error:
            if not recovery.is_damage(error):
                raise
            recovery.recover(path, _CONTENTS, lambda draft, saved: _write_recovered(draft, saved, path.parent))
            database = _connect(path)
        _mark_unreadable(database, is_readable)
        _delete_removed_files(database, path.parent)
        _log_orphans(database, path.parent)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise InputError(
                f"Another service is running on the data folder {path.parent}.", "Stop it, or choose another --data."
            ) from error
        raise _storage_error(path, error) from error
    except (OSError, sqlite3.DatabaseError) as error:
        raise _storage_error(path, error) from error
    return database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    database.text_factory = recovery.as_text
    try:
        for setting in ("locking_mode = EXCLUSIVE", "synchronous = FULL", "temp_store = MEMORY"):
            database.execute(f"PRAGMA {setting}")
        version = _version(database, path)
        database.execute("BEGIN EXCLUSIVE")  # in this locking mode, SQLite keeps the lock after the transaction
        if version < SCHEMA_VERSION:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
        _check_integrity(database)
        database.executescript(_READABLE)
    except BaseException:
        database.close()
        raise
    return database


def _version(database: sqlite3.Connection, path: Path) -> int:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"The sessions in {path.parent} were written by a newer version of CSM Refine.",
            "Update the extension, or choose another --data folder.",
        )
    return version


def _check_integrity(database: sqlite3.Connection) -> None:
    if (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise CorruptDatabase(found)
    for (document,) in database.execute("SELECT document FROM sessions"):
        try:
            json.loads(document)
        except ValueError as error:
            raise CorruptDatabase from error


def _write_recovered(draft: Path, saved: recovery.Salvage, folder: Path) -> None:
    """Write the newest readable version of each session whose folder exists to a new database at ``draft``."""
    newest: dict[str, dict[str, Any]] = {}
    for written in saved.documents:
        with contextlib.suppress(*recovery.DECODE_ERRORS):
            found = json.loads(written)
            if found["code"] not in newest or found["updated_at"] > newest[found["code"]]["updated_at"]:
                newest[found["code"]] = {**found, "created_at": float(found["created_at"])}
    kept = [found for code, found in newest.items() if code not in saved.removed and _is_folder(folder / code)]
    kept.sort(key=lambda found: found["created_at"])
    private_files.touch(draft)
    with contextlib.closing(_connect(draft)) as database:
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO sessions (code, document) VALUES (?, ?)",
            [(found["code"], json.dumps(found)) for found in kept],
        )
        database.executemany("INSERT INTO removed VALUES (?)", [(code,) for code in saved.removed])
        database.execute("COMMIT")
    log.warning(
        "The database of sessions was damaged. It is kept as %s; sessions saved out of it: %d.", saved.backup, len(kept)
    )


def _mark_unreadable(database: sqlite3.Connection, is_readable: IsReadable) -> None:
    rows = database.execute("SELECT number, code, document FROM sessions").fetchall()
    unreadable = [(number, code) for number, code, document in rows if not is_readable(code, document)]
    database.executemany("INSERT INTO unreadable VALUES (?)", [(number,) for number, _ in unreadable])
    if unreadable:
        log.warning(
            "Sessions that this version cannot read, which are kept as they are: %s.",
            _list_codes(str(code) for _, code in unreadable),
        )


def _delete_removed_files(database: sqlite3.Connection, folder: Path) -> None:
    """Delete files of removed sessions that could not be deleted earlier."""
    for (code,) in database.execute("SELECT code FROM removed").fetchall():
        if _FOLDER.fullmatch(code):
            shutil.rmtree(folder / code, ignore_errors=True)
        if not (folder / code).exists():
            database.execute("DELETE FROM removed WHERE code = ?", (code,))


def _log_orphans(database: sqlite3.Connection, folder: Path) -> None:
    known = {code for (code,) in database.execute("SELECT code FROM sessions UNION SELECT code FROM removed")}
    orphans = sorted(path.name for path in folder.iterdir() if _is_folder(path) and path.name not in known)
    if orphans:
        log.warning(
            "Sessions with files in %s that the database does not have; the files are kept: %s.",
            folder,
            _list_codes(orphans),
        )


def _is_folder(path: Path) -> bool:
    return bool(_FOLDER.fullmatch(path.name)) and path.is_dir()


def _list_codes(codes: Iterable[str]) -> str:
    codes = list(codes)
    more = len(codes) - _MAX_LISTED
    return ", ".join(codes[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def _storage_error(path: Path, error: Exception) -> StorageError:
    return StorageError(f"The data folder {path.parent} cannot be used: {error}.", "Choose another --data folder.")
