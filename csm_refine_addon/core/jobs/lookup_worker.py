"""Lookup worker: runs the open lookups of the job store, each on a thread; part of the worker process."""

from __future__ import annotations

import logging
import operator
import threading
import time
from collections.abc import Callable

from ..data_dir import DataDir
from ..errors import CsmError
from ..processes.background import Cancelled
from ..providers.client import Client
from . import lookups
from .job_store import JobStore
from .lookups import Answer, Lookup
from .runner import LEASE_S

MAX_THREADS = 4
KEEP_S = 30 * 24 * 3600.0
"""Lifetime of a lookup and its pictures after the last request for it."""
PICTURES_TIMEOUT_S = 60.0
"""Time limit for the pictures of one page."""
_log = logging.getLogger("csm_refine.lookups")


class LookupWorker:
    """Starts a thread for each open lookup whose service ``is_allowed``, at most :data:`MAX_THREADS` at a time.

    ``client`` creates a client for a service's address. Of several workers, the one with the lease runs the lookup.
    """

    def __init__(
        self, data_dir: DataDir, owner: str, client: Callable[[str], Client], is_allowed: Callable[[str], bool]
    ) -> None:
        self._data_dir = data_dir
        self._owner = owner
        self._client = client
        self._is_allowed = is_allowed
        self._threads: dict[str, threading.Thread] = {}

    def delete_expired(self, store: JobStore) -> None:
        """Delete lookups and pictures that were last requested more than KEEP_S ago."""
        before = time.time() - KEEP_S
        store.forget_lookups(before)
        lookups.forget_thumbnails(self._data_dir.thumbnails, before)

    def active_keys(self) -> list[str]:
        """Return the keys of the running lookups; callable from any thread."""
        return [key for key, thread in list(self._threads.items()) if thread.is_alive()]

    def start_pending(self, store: JobStore) -> None:
        """Start the open lookups; return at once."""
        now = time.time()
        self._threads = {key: thread for key, thread in self._threads.items() if thread.is_alive()}
        for lookup in store.open_lookups(now):
            if len(self._threads) >= MAX_THREADS:
                return
            if lookup.key in self._threads or not self._is_allowed(lookup.service):
                continue
            if store.claim(lookup.key, self._owner, now, LEASE_S):
                thread = threading.Thread(target=self._run, args=(lookup,), name=lookup.key, daemon=True)
                self._threads[lookup.key] = thread
                thread.start()

    def _run(self, lookup: Lookup) -> None:
        try:
            with JobStore(self._data_dir.journal) as store:
                try:
                    self._look_up(store, lookup)
                finally:
                    store.release(lookup.key, self._owner)
        except Cancelled:
            pass
        except CsmError as error:
            _log.warning("%s: %s", lookup.key, error)
        except Exception:  # noqa: BLE001 -- the top of the thread
            _log.exception("%s", lookup.key)

    def _look_up(self, store: JobStore, lookup: Lookup) -> None:
        try:
            client = self._client(lookup.service)
        except CsmError as error:
            _save(store, lookup, Answer(error=error))
            return
        try:
            answer = lookups.run(client, lookup, self._data_dir.thumbnails, time.time())
            _save(store, lookup, answer)
            self._fetch_pictures(store, lookup, client, answer)
        finally:
            client.close()

    def _fetch_pictures(self, store: JobStore, lookup: Lookup, client: Client, answer: Answer) -> None:
        ends_at = time.monotonic() + PICTURES_TIMEOUT_S
        for code, url in answer.pictures.items():
            if time.monotonic() > ends_at:
                return
            name = lookups.fetch_thumbnail(client, url, self._data_dir.thumbnails)
            if name:
                store.update_lookup(lookup.key, operator.methodcaller("with_thumbnail", code, name))


def _save(store: JobStore, lookup: Lookup, answer: Answer) -> None:
    now = time.time()
    store.update_lookup(lookup.key, lambda found: answer.apply_to(found, now))
