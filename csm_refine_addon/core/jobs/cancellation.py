"""Cancellation requests to the local service for refines whose jobs were cancelled or removed.

A request stays in the job store until the service has answered it. A service or worker that is not running handles it
after its next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..data_dir import DataDir
from ..errors import CsmError, SessionNotRefinable, SessionUnknown
from ..models import Job
from ..processes.background import Cancelled
from ..providers.client import Client
from .job_store import JobStore

_log = logging.getLogger("csm_refine.cancellation")


def send(store: JobStore, client: Callable[[], Client]) -> None:
    """Cancel each refine of the job store's cancellations; ``client`` returns that of the local service.

    A refine that has ended meanwhile counts as cancelled. Raises CsmError and Cancelled; the rest stays in the store.
    """
    for cancellation in store.cancellations():
        try:
            client().cancel_refine(cancellation.session)
        except (SessionUnknown, SessionNotRefinable) as error:
            _log.info("%s: %s", cancellation.session, error)
        store.cancelled(cancellation)


class Canceller:
    """Sends cancellations on a thread of its own, for a worker; also clears the folders of cancelled jobs."""

    def __init__(self, home: DataDir, client: Callable[[], Client]) -> None:
        self._home = home
        self._client = client
        self._thread: threading.Thread | None = None
        self._to_clear: set[str] = set()

    def look(self, store: JobStore) -> frozenset[str]:
        """Start sending the open cancellations and return their jobs, which must not be driven before it is done."""
        waiting = store.cancellations()
        if waiting and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._send, name="cancellations", daemon=True)
            self._thread.start()
        return frozenset(cancellation.job for cancellation in waiting)

    def note(self, job: Job) -> None:
        """Take in a job of the store that has changed."""
        (self._to_clear.add if job.is_cancelled else self._to_clear.discard)(job.id)

    def clear(self, driven: frozenset[str]) -> None:
        """Clear the folders of cancelled jobs, except for those that a process is driving still."""
        for job_id in self._to_clear - driven:
            self._home.clear_job_folder(job_id)
        self._to_clear &= driven

    def _send(self) -> None:
        try:
            with JobStore(self._home.journal) as store:
                send(store, self._client)
        except Cancelled:
            pass
        except CsmError as error:
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 -- the top of the thread
            _log.exception("cancellations")
