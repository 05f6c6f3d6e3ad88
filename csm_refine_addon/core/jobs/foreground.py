"""Foreground runner: runs jobs in the calling thread, for the command line and for scripts in Blender."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..data_dir import DataDir
from ..errors import JobStoreBusy
from ..models import LOCAL, Job, JobState, Secret
from ..processes.background import Wait
from ..processes.blender_tasks import BackgroundTasks
from ..processes.local_service import LocalService
from ..providers.account_binding import AccountBinding, asks_service
from ..providers.client import Client
from ..providers.client_factory import DEFAULT_TIMEOUT_S, ClientFactory
from . import cancellation
from .heartbeat import LeaseKeeper
from .job_store import JobStore
from .runner import LEASE_S, JobRunner
from .state_machine import Step, next_step

_log = logging.getLogger("csm_refine.following")
POLL_EVERY_S = 0.5
"""Interval of reading the job store while another process runs the job."""


def ignore(job: Job) -> None:
    """Ignore a change of a job."""


class ForegroundRunner:
    """The job store, clients and job runner of this process, for the duration of a ``with`` block.

    ``key_of`` returns the key for a service's address, or None; ``is_chosen`` whether the user chose an address.
    ``blender`` is ``bpy.app.binary_path`` of the running Blender, or empty. Raises StorageError if the data directory
    cannot be used.
    """

    def __init__(
        self,
        data_dir: DataDir,
        *,
        key_of: Callable[[str], Secret | None],
        is_online: Callable[[], bool],
        is_chosen: Callable[[str], bool],
        blender: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        pause: Wait | None = None,
    ) -> None:
        self.data_dir = data_dir.ensure()
        self.store = JobStore(data_dir.journal)
        self._pause = pause or threading.Event().wait
        local_service = LocalService(data_dir, blender=blender)
        self._client_factory = ClientFactory(
            local_service, key_of=key_of, is_online=is_online, pause=self._pause, timeout_s=timeout_s
        )
        self._blender_tasks = BackgroundTasks(data_dir, blender, self._pause)
        self._active_ids: tuple[str, ...] = ()
        self._lease_keeper = LeaseKeeper(data_dir, local_service, lambda: self._active_ids)
        self._account_binding = AccountBinding(
            data_dir.folder, self._lease_keeper.owner, self._client_factory.key, is_chosen
        )

    def __enter__(self) -> Self:
        self._lease_keeper.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lease_keeper.__exit__(kind, error, trace)
        self.store.close()

    def end_requests_at(self, ends_at: float) -> None:
        """Limit all requests to this time of the monotonic clock; call it before the first request."""
        self._client_factory.ends_at = ends_at

    def client(self, service: str) -> Client:
        """Return a client of the service. Raises KeyMissing, or ServiceUnreachable for the local service."""
        return self._client_factory.client(service)

    def check(self, job: Job) -> None:
        """Check that the current key is the one that the job is bound to. Raises OtherAccount, KeyMissing."""
        if job.service != LOCAL and not self._account_binding.check(job):
            self.client(job.service)  # raises KeyMissing

    def cancel(self, *job_ids: str) -> None:
        """Send the job store's cancellations and clear the folders of these cancelled jobs.

        Raises ServiceUnreachable if the local service does not start; a later process then sends them.
        """
        for job_id in job_ids:
            if self._claim_lease(job_id):  # else the process that still runs it, or its worker, clears it
                self.data_dir.clear_job_folder(job_id)
                self.store.release(job_id, self._lease_keeper.owner)
        cancellation.send(self.store, lambda: self.client(LOCAL))

    def follow(
        self,
        job_id: str,
        *,
        until: Callable[[Job], bool] = lambda job: False,
        on_change: Callable[[Job], None] = ignore,
        for_s: float = math.inf,
    ) -> Job:
        """Run a job until it has no next step or ``until`` returns True, for at most ``for_s`` seconds; return it.

        A job that is unfinished by then is left unchanged; a conversion that has started is finished first.
        If another process runs the job, poll the job store instead, and take the job over if its lease expires. A
        locked job store is logged and retried: it is no failure of the job.

        Raises OtherAccount if the job is bound to another key.
        """
        ends_at = time.monotonic() + for_s
        if any(cancellation.job == job_id for cancellation in self.store.cancellations()):
            self.cancel()  # before sending: a later cancellation would end the new refine

        def pause(seconds: float) -> bool:
            left_s = max(0.0, ends_at - time.monotonic())
            return self._pause(min(seconds, left_s)) or seconds >= left_s

        def is_enough(job: Job) -> bool:
            return until(job) or time.monotonic() >= ends_at

        while True:
            try:
                is_ours = self._claim_lease(job_id)
                job = self._drive(job_id, is_enough, on_change, pause) if is_ours else self.store.get(job_id)
                on_change(job)
                if is_enough(job) or _is_at_rest(job):
                    return job
            except JobStoreBusy as error:
                _log.warning("%s It is tried again.", error.message)
            if pause(POLL_EVERY_S):
                return self.store.get(job_id)

    def _drive(self, job_id: str, until: Callable[[Job], bool], on_change: Callable[[Job], None], pause: Wait) -> Job:
        runner = JobRunner(
            self.store,
            self.data_dir,
            self._client_factory.client,
            self._blender_tasks,
            pause,
            on_change=on_change,
            renew_lease=self._renew_lease,
        )
        self._active_ids = (job_id,)
        try:
            job = self.store.get(job_id)
            if asks_service(job):
                self.check(job)
                self._account_binding.adopts(self.store, job)
            return runner.drive(job_id, until=until)
        finally:
            self._active_ids = ()
            self.store.release(job_id, self._lease_keeper.owner)

    def _renew_lease(self, job_id: str) -> bool:
        return self._claim_lease(job_id) and self._account_binding.admits(self.store, self.store.get(job_id))

    def _claim_lease(self, job_id: str) -> bool:
        return self.store.claim(job_id, self._lease_keeper.owner, time.time(), LEASE_S)


def _is_at_rest(job: Job) -> bool:
    """Return whether the job has no next step; a job in SUBMITTING is being sent by another process."""
    return next_step(job) is Step.REST and job.state is not JobState.SUBMITTING
