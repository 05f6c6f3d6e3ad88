"""Where the key comes from: ``CSM_API_KEY``, a command that prints it, the preferences; the first one that is there.

A key command is run without a shell, when the key is needed and not before. Neither what it is nor what it says is
ever repeated: a key that was put into the wrong field, or a helper that talks about it, would stand in a log.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from .. import validation
from ..errors import KeyMissing
from ..models import Secret
from ..processes.background import KEY_VARIABLE, Cancelled, Wait, clean_environment, detached

COMMAND_LIMIT_S = 30.0
AGAIN_AFTER_S = 300.0
"""How long after a command failed it is run again by itself; it may ask the user for something each time."""
_LINE_LIMIT = 8192
_CURE = "Check the key command in the extension's preferences, and try it in a terminal."


def environment_key() -> Secret | None:
    """Return the key of ``CSM_API_KEY``; None where it is not set, or empty. Raises KeyMissing where it is no key."""
    text = os.environ.get(KEY_VARIABLE)
    return validation.api_key(text) if text else None


def key_for(service: str, keys: Mapping[str, Secret]) -> Secret | None:
    """Return the key for a service's address: its own, or the one under "" that serves every address without one."""
    return keys.get(service) or keys.get("")


def this_process(command: str, preferred: Callable[[], Secret | None], pause: Wait) -> Callable[[str], Secret | None]:
    """Return what gives the key in a process that may wait: the command is run at the first call, once.

    A command that failed is not asked again either: it may want a finger or a password each time. ``preferred`` gives
    the key of the preferences, and is called where it is the one used. What is returned raises KeyMissing.
    """
    found: list[Secret | KeyMissing] = []

    def key(_service: str) -> Secret | None:
        given = environment_key()
        if given is not None or not command:
            return given or preferred()
        if not found:
            found.append(_asked_once(command, pause))
        if isinstance(found[0], KeyMissing):
            raise KeyMissing(found[0].message, found[0].action)
        return found[0]

    return key


def _asked_once(command: str, pause: Wait) -> Secret | KeyMissing:
    try:
        return ask(command, pause)
    except KeyMissing as error:
        return error


# --- a command ----------------------------------------------------------------------------------------------------


def words(command: str) -> list[str]:
    """Return a command's program and arguments. Raises KeyMissing where a quotation mark is not closed."""
    try:
        found = shlex.split(command, posix=sys.platform != "win32")
    except ValueError:
        found = []
    if not found:
        raise KeyMissing("The key command has a quotation mark that is not closed, or no program.", _CURE)
    return found if sys.platform != "win32" else [word.strip('"') for word in found]


def ask(command: str, pause: Wait, limit_s: float = COMMAND_LIMIT_S) -> Secret:
    """Run a key command, and return the first line that it prints.

    Its stdin and stderr are closed, and it has no terminal. Raises KeyMissing where it cannot be started, fails, says
    nothing or no key, or is not done in time; Stopped where ``pause`` says so. It does not outlive this call.
    """
    process = _started(words(command))
    lines: list[bytes] = []
    reader = threading.Thread(target=_read, args=(process.stdout, lines), name="key", daemon=True)
    reader.start()
    try:
        _await(process, pause, limit_s)
    finally:
        _end(process)
    reader.join(1.0)  # no longer: what the command left running may hold the pipe
    if process.returncode:
        raise KeyMissing(f"The key command failed (exit code {process.returncode}).", _CURE)
    return _key(b"".join(lines))


def _started(argv: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
            **detached(),
        )
    except (OSError, ValueError):
        failure = KeyMissing("The key command's program cannot be started.", _CURE)
    raise failure  # out here: an exception keeps the one that it was raised in, and that one's text has the command


def _read(stream: IO[bytes], lines: list[bytes]) -> None:
    """Keep the first line, and let the command print what it likes."""
    with stream:
        lines.append(stream.readline(_LINE_LIMIT))
        while stream.read(_LINE_LIMIT):
            pass


def _await(process: subprocess.Popen[bytes], pause: Wait, limit_s: float) -> None:
    ends_at = time.monotonic() + limit_s
    while process.poll() is None:
        if time.monotonic() > ends_at:
            raise KeyMissing(f"The key command was not done within {limit_s:.0f} s.", _CURE)
        if pause(0.02):
            raise Cancelled


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that is not done, with what it has started."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _key(line: bytes) -> Secret:
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if not text.strip():
        raise KeyMissing("The key command gave no key: its first line is empty.", _CURE)
    try:
        return validation.api_key(text)
    except KeyMissing:
        failure = KeyMissing("The key command's first line holds spaces or other characters that no key has.", _CURE)
    raise failure


# --- in the worker --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyCommand:
    """A command whose key may go to some services' addresses.

    ``asked`` grows each time the user asks for something: then a command that failed is run again.
    """

    text: str = ""
    services: tuple[str, ...] = ()
    asked: int = 0


@dataclass(frozen=True, slots=True)
class _Outcome:
    command: KeyCommand
    at: float
    key: Secret | None = None
    error: KeyMissing | None = None


class Keyring:
    """The keys as Blender last said, each with the address that it may go to. Nobody waits for a command here.

    ``pause`` ends a command that still runs.
    """

    def __init__(self, pause: Wait, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._given: Mapping[str, Secret] = {}
        self._command = KeyCommand()
        self._outcome: _Outcome | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.revision = 0
        """Grows with each news: what waited for a key may have one now."""

    def take(self, given: Mapping[str, Secret], command: KeyCommand) -> None:
        """Take in how things stand now."""
        self._given, self._command = given, command
        self.revision += 1

    def key(self, service: str) -> Secret | None:
        """Return the key for an address; None where there is none, or while the command runs.

        Raises KeyMissing where the command failed.
        """
        found, command = key_for(service, self._given), self._command
        if found is not None or not command.text or service not in command.services:
            return found
        outcome = self._answered(command)
        if outcome is not None and outcome.error is not None:
            raise KeyMissing(outcome.error.message, outcome.error.action)
        return outcome.key if outcome else None

    def awaited(self, service: str) -> Secret | None:
        """Return the key as :meth:`key`, but wait for the command."""
        found = self.key(service)
        if found is None and self._thread is not None:
            self._thread.join()
            found = self.key(service)
        return found

    def forget(self, key: Secret) -> None:
        """Have the command run again for the next request: the service refused this key, so it may have another."""
        with self._lock:
            if self._outcome is not None and self._outcome.key == key:
                self._outcome = None

    def let_go(self, within_s: float) -> None:
        """See that no command outlives this process, once ``pause`` says stop."""
        if self._thread is not None:
            self._thread.join(within_s)

    def _answered(self, command: KeyCommand) -> _Outcome | None:
        with self._lock:
            outcome = self._outcome
            if outcome is not None and self._still_holds(outcome, command):
                return outcome
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, args=(command,), name="key", daemon=True)
                self._thread.start()
            return None

    def _still_holds(self, outcome: _Outcome, command: KeyCommand) -> bool:
        if outcome.command.text != command.text:
            return False
        is_fresh = outcome.command.asked == command.asked and self._clock() - outcome.at < AGAIN_AFTER_S
        return outcome.key is not None or is_fresh

    def _run(self, command: KeyCommand) -> None:
        key = error = None
        try:
            key = ask(command.text, self._pause)
        except KeyMissing as failure:
            error = failure
        except Cancelled:
            return
        with self._lock:
            self._outcome = _Outcome(command, self._clock(), key, error)
            self.revision += 1
