"""A tool's run: how long its processes took, and how much memory they and their children had at most."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import psutil

DEADLINE_S = 600.0
MEMORY_LIMIT = 8 << 30
LOOK_EVERY_S = 0.05


class Outcome(NamedTuple):
    """``failure`` is empty where the run came to its end with exit code 0."""

    seconds: float
    memory: int
    failure: str = ""


def run(commands: list[list[str]], log: Path) -> Outcome:
    """Run one after the other, up to the first that fails; what they say goes to ``log``."""
    seconds, memory = 0.0, 0
    for command in commands:
        found = _run(command, log)
        seconds, memory = seconds + found.seconds, max(memory, found.memory)
        if found.failure:
            return Outcome(seconds, memory, found.failure)
    return Outcome(seconds, memory)


def _run(command: list[str], log: Path) -> Outcome:
    started = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent
        )
    memory, failure = 0, ""
    while process.poll() is None:
        memory = max(memory, _memory_of(process.pid))
        seconds = time.monotonic() - started
        if memory > MEMORY_LIMIT or seconds > DEADLINE_S:
            failure = f"more than {MEMORY_LIMIT >> 30} GB" if memory > MEMORY_LIMIT else f"not done in {DEADLINE_S:g} s"
            _end(process)
        time.sleep(LOOK_EVERY_S)
    return Outcome(time.monotonic() - started, memory, failure or _word(process.returncode))


def _memory_of(pid: int) -> int:
    """The resident memory of a process and its children; 0 where it has ended meanwhile."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:
        pass
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    for child in (*children, process):
        child.kill()
    process.wait()


def _word(code: int) -> str:
    return "" if code == 0 else f"exit code {code}" if code > 0 else f"signal {-code}"
