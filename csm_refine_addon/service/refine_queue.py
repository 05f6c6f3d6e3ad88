"""The queue of refines: each one runs in its own folder, as a chain of background Blender processes.

The fallback chain (:mod:`..remesh.fallback`) selects the processes. The number of workers limits how many refines run
at the same time. A crash, an error or the time limit ends in ``refine_failed`` with a message if not even the cleaned
mesh is left. When the service stops, it kills the processes; the next start continues the sessions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core import disk_errors, mesh_counts
from ..core.errors import SessionNotRefinable, SessionUnknown
from ..core.processes.background import SCRATCH, BackgroundBlender
from ..remesh import fallback
from ..remesh.progress import Step, read_step
from .sessions import Session, Sessions

log = logging.getLogger(__name__)

TIME_LIMIT_S = 3600.0
MAX_TRIES = 3
"""A refine that was interrupted by this many ends of the service fails."""
STOP_S = 1.0
AGAIN_S = 2.0
"""Interval of retries to write the end of a refine, for example on a full disk."""
SPOILED = "Blender ended unexpectedly while it refined the mesh (%s). Try again, or with a simpler mesh."


class RefineQueue:
    """Runs what :class:`Sessions` holds in ``training_refine``."""

    def __init__(
        self, sessions: Sessions, blender: BackgroundBlender, workers: int, time_limit_s: float = TIME_LIMIT_S
    ) -> None:
        self._sessions = sessions
        self._blender = blender
        self.time_limit_s = time_limit_s
        self._queue: queue.SimpleQueue[Session | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # Keys are run names: a session that is refined again after a cancel has a new one.
        self._pending: set[str] = set()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._cancelled: set[str] = set()
        """Runs whose folder is deleted as soon as no process uses it."""
        self._unwritten: dict[str, tuple[Session, Callable[[], object]]] = {}
        """Ends that could not be written to the store yet, with the functions that write them."""
        self._stopping = False
        self._threads = [threading.Thread(target=self._work, name=f"refine {n}", daemon=True) for n in range(workers)]

    def start(self) -> None:
        """Start the workers; continue the unfinished refines of an earlier run of the service."""
        for session in self._sessions.unfinished():
            self.add(session)
        for thread in self._threads:
            thread.start()

    def add(self, session: Session) -> None:
        """Add a session at ``training_refine`` to the queue."""
        with self._lock:
            self._pending.add(session.run)
        self._queue.put(session)

    def is_busy(self) -> bool:
        """Return whether a refine is running or waiting, other than one that only waits for its end to be written."""
        with self._lock:
            return bool(self._pending - self._unwritten.keys() or self._processes)

    def counts(self) -> tuple[int, int]:
        """Return the numbers of running and of waiting refines."""
        with self._lock:
            return len(self._processes), len(self._pending - self._processes.keys())

    def percent(self, session: Session) -> int:
        """Return how far a session's refine is, 0 to 99; 0 while it waits."""
        with contextlib.suppress(OSError, ValueError):
            return min(99, max(0, int((self._sessions.run_folder(session) / "progress").read_text("ascii"))))
        return 0

    def step(self, session: Session) -> tuple[str, int] | None:
        """Return the current step of a session's refine and its attempt number, or None if unknown."""
        with self._lock:
            if session.run in self._pending - self._processes.keys():
                return Step.QUEUED, 1
        return read_step(self._sessions.run_folder(session))

    def cancel(self, code: str) -> Session:
        """End a session's refine, running or waiting, in ``refine_failed``.

        Raises SessionUnknown, or SessionNotRefinable if none is running or waiting.
        """
        with self._lock:
            run = self._sessions.find(code).run
            if run not in self._pending:
                raise SessionNotRefinable("No refine of this session is running.", "There is nothing to cancel.")
            session = self._sessions.fail(code, "The refine was cancelled.")
            self._pending.discard(run)
            self._cancelled.add(run)
            if run in self._processes:
                kill(self._processes[run])
        return session

    def delete(self, code: str) -> None:
        """End a session's refine, if one is running or waiting, and delete the session. Raises SessionUnknown."""
        with self._lock:
            process = self._processes.get(self._sessions.find(code).run)
        with contextlib.suppress(SessionNotRefinable):
            self.cancel(code)
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        self._sessions.delete(code)

    def stop(self) -> None:
        """Stop all processes and workers within about a second; the sessions keep their stage."""
        with self._lock:
            self._stopping = True
            for process in self._processes.values():
                kill(process)
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(STOP_S)

    def _work(self) -> None:
        while not self._stopping:
            self._write_ends()
            try:
                session = self._queue.get(timeout=AGAIN_S)
            except queue.Empty:
                continue
            if session is not None:
                self._take(session)

    def _take(self, session: Session) -> None:
        try:
            self._refine(session)
        except Exception as error:  # top level of a worker: an error of one session must not end the thread
            log.exception("the refine of %s could not be run", session.code)
            self._fail(session, disk_errors.sentence(error) or SPOILED % "the service could not run it")
        finally:
            self._tidy(session)

    def _refine(self, session: Session) -> None:
        if not self._is_wanted(session):
            return
        folder = self._sessions.run_folder(session)
        try:
            if session.tries >= MAX_TRIES:
                self._fail(session, SPOILED % "and it never ended")
                return
            self._sessions.start_try(session.code)
            self._prepare(session, folder)
            returncode = self._run_fallback_chain(session, folder)
            if returncode and disk_errors.is_full(folder):
                returncode = disk_errors.EXIT_CODE
            for part in folder.glob("mesh.*") if returncode != 0 else ():
                part.unlink()
        except _Abandoned:
            return
        finally:
            shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        self._conclude(session, folder, returncode)

    def _run_fallback_chain(self, session: Session, folder: Path) -> int | None:
        budget = fallback.TimeBudget(self.time_limit_s)

        def run(module: str, request: Mapping[str, str], limit_s: float) -> int | None:
            granted_s = budget.for_step(limit_s)
            return self._run_step(session, module, request, granted_s) if granted_s else None

        return fallback.refine(folder, run)

    def _tidy(self, session: Session) -> None:
        """Delete the folder of a cancelled refine after its process has ended."""
        with self._lock:
            is_cancelled = session.run in self._cancelled
            self._cancelled.discard(session.run)
        if is_cancelled:
            folder = self._sessions.run_folder(session)
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # of a session that was deleted meanwhile, nothing else is left
                folder.parent.rmdir()

    def _is_wanted(self, session: Session) -> bool:
        with self._lock:
            return session.run in self._pending and not self._stopping

    def _prepare(self, session: Session, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # of a try that the end of a service cut off
        (folder / SCRATCH).mkdir(parents=True)
        order = {
            "code": session.code,
            "mesh": str(self._sessions.original(session)),
            **dataclasses.asdict(session.order),
        }
        (folder / "order.json").write_text(json.dumps(order), "utf-8")

    def _run_step(self, session: Session, module: str, request: Mapping[str, str], limit_s: float) -> int | None:
        """Run a module in a background Blender and return its exit code, or None if it exceeded the limit.

        Raises _Abandoned if the refine was cancelled or the service stops.
        """
        process = self._started(session, module, request)
        log.info("%s: %s started, process %d", session.code, module, process.pid)
        timed_out = _wait_or_kill(process, limit_s)
        log.info("%s: %s ended with %s", session.code, module, process.returncode)
        if not self._is_wanted(session):
            with self._lock:
                self._processes.pop(session.run, None)
            raise _Abandoned
        return None if timed_out else process.returncode

    def _started(self, session: Session, module: str, request: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a step's process and register it, so that cancel and stop can kill it; raise if already cancelled."""
        folder = self._sessions.run_folder(session)
        with self._lock, (folder / "log.txt").open("ab") as output:
            if self._stopping or session.run not in self._pending:
                self._processes.pop(session.run, None)  # the step before it
                raise _Abandoned
            process = self._blender.start(module, request, folder / SCRATCH, output)
            self._processes[session.run] = process
        return process

    def _conclude(self, session: Session, folder: Path, returncode: int | None) -> None:
        report = _read_report(folder / "report.json")
        if returncode == 0 and report.get("ok"):
            method, notes = report.get("method", ""), tuple(report.get("notes", ()))
            formats = tuple(report["formats"])
            result = mesh_counts.read(report.get("result"))
            self._end(session, lambda: self._sessions.finish(session.code, formats, method, notes, result))
        elif returncode is None:
            self._fail(session, f"The refine took longer than {self.time_limit_s / 60:g} minutes. Try a simpler mesh.")
        elif returncode == disk_errors.EXIT_CODE:
            self._fail(session, disk_errors.FULL)
        else:
            error = report.get("error") or {}
            sentence = f"{error.get('message', '')} {error.get('action', '')}".strip()
            self._fail(session, sentence or SPOILED % _cause(returncode))

    def _fail(self, session: Session, sentence: str) -> None:
        self._end(session, lambda: self._sessions.fail(session.code, sentence))

    def _end(self, session: Session, write: Callable[[], object]) -> None:
        """Write a refine's end, unless it was cancelled or the service stops; on failure, retry later."""
        with self._lock:
            self._processes.pop(session.run, None)
            known = self._unwritten.pop(session.run, None)
            if self._stopping or session.run not in self._pending:
                return
            try:
                write()
            except SessionUnknown:
                pass  # deleted meanwhile
            except Exception:  # whatever the store has: neither the worker nor the session shall stay with it
                self._unwritten[session.run] = session, write
                if not known:
                    log.exception("%s: its end cannot be written yet", session.code)
                return
            self._pending.discard(session.run)

    def _write_ends(self) -> None:
        with self._lock:
            ends = list(self._unwritten.values())
        for session, write in ends:
            self._end(session, write)
            self._tidy(session)


class _Abandoned(Exception):
    """The refine was cancelled, or the service is stopping."""


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, and on POSIX its whole group, at once."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_or_kill(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Wait for the process to end; if it exceeds the limit, kill it and return True."""
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        kill(process)
        process.wait()
        return True
    finally:
        if process.stdin:
            process.stdin.close()
    return False


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _cause(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"
