"""How often all jobs of a process together ask a service, and how many running refines are looked at in one request.

The list of sessions only says which refines still run: whatever else it says is read from the session itself, so that
no end is believed that a list showed late, or in another form.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import CsmError
from ..models import LOCAL, Job, RemoteKind, Secret
from ..processes.background import Cancelled, Wait
from .client import Client
from .client_factory import ClientFactory
from .csm_schema import Session

REQUESTS_PER_S = 5.0
"""To one service, whatever they are for; as many at once where there were none for a second."""
READS_PER_S = 4.0
"""Of these, for refines that run: what the user has just asked for does not wait behind them."""
LOOKS_PER_S = 10.0
"""Looks at running refines, each of which is written down, which takes some milliseconds of the disk."""
PAGE_FROM_LOOKS = 5
"""A page is read where there were so many looks within its age."""
PAGE_LIMIT = 100
PAGE_LEAST_LOOKS = 2
"""A page that served fewer was in vain."""
SINGLY_S = 60.0
"""How long sessions are read one by one after that."""


class RateLimiter:
    """Spaces what several threads do: first come, first served; ``clock`` is monotonic."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s = 1.0 / per_s
        self._ahead_s = 1.0 - self._gap_s
        self._clock = clock
        self._free_at = -math.inf
        self._lock = threading.Lock()

    def take(self, pause: Wait) -> None:
        """Wait for the caller's turn; ``pause`` is :data:`~.background.Wait`. Raises Stopped."""
        with self._lock:
            now = self._clock()
            wait_s = max(now, self._free_at) - self._ahead_s - now
            self._free_at = max(now, self._free_at) + self._gap_s
        if wait_s > 0 and pause(wait_s):
            raise Cancelled


class _Page:
    """The newest sessions of one account at one service, read by whoever finds it too old, for all its jobs."""

    def __init__(self, age_s: float, clock: Callable[[], float]) -> None:
        self._age_s = age_s
        self._clock = clock
        self._lock = threading.Lock()
        self._looks: dict[str, float] = {}
        self._running: Mapping[str, Session] = {}
        self._served = 0
        self._read_at = self._singly_until = -math.inf

    def running(self, code: str, read: Callable[[int], Mapping[str, Session]]) -> Session | None:
        """Return a session that still runs; None: it is to be read by itself. ``read`` gets how many to list."""
        with self._lock:
            now = self._clock()
            self._looks[code] = now
            self._looks = {code: at for code, at in self._looks.items() if now - at <= self._age_s}
            if len(self._looks) < PAGE_FROM_LOOKS or now < self._singly_until:
                return None
            if now - self._read_at > self._age_s:
                self._renew(read)
            found = self._running.get(code)
            self._served += found is not None
            return found

    def _renew(self, read: Callable[[int], Mapping[str, Session]]) -> None:
        """Read the page, unless the last one was in vain."""
        was_in_vain = self._read_at > -math.inf and self._served < PAGE_LEAST_LOOKS
        self._running, self._served, self._read_at = {}, 0, -math.inf
        try:
            if not was_in_vain:
                self._running = read(PAGE_LIMIT)
                self._read_at = self._clock()
                return
        except CsmError:  # the session's own reading tells what is wrong
            pass
        self._singly_until = self._clock() + SINGLY_S


class Polling:
    """What the threads of one process share: whose turn it is, and what was read for all of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: dict[str, RateLimiter] = defaultdict(lambda: RateLimiter(REQUESTS_PER_S, clock))
        self._reads: dict[str, RateLimiter] = defaultdict(lambda: RateLimiter(READS_PER_S, clock))
        self._pages: dict[tuple[str, Secret | None], _Page] = {}
        self.looks = RateLimiter(LOOKS_PER_S, clock)

    def requests(self, service: str) -> RateLimiter:
        """Return the turns for every request to a service."""
        with self._lock:
            return self._requests[service]

    def reads(self, service: str) -> RateLimiter:
        """Return the turns for looks at what runs at a service."""
        with self._lock:
            return self._reads[service]

    def page(self, service: str, key: Secret | None) -> _Page:
        """Return the page of an account."""
        with self._lock:
            age_s = 1.0 if service == LOCAL else 5.0
            return self._pages.setdefault((service, key), _Page(age_s, self._clock))


@dataclass(frozen=True, slots=True)
class ThrottledClient:
    """One job's way to its service, in its turn."""

    polling: Polling
    services: ClientFactory
    pause: Wait

    def client(self, service: str) -> Client:
        """Return a client for one request, when it is its turn. Raises as :meth:`ClientFactory.client`, and Stopped."""
        self.polling.requests(service).take(self.pause)
        return self.services.client(service)

    def look(self, job: Job) -> Session:
        """Return the session of a running refine. Raises as :meth:`client`, and as :meth:`Client.read_session`."""
        self.polling.looks.take(self.pause)
        key = None if job.service == LOCAL else self.services.key(job.service)
        page = self.polling.page(job.service, key)
        code = job.request.session_code
        found = page.running(code, lambda limit: self._listed(job.service, limit))
        return found or self._reader(job.service).read_session(code)

    def _listed(self, service: str, limit: int) -> dict[str, Session]:
        found = self._reader(service).list_sessions(None, limit).sessions
        return {each.code: each for each in found if each.has_known_word and each.status.kind is RemoteKind.RUNNING}

    def _reader(self, service: str) -> Client:
        self.polling.reads(service).take(self.pause)
        return self.client(service)
