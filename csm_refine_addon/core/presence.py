"""Says, every few seconds, that this process is alive: renews its leases and holds the local service."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from types import TracebackType

from .engine import LEASE_S
from .errors import StorageError
from .home import Home
from .journal import Journal
from .local_service import LocalService

EVERY_S = LEASE_S / 3


class Presence:
    """A thread that keeps what this process holds, for as long as the ``with`` block lasts.

    ``owner`` is the name under which it holds leases.
    """

    def __init__(self, home: Home, local_service: LocalService, clock: Callable[[], float] = time.time) -> None:
        self.owner = secrets.token_hex(8)
        self._home = home
        self._local_service = local_service
        self._clock = clock
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def __enter__(self) -> Presence:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()
        self._local_service.let_go()

    def _run(self) -> None:
        with Journal(self._home.journal) as journal:
            while not self._end.wait(EVERY_S):
                self._local_service.hold()
                try:
                    journal.renew(self.owner, self._clock(), LEASE_S)
                except StorageError:
                    continue  # locked for once, or gone: the next round tries again, the engine reports
