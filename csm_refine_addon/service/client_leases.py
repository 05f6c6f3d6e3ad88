"""Leases of the clients of a service that was started on demand; the service stops after the last lease ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LEASE_S = 15.0
"""Duration of a lease; clients renew theirs every 5 s."""
GRACE_S = 10.0
"""How long the service runs on without any lease, after its start and after the last lease."""


class ClientLeases:
    """The leases by client, each with its expiry time. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._expiries: dict[str, float] = {}
        self._used_at = clock()

    def acquire(self, client: str) -> None:
        """Add or renew a client's lease."""
        with self._lock:
            now = self._clock()
            self._expiries = {name: end for name, end in self._expiries.items() if end > now} | {client: now + LEASE_S}

    def release(self, client: str) -> None:
        """Remove a client's lease, if it has one."""
        with self._lock:
            self._expiries.pop(client, None)
            self._used_at = self._clock()

    def count(self) -> int:
        """Return the number of leases that have not expired."""
        with self._lock:
            return sum(end > self._clock() for end in self._expiries.values())

    def is_unused(self, *, is_busy: bool) -> bool:
        """Return whether there has been no lease and no work for ``GRACE_S``; ``is_busy`` reports work in progress."""
        with self._lock:
            now = self._clock()
            latest = max(self._expiries.values(), default=self._used_at)
            self._expiries = {client: end for client, end in self._expiries.items() if end > now}
            self._used_at = now if self._expiries or is_busy else max(self._used_at, min(latest, now))
            return now - self._used_at >= GRACE_S
