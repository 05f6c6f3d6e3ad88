"""User messages for disk errors: a full disk, and a data folder that is not writable."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

FULL = "The service's disk is full. Free some space on it."
CLOSED = "The service cannot write to its data folder. Make it writable."
EXIT_CODE = 28
"""Exit code of a refine process that failed because of a full disk."""
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
    """Return the user message of a disk error; empty for any other error."""
    if isinstance(error, sqlite3.Error):
        return _SQLITE_ERRORS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
    return _ERRORS.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def exit_code(error: BaseException) -> int:
    """Return the exit code of a refine process for an error; errors of Blender's operators contain only its text."""
    has_no_room = sentence(error) == FULL or f"[Errno {errno.ENOSPC}]" in str(error)
    return EXIT_CODE if has_no_room else 1


def is_full(folder: Path) -> bool:
    """Return whether the disk of a folder has less than RESERVE_BYTES free."""
    return shutil.disk_usage(folder).free < RESERVE_BYTES
