"""Answers the journal's questions about sessions, each on a thread of its own, as a part of the worker."""

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

MOST_AT_ONCE = 4
FORGET_AFTER_S = 30 * 24 * 3600.0
"""How long a look-up and its picture are kept after somebody asked for it last."""
PICTURES_LIMIT_S = 60.0
"""How long to fetch the pictures of one page."""
_log = logging.getLogger("csm_refine.lookups")


class LookupWorker:
    """Starts a thread for each open question that ``may_ask`` allows, at most :data:`MOST_AT_ONCE` at a time.

    ``client`` makes a client for a service's address. Of several workers, the one that gets the lease answers.
    """

    def __init__(
        self, home: DataDir, owner: str, client: Callable[[str], Client], may_ask: Callable[[str], bool]
    ) -> None:
        self._home = home
        self._owner = owner
        self._client = client
        self._may_ask = may_ask
        self._threads: dict[str, threading.Thread] = {}

    def clear(self, journal: JobStore) -> None:
        """Forget what nobody has asked for in a month."""
        before = time.time() - FORGET_AFTER_S
        journal.forget_lookups(before)
        lookups.forget_thumbnails(self._home.thumbnails, before)

    def at_work(self) -> list[str]:
        """Return the keys of the questions that are being answered; from any thread."""
        return [key for key, thread in list(self._threads.items()) if thread.is_alive()]

    def look(self, journal: JobStore) -> None:
        """Start what waits to be answered; returns at once."""
        now = time.time()
        self._threads = {key: thread for key, thread in self._threads.items() if thread.is_alive()}
        for lookup in journal.open_lookups(now):
            if len(self._threads) >= MOST_AT_ONCE:
                return
            if lookup.key in self._threads or not self._may_ask(lookup.service):
                continue
            if journal.claim(lookup.key, self._owner, now, LEASE_S):
                thread = threading.Thread(target=self._answer, args=(lookup,), name=lookup.key, daemon=True)
                self._threads[lookup.key] = thread
                thread.start()

    def _answer(self, lookup: Lookup) -> None:
        try:
            with JobStore(self._home.journal) as journal:
                try:
                    self._ask(journal, lookup)
                finally:
                    journal.release(lookup.key, self._owner)
        except Cancelled:
            pass
        except CsmError as error:
            _log.warning("%s: %s", lookup.key, error)
        except Exception:  # noqa: BLE001 -- the top of the thread
            _log.exception("%s", lookup.key)

    def _ask(self, journal: JobStore, lookup: Lookup) -> None:
        try:
            client = self._client(lookup.service)
        except CsmError as error:
            _write(journal, lookup, Answer(error=error))
            return
        try:
            answer = lookups.answer(client, lookup, self._home.thumbnails, time.time())
            _write(journal, lookup, answer)
            self._fetch_pictures(journal, lookup, client, answer)
        finally:
            client.close()

    def _fetch_pictures(self, journal: JobStore, lookup: Lookup, client: Client, answer: Answer) -> None:
        ends_at = time.monotonic() + PICTURES_LIMIT_S
        for code, url in answer.pictures.items():
            if time.monotonic() > ends_at:
                return
            name = lookups.fetch_thumbnail(client, url, self._home.thumbnails)
            if name:
                journal.answer(lookup.key, operator.methodcaller("with_thumbnail", code, name))


def _write(journal: JobStore, lookup: Lookup, answer: Answer) -> None:
    now = time.time()
    journal.answer(lookup.key, lambda found: answer.given(found, now))
