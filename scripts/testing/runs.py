"""The things that a test run does: ruff, mypy, pytest, each as a process with a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

import environment
from environment import Environment

from .report import FAILED, NOT_RUN, PASSED, Counts, Row, read_junit

DEADLINE_S = 30 * 60  # Blender 4.5 can hang for ever at its end
NOTHING_FOUND = 5  # pytest's exit code


class Run(NamedTuple):
    """What is to be done, the environments it needs, and how to do it with the Python of the first of them."""

    name: str
    environments: tuple[Environment, ...]
    start: Callable[[Path, Console], Row]


class Console:
    """Shows what a process says: as it says it, or in one piece at its end where several run side by side."""

    def __init__(self, live: bool) -> None:
        self._live = live
        self._one_at_a_time = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, title: str, command: list[str], deadline_s: float = DEADLINE_S) -> int | None:
        """The exit code, or None when the deadline passed; then the process and its children are ended."""
        if self._live:
            self._say(f"\n== {title}")
            return self._wait_for(command, None, deadline_s)
        self._say(f"== {title}: started")
        with tempfile.TemporaryFile() as said:
            code = self._wait_for(command, said, deadline_s)
            said.seek(0)
            self._say(f"\n== {title}\n{said.read().decode(errors='replace')}")
        return code

    def end_all(self) -> None:
        for process in list(self._running):
            _end(process)

    def _wait_for(self, command: list[str], output: IO[bytes] | None, deadline_s: float) -> int | None:
        process = subprocess.Popen(command, cwd=environment.ROOT, start_new_session=True, stdout=output, stderr=output)
        self._running.add(process)
        try:
            return process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)
            self._running.discard(process)

    def _say(self, text: str) -> None:
        with self._one_at_a_time:
            print(text, flush=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the process and of its children."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def check_runs(checks: Environment) -> list[Run]:
    """Both of ruff's, and mypy against the oldest and the newest supported Blender."""
    ruff = [
        _command_run("ruff check", (checks,), ["ruff", "check"]),
        _command_run("ruff format --check", (checks,), ["ruff", "format", "--check"]),
    ]
    mypy = [_mypy_run(checks, version) for version in environment.OLDEST_AND_NEWEST_BLENDER]
    return [*ruff, *mypy]


def _mypy_run(checks: Environment, version: str) -> Run:
    """The checker in one environment, the types that it reads in another; both are there when it starts."""
    types = environment.types(checks.python, version)
    python_version = environment.PYTHON_OF_BLENDER[version]
    command = ["mypy", "--python-version", python_version, "--python-executable", str(types.executable)]
    return _command_run(f"mypy, Blender {version}", (checks, types), command)


def _command_run(name: str, where: tuple[Environment, ...], module: list[str]) -> Run:
    def start(python: Path, console: Console) -> Row:
        started = time.monotonic()
        code = console.run(name, [str(python), "-P", "-m", *module])
        return Row(name, _word(code), time.monotonic() - started)

    return Run(name, where, start)


def pytest_run(
    name: str, where: Environment, folders: tuple[str, ...], arguments: list[str], deadline_s: float = DEADLINE_S
) -> Run:
    """Arguments that are paths replace the folders, as far as they lie in them."""

    def start(python: Path, console: Console) -> Row:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="csm_refine_report_") as work:
            report = Path(work, "junit.xml")
            own = [f"--junitxml={report}", "-o", f"cache_dir={where.folder / 'pytest_cache'}"]
            targets = _targets(folders, arguments)
            command = [str(python), "-P", "-m", "pytest", *own, *targets]
            code = console.run(name, command, deadline_s) if targets else NOTHING_FOUND
            counts = read_junit(report)
        if code == NOTHING_FOUND and arguments:
            return Row(name, f"{NOT_RUN}: no test fits {' '.join(arguments)}", time.monotonic() - started)
        return _pytest_row(name, code, counts, time.monotonic() - started)

    return Run(name, (where,), start)


def _targets(folders: tuple[str, ...], arguments: list[str]) -> list[str]:
    """What pytest gets; nothing when the arguments name paths and none of them is in the folders."""
    paths = [text for text in arguments if Path(environment.ROOT, text.partition("::")[0]).exists()]
    outside = [path for path in paths if not path.startswith(folders)]
    if not paths:
        return [*folders, *arguments]
    return [text for text in arguments if text not in outside] if len(outside) < len(paths) else []


def _pytest_row(name: str, code: int | None, counts: Counts | None, seconds: float) -> Row:
    """A run that ended without a report, or that failed with no failed test, counts as one failure."""
    if counts is None or (code != 0 and counts.failed == 0):
        counts = (counts or Counts()).plus(Counts(failed=1))
    return Row(name, f"{_word(code)}: {counts}", seconds, counts)


def _word(code: int | None) -> str:
    if code is None:
        return f"{FAILED} (no end before its deadline)"
    if code < 0:
        return f"{FAILED} (ended by signal {-code}, {signal.Signals(-code).name})"
    return PASSED if code == 0 else f"{FAILED} (exit code {code})"
