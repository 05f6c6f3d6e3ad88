"""User messages for disk errors: a full disk, and a data folder that is not writable."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path

from .errors import StorageError

FULL = "The service's disk is full. Free some space on it."
CLOSED = "The service cannot write to its data folder. Make it writable."
EXIT_CODE = 28
"""Exit code of a refine process that failed because of a full disk."""
OF_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Numbers of errors that nothing but the disk has."""
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
    return EXIT_CODE if is_no_room(error) else 1


def is_no_room(error: BaseException) -> bool:
    """Return whether an error says that the disk is full; errors of Blender's operators have only a text."""
    return sentence(error) == FULL or os.strerror(errno.ENOSPC) in str(error)


def no_room() -> StorageError:
    """Return the error of a task that could not write its files."""
    return StorageError("The disk is full: there is no room for the job's files.", "Free some disk space, then retry.")


def trouble(folder: Path) -> str:
    """Return why a folder that exists takes no files: its disk is full, or it is read-only; empty if it takes them."""
    with contextlib.suppress(OSError):
        if is_full(folder):
            return f"The disk of {folder} is full. Free some space on it."
        if not os.access(folder, os.W_OK):
            return f"The folder {folder} cannot be written. Make it writable."
    return ""


def is_full(folder: Path) -> bool:
    """Return whether the disk of a folder has less than RESERVE_BYTES free."""
    return shutil.disk_usage(folder).free < RESERVE_BYTES
