"""Folders and files of the data folder, readable and writable only by the user of this process.

Folders have mode 0700 and files 0600, whatever the umask is. It is not changed for that: the window of Blender writes
files of the user's in the same process. On Windows the modes are not used; what is in the user's profile folder has
its access control list, which allows the user, administrators and the system.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import stat
from pathlib import Path

from .errors import StorageError

HAS_MODES = os.name == "posix"
OWN_UMASK = 0o077
"""For processes that write nothing but files of the data folder: workers, services and background Blenders."""
_FOLDER, _FILE = 0o700, 0o600
_log = logging.getLogger("csm_refine.storage")


def open_data_dir(folder: Path) -> None:
    """Create the data folder if missing, and require that only the user can access it.

    Read access of others is removed. A symbolic link counts as its target, and has to be owned by the user or root.
    Raises OSError, and StorageError if the folder belongs to another user (root is no exception) or if others can
    write to it: their files would be trusted as the user's.
    """
    make_folder(folder)
    if not HAS_MODES:
        return
    found, user = folder.stat(), os.geteuid()
    if found.st_uid != user or folder.lstat().st_uid not in (user, 0):
        raise StorageError(
            f"The folder {folder} belongs to another user.",
            "Set CSM_REFINE_HOME to a folder of your own, or make this one yours with chown.",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StorageError(
            f"Other users can write to the folder {folder}.",
            f"Check that all of its content is yours, then run: chmod -R go-rwx {shlex.quote(str(folder))}",
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        folder.chmod(_FOLDER)
        _log.info("Other users could read the folder %s; its mode is 0700 now.", folder)


def make_folder(folder: Path) -> None:
    """Make a private folder, and those that are missing above it; leave an existing one as it is. Raises OSError."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        try:
            path.mkdir(_FOLDER)
        except OSError:
            if not path.is_dir():
                raise
            continue
        if HAS_MODES:
            path.chmod(_FOLDER)  # the umask may have removed the user's own rights


def opener(path: str, flags: int) -> int:
    """Open or make a private file; the ``opener`` of the built-in ``open``."""
    descriptor = os.open(path, flags, _FILE)
    if HAS_MODES and flags & os.O_CREAT:
        with contextlib.suppress(OSError):  # a file system without modes
            os.fchmod(descriptor, _FILE)
    return descriptor


def touch(path: Path) -> None:
    """Make an empty private file, or an existing file private, for libraries that open files themselves.

    An existing file is not opened: closing it would give up the locks that this process holds on it, and so other
    processes could write into a transaction of SQLite's (https://www.sqlite.org/howtocorrupt.html, 2.2).
    Raises OSError.
    """
    try:
        os.close(opener(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        if HAS_MODES and path.is_file():
            with contextlib.suppress(OSError):  # a file system without modes, or a file of another user's
                path.chmod(_FILE)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a private file. Raises OSError."""
    with open(path, "wb", opener=opener) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a private file in UTF-8. Raises OSError."""
    write_bytes(path, text.encode("utf-8"))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file through a part file beside it: a reader sees the old file or the new one. Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
