"""Errors of the disk: what a full one, and a data folder that cannot be written, mean to the user."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

FULL = "The service's disk is full. Free some space on it."
CLOSED = "The service cannot write to its data folder. Make it writable."
EXIT_CODE = 28
"""Of a process of a refine that a full disk has ended."""
RESERVE_BYTES = 1 << 20
"""A disk with less free space counts as full."""
_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), FULL),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), CLOSED),
}
_SQLITE_ERRORS = {
    sqlite3.SQLITE_FULL: FULL,
    **dict.fromkeys((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM), CLOSED),
}


def sentence(error: BaseException) -> str:
    """Return what to tell the user of an error; empty where it is none of the disk."""
    if isinstance(error, sqlite3.Error):
        return _SQLITE_ERRORS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
    return _ERRORS.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def exit_code(error: BaseException) -> int:
    """Return with which exit code a process of a refine ends by an error; operators of Blender only have its text."""
    has_no_room = sentence(error) == FULL or f"[Errno {errno.ENOSPC}]" in str(error)
    return EXIT_CODE if has_no_room else 1


def is_full(folder: Path) -> bool:
    """Return whether the disk of a folder has no room for a file of some size."""
    return shutil.disk_usage(folder).free < RESERVE_BYTES
