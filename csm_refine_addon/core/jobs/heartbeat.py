"""Says, every few seconds, that this process is alive: renews its leases and holds the local service.

Only the leases of what it is at work on: one that could not be given back, as the journal was locked, runs out.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from ..data_dir import DataDir
from ..errors import StorageError
from ..processes.local_service import LocalService
from .job_store import JobStore
from .runner import LEASE_S

RENEW_EVERY_S = LEASE_S / 3
SHUTDOWN_S = 0.3
"""How long the end may take."""


class LeaseKeeper:
    """A thread that keeps what this process holds, for as long as the ``with`` block lasts.

    ``owner`` is the name under which it holds leases; ``at_work`` gives the jobs and questions of which to hold them,
    and is called on that thread.
    """

    def __init__(
        self,
        data_dir: DataDir,
        local_service: LocalService,
        active_keys: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.owner = secrets.token_hex(8)
        self._data_dir = data_dir
        self._local_service = local_service
        self._active_keys = active_keys
        self._clock = clock
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End within a moment, also where the local service does not answer."""
        self._end.set()
        release = threading.Thread(target=self._local_service.let_go, name="farewell", daemon=True)
        release.start()
        for thread in (self._thread, release):
            thread.join(SHUTDOWN_S / 2)

    def _run(self) -> None:
        while not self._end.wait(RENEW_EVERY_S):
            with contextlib.suppress(StorageError), JobStore(self._data_dir.journal) as store:  # the engine reports it
                store.renew(self._active_keys(), self.owner, self._clock(), LEASE_S)
            self._local_service.hold()
