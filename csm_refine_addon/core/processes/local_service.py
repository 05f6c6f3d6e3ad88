"""Find the local refine service, start it on demand, and keep it running while it is needed.

The service runs as a process of its own, shared by every Blender and command line of the same data directory. It stops
by itself when no client has renewed its need for a while (``--until-unused``).
"""

from __future__ import annotations

import contextlib
import enum
import json
import math
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import private_files
from ..data_dir import DataDir
from ..errors import CsmError, InputError, ServiceUnreachable
from ..models import Secret
from ..providers.client import Client
from . import libraries
from .background import KEY_VARIABLE, Cancelled, Wait, detached, module_environment, python_command, request_line
from .child_log import ChildLog

START_LIMIT_S = 30.0
HELD_S = 1.0
"""How long a service that has answered is used without being asked whether it is still there."""
OTHER_S = 0.3
"""How long a service that another process starts is looked for, where ours ended because of its input."""
MODULE = "service.process"
LOG_FILE = "service.log"
ENDPOINT_FILE = "endpoint.json"
_NAMESPACE = Path("/proc/self/ns/pid")
_started: list[subprocess.Popen[bytes]] = []
"""Services that run on when this process ends; kept, because Python warns of one that it forgets."""


class KeyOrigin(enum.StrEnum):
    """Where a service has its key from. The environment's may be the vendor's: it is shown to no other service."""

    ENVIRONMENT = "environment"
    FOLDER = "folder"
    FILE = "file"


def endpoint(url: str, key: KeyOrigin, blender: str = "") -> dict[str, object]:
    """Return what a service writes down of itself, for :class:`LocalService` to find; ``blender`` is what refines."""
    return {"url": url, "key": key, "pid": os.getpid(), "pids": _namespace(), "blender": blender}


def works_with(home: DataDir, blender: str) -> bool:
    """Return whether the service of a home folder refines with this Blender program, and so reads its .blend files."""
    try:
        return bool(json.loads((home.service / ENDPOINT_FILE).read_text(encoding="utf-8"))["blender"] == blender)
    except (OSError, ValueError, KeyError, TypeError):
        return False


class LocalService:
    """The local service of one home folder; may be used from several threads."""

    def __init__(
        self, home: DataDir, *, python: str = "", blender: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._home = home
        self._python = python or sys.executable
        self._blender = blender
        self._clock = clock
        self._user = secrets.token_hex(8)
        self._starting = threading.Lock()
        self._used: tuple[str, Secret] | None = None
        self._answered_at = -math.inf

    def find_or_start(self, pause: Wait) -> tuple[str, Secret]:
        """Return the service's address and key; start it where it does not run.

        Raises ServiceUnreachable where it does not come up, Stopped where ``pause`` says so.
        """
        with self._starting:
            found = self._used if self._clock() - self._answered_at < HELD_S else None
            if found is not None:
                return found
            found = self._running()
            if found is None:
                found = self._start_and_wait(pause)
            self._used, self._answered_at = found, self._clock()
            return found

    def hold(self) -> None:
        """Say that the service is still needed, if it has been used here. Never raises: the next request tells."""
        self._tell(Client.hold)

    def let_go(self) -> None:
        """Say that the service is needed here no longer."""
        self._tell(Client.let_go)
        self._used = None

    def _tell(self, message: Callable[[Client, str], None]) -> None:
        used = self._used
        if used is None:
            return
        client = _client(*used)
        try:
            message(client, self._user)
        except CsmError:
            pass
        finally:
            client.close()

    def _running(self) -> tuple[str, Secret] | None:
        """Return the service that the endpoint file names, if it proves that it has the key.

        A service that was killed leaves the file, and its port to any program, which gets no key.
        """
        try:
            said = json.loads((self._home.service / ENDPOINT_FILE).read_text(encoding="utf-8"))
            url, key = str(said["url"]), self._key(said["key"])
            is_there = _is_there(said)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (url, Secret(key)) if is_there and key and self._answers(url, Secret(key)) else None

    def _answers(self, url: str, key: Secret) -> bool:
        client = _client(url, key)
        try:
            client.hold(self._user)
        except CsmError:
            return False
        finally:
            client.close()
        return True

    def _key(self, origin: object) -> str:
        if origin == KeyOrigin.ENVIRONMENT:
            return os.environ.get(KEY_VARIABLE, "").strip()
        return (self._home.service / "key").read_text(encoding="utf-8").strip() if origin == KeyOrigin.FOLDER else ""

    def _start_and_wait(self, pause: Wait) -> tuple[str, Secret]:
        """Start the service and return its address and key, or those of one that another process starts meanwhile.

        Of two that start at once, one finds the data folder locked and ends; so does one whose predecessor is just
        ending. Therefore a start that ended because of its input is tried once more.
        """
        ends_at = self._clock() + START_LIMIT_S
        for _ in range(2):
            log = ChildLog.at_start(self._home.service / LOG_FILE)
            process = self._start()
            _started[:] = [process, *(each for each in _started if each.poll() is None)]
            found = self._await(process, pause, ends_at)
            if found:
                return found
            if process.returncode != InputError.exit_code:
                break
        raise self._did_not_start(log.reason(process))

    def _start(self) -> subprocess.Popen[bytes]:
        libraries.require()
        self._home.ensure()
        folder = self._home.service_folder()
        request = {"port": 0, "data": str(folder.absolute()), "until_unused": True, "blender": self._blender}
        try:
            with open(folder / LOG_FILE, "ab", opener=private_files.opener) as log:
                process = subprocess.Popen(
                    python_command(self._python, MODULE),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=module_environment(),
                    **detached(),
                )
        except OSError as error:
            raise self._did_not_start(f"{error.strerror or error}.") from error
        if process.stdin:
            with contextlib.suppress(OSError), process.stdin as stdin:  # it has ended already
                stdin.write(request_line(request))
        return process

    def _await(self, process: subprocess.Popen[bytes], pause: Wait, ends_at: float) -> tuple[str, Secret] | None:
        """Return the service once it answers, or None where it ended, and no other came up, or the time is over."""
        has_ended = False
        while self._clock() < ends_at:
            if pause(0.1):
                raise Cancelled
            found = self._running()
            if found:
                return found
            if not has_ended and process.poll() is not None:
                has_ended = True
                is_input = process.returncode == InputError.exit_code
                ends_at = min(ends_at, self._clock() + (OTHER_S if is_input else 0.0))
        return None

    def _did_not_start(self, reason: str) -> ServiceUnreachable:
        said = f"The local service does not start within {START_LIMIT_S:.0f} s."
        if reason:
            said = f"The local service does not start: {reason}"
        return ServiceUnreachable(said, f"Its log is {self._home.service / LOG_FILE}.")


def _client(url: str, key: Secret) -> Client:
    return Client(url, key, is_online=lambda: True, timeout_s=5.0, needs_proof=True)


def _is_there(said: Mapping[str, Any]) -> bool:
    """Tell whether the process that wrote an endpoint file may be alive, and ours.

    Unknown where ids of processes mean something else to it (a sandbox of its own), and on Windows.
    """
    if os.name == "posix" and said["pids"] == _namespace():
        os.kill(int(said["pid"]), 0)  # sends nothing; raises OSError where there is none, or another user's
    return True


def _namespace() -> str:
    return os.readlink(_NAMESPACE) if _NAMESPACE.is_symlink() else ""
