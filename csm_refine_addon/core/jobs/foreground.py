"""Drives jobs in the calling process, blocking: for the command line and for scripts in Blender."""

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
"""How often the journal is read while another process drives the job."""


def ignore(job: Job) -> None:
    """Be told of a job and do nothing."""


class ForegroundRunner:
    """The journal, the services and the engine of this process, for the length of a ``with`` block.

    ``key_of`` gives the key for a service's address, or None; ``is_chosen`` tells whether the user chose an address.
    ``blender`` is ``bpy.app.binary_path`` of the Blender that runs this, or empty. Raises StorageError where the
    home folder cannot be used.
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
        """Have no request go on for longer than this time of the monotonic clock; before the first one is made."""
        self._client_factory.ends_at = ends_at

    def client(self, service: str) -> Client:
        """Return a client of the service. Raises KeyMissing, or ServiceUnreachable for the local one."""
        return self._client_factory.client(service)

    def check(self, job: Job) -> None:
        """See that the key at hand is the one that the job was made with. Raises OtherAccount, KeyMissing."""
        if job.service != LOCAL and not self._account_binding.check(job):
            self.client(job.service)  # says that there is no key

    def cancel(self, *job_ids: str) -> None:
        """Send the job store's cancellations and clear the folders of these cancelled jobs.

        Raises ServiceUnreachable where the local service does not start: a later process sends them then.
        """
        for job_id in job_ids:
            if self._claim_lease(job_id):  # else the process that drives it still, or its worker, clears it
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
        """Drive a job until it rests or ``until`` says so, for at most ``for_s``, and return how it stands.

        One that has not ended by then is left as it is, for whoever follows it next; a mesh that is just being
        prepared is prepared.

        Raises OtherAccount where it was made with another key.
        Where another process drives it, watch the journal instead, and take over should that process be gone. A
        journal that is locked for a while is said in the log, and waited for: it says nothing about the job.
        """
        ends_at = time.monotonic() + for_s
        if any(cancellation.job == job_id for cancellation in self.store.cancellations()):
            self.cancel()  # first: it would end the refine that is about to be sent

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
    """Tell whether the job is left to the user; another process that is just sending it will go on with it."""
    return next_step(job) is Step.REST and job.state is not JobState.SUBMITTING
