"""Heartbeat thread that renews the leases of this process and keeps the local service running.

Only leases of active jobs and lookups are renewed: a lease that could not be released, because the job store was
locked, expires.
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
"""Time limit of the shutdown."""


class LeaseKeeper:
    """Renews leases on a thread while the ``with`` block lasts.

    ``owner`` is the id in the leases; ``active_keys`` returns the job ids and lookup keys to renew, and is called on
    that thread.
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
        """Stop within SHUTDOWN_S, even if the local service does not respond."""
        self._end.set()
        release = threading.Thread(target=self._local_service.let_go, name="farewell", daemon=True)
        release.start()
        for thread in (self._thread, release):
            thread.join(SHUTDOWN_S / 2)

    def _run(self) -> None:
        while not self._end.wait(RENEW_EVERY_S):
            with (
                contextlib.suppress(StorageError),
                JobStore(self._data_dir.journal) as store,
            ):  # reported by the runner
                store.renew(self._active_keys(), self.owner, self._clock(), LEASE_S)
            self._local_service.hold()
