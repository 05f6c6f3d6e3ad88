"""Supervision of the worker process: start, control line, restart after a crash, end; and the check of a service."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy

from ...core import private_files
from ...core.data_dir import DataDir
from ...core.processes.child_log import ChildLog

if TYPE_CHECKING:
    import subprocess

RESTARTS = 3
WITHIN_S = 60.0
DISK_CHECK_S = 2.0
LOG_LIMIT_BYTES = 1_000_000
CHECK_LIMIT_S = 90.0
"""The local service may have to be started first; a request has a time-out of its own."""

_leaving: list[subprocess.Popen[bytes]] = []
"""Workers whose stdin is closed: they end by themselves; kept until they have, so that none stays a zombie."""


class WorkerProcess:
    """At most one worker. Every method returns at once, except that starting a process takes some milliseconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._told = b""
        self._log: ChildLog | None = None
        self._starts: deque[float] = deque(maxlen=RESTARTS + 1)
        self.trouble = ""
        """Why no worker runs, or why it cannot write; empty while all is well."""
        self._disk_trouble = ""
        self._disk_checked_at = -math.inf

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return self._process.pid if self._process else None

    def keep_up(self, home: DataDir, control_line: bytes) -> None:
        """See that the worker runs and knows how things stand."""
        reap()
        self._check_disk(home)
        if not self.is_alive and not self._disk_trouble:
            self._start_again(home)
        if self.is_alive and control_line != self._told:
            self._tell(control_line)

    def _check_disk(self, home: DataDir) -> None:
        """Report a full or read-only disk; a worker that it has ended starts again when the disk takes files again."""
        if self._clock() - self._disk_checked_at < DISK_CHECK_S:
            return
        from ...core import disk_errors  # here: it brings in sqlite3, which enabling the extension does not wait for

        self._disk_checked_at = self._clock()
        before, self._disk_trouble = self._disk_trouble, disk_errors.trouble(home.folder)
        if self._disk_trouble:
            self.trouble = self._disk_trouble
        elif before:
            self.try_again()

    def try_again(self) -> None:
        """Forget earlier deaths: the user asked for something new."""
        self._starts.clear()
        self.trouble = ""

    def let_go(self) -> None:
        """Close the worker's stdin: it ends within a second, and Blender does not wait for it."""
        process, self._process, self._told = self._process, None, b""
        if process is None:
            return
        _close(process)
        _leaving.append(process)
        reap()

    def _start_again(self, home: DataDir) -> None:
        now = self._clock()
        if len(self._starts) > RESTARTS and now - self._starts[0] < WITHIN_S:
            said = self._log.reason(self._process) if self._log and self._process else ""
            self.trouble = (
                f"The background worker ended {RESTARTS} times in a minute: {said} Its log is {home.worker_log}."
            )
            return
        self._starts.append(now)
        self.let_go()
        self._log = ChildLog.at_start(home.worker_log)
        try:
            self._process = _start(home)
        except OSError as error:
            self.trouble = f"The background worker cannot be started: {error.strerror or error}."
            return
        self.trouble = ""

    def _tell(self, line: bytes) -> None:
        """Write a line far smaller than a pipe's buffer, so it does not wait for the reader."""
        stdin = self._process.stdin if self._process else None
        if stdin is None:
            return
        try:
            stdin.write(line)
            stdin.flush()
        except OSError:
            return  # it has just died: the next turn starts another
        self._told = line


def _start(home: DataDir, check: str = "") -> subprocess.Popen[bytes]:
    """Start the worker with its log, or the check of a service, whose stdout is a pipe. Raises OSError."""
    import subprocess  # here, as all that it brings: enabling the add-on does not wait for it

    from ...core.jobs import worker
    from ...core.processes.background import detached

    home.ensure()
    fresh = not home.worker_log.exists() or home.worker_log.stat().st_size > LOG_LIMIT_BYTES
    with open(home.worker_log, "wb" if fresh else "ab", opener=private_files.opener) as log:
        output = subprocess.PIPE if check else log
        program = (sys.executable, bpy.app.binary_path)
        return worker.start(home, *program, check=check, stdout=output, stderr=log, **detached())


def _close(process: subprocess.Popen[bytes]) -> None:
    try:
        if process.stdin:
            process.stdin.close()
    except OSError:
        pass  # it was dead already


def leave(process: subprocess.Popen[bytes]) -> None:
    """Let a process end by itself; it is collected later."""
    _leaving.append(process)


def reap() -> None:
    """Collect workers and checks that have ended meanwhile."""
    _leaving[:] = [process for process in _leaving if process.poll() is None]


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """What a service said to the question whether address and key are good."""

    service: str
    is_good: bool
    message: str


class ServiceCheck:
    """One question to a service, asked by a short-lived process; the timer looks whether it has answered."""

    def __init__(
        self, home: DataDir, service: str, control_line: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.service = service
        self._clock = clock
        self._ends_at = clock() + CHECK_LIMIT_S
        self._log = ChildLog.at_start(home.worker_log)
        self._process = _start(home, check=service)
        if self._process.stdin:  # it stays open: its end is ours
            with contextlib.suppress(OSError):
                self._process.stdin.write(control_line)
                self._process.stdin.flush()

    def answer(self) -> CheckAnswer | None:
        """Return what came out, or None while there is no answer yet. Does not wait."""
        if self._process.poll() is None:
            return self._overdue()
        return self._read()

    def give_up(self) -> None:
        """End the question without an answer: without its stdin the process ends by itself, and its key command too."""
        _close(self._process)
        _leaving.append(self._process)
        if self._process.stdout:
            self._process.stdout.close()

    def _overdue(self) -> CheckAnswer | None:
        if self._clock() < self._ends_at:
            return None
        self.give_up()
        return CheckAnswer(self.service, is_good=False, message="The service did not answer in time. Try again later.")

    def _read(self) -> CheckAnswer:
        """Read the line of a process that has ended: it fits a pipe's buffer, so nothing waits."""
        if self._process.stdout is None:
            raise AssertionError("stdout is a pipe")
        _close(self._process)
        with self._process.stdout as stream:
            text = stream.read()
        try:
            said = json.loads(text)
            return CheckAnswer(self.service, is_good=bool(said["ok"]), message=str(said["message"]))
        except (ValueError, KeyError, TypeError):
            message = f"The check failed: {self._log.reason(self._process)}"
            return CheckAnswer(self.service, is_good=False, message=message)
