"""Who uses a service that was started on demand: it ends by itself some time after the last one has left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

HOLD_S = 15.0
"""How long one message keeps a user; they renew it every 5 s."""
LINGER_S = 10.0
"""How long the service outlives its last user, and how long it waits for the first one."""


class ClientLeases:
    """The registered users, each with the time when the registration ends unless it is renewed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}
        self._used_at = clock()

    def hold(self, user: str) -> None:
        """Register a user, or renew the registration."""
        with self._lock:
            now = self._clock()
            self._ends = {name: end for name, end in self._ends.items() if end > now} | {user: now + HOLD_S}

    def let_go(self, user: str) -> None:
        """Forget a user; an unknown one is no error."""
        with self._lock:
            self._ends.pop(user, None)
            self._used_at = self._clock()

    def count(self) -> int:
        """Return how many users there are now."""
        with self._lock:
            return sum(end > self._clock() for end in self._ends.values())

    def is_unused(self, *, is_busy: bool) -> bool:
        """Tell whether nobody has been there, and nothing has been going on, for long enough to end."""
        with self._lock:
            now = self._clock()
            latest = max(self._ends.values(), default=self._used_at)
            self._ends = {user: end for user, end in self._ends.items() if end > now}
            self._used_at = now if self._ends or is_busy else max(self._used_at, min(latest, now))
            return now - self._used_at >= LINGER_S
