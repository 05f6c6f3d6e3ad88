"""Faults of the client's own machine: a full disk, a folder that cannot be written, a clock that jumps.

A full disk is a small one of its own, mounted where only one thread sees it. Nobody's rights bind root, so that
thread reads and writes files as another user does (Linux: ``setfsuid`` and namespaces are a thread's own).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000
_MS_RDONLY, _MS_REC, _MS_PRIVATE = 0x1, 0x4000, 0x40000
_NOBODY = 65534
DISK_BYTES = 100 << 20
DAY_S, HOUR_S = 86400.0, 3600.0
CLOCKS = {"clock-back": -DAY_S, "clock-forward": DAY_S, "asleep": HOUR_S}
_libc = ctypes.CDLL(None, use_errno=True)


def on_a_thread(work: Callable[[], _T]) -> _T:
    """Do something on a thread of its own, and return or raise what comes of it."""
    found: list[_T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 -- raised again below
            raised.append(error)

    thread = threading.Thread(target=run, name="trial")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return found[0]


class SmallDisk:
    """A disk of its own at ``folder``, for the calling thread; it is gone when the thread ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._filler = folder / "filler"
        _check(_libc.unshare(_CLONE_FS | _CLONE_NEWNS))
        _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        _check(_libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={DISK_BYTES},mode=0700".encode()))

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all room but so many bytes."""
        found = os.statvfs(self._folder)
        with self._filler.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), found.f_bavail * found.f_bsize - leave_bytes)

    def cover(self, folder: Path) -> None:
        """Put an empty disk that cannot be written over a folder; files that are open stay as they are."""
        _check(_libc.mount(b"none", os.fsencode(folder), b"tmpfs", _MS_RDONLY, None))

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


class LockedFolder:
    """A folder, with all that is in it, that the calling thread may read and not write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lock(self) -> None:
        """Take the right to write away."""
        self._set_modes(0o555, 0o444)
        if os.geteuid() == 0:
            _libc.setfsuid(_NOBODY)

    def unlock(self) -> None:
        """Give it back."""
        if os.geteuid() == 0:
            _libc.setfsuid(0)
        self._set_modes(0o755, 0o644)

    def _set_modes(self, folders: int, files: int) -> None:
        for path in (self._folder, *self._folder.rglob("*")):
            path.chmod(folders if path.is_dir() else files)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
