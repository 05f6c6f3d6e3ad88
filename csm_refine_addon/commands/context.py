"""The context of a command: data directory, job store, client factory, progress."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from ..core import validation
from ..core.errors import AlreadySubmitted, InputError, JobStoreBusy, KeyMissing, OtherAccount, OtherService
from ..core.jobs import job_factory, state_machine
from ..core.jobs.foreground import POLL_EVERY_S, ForegroundRunner
from ..core.models import CSM_BASE_URL, LOCAL, TERMINAL, Job, JobState, RefineRequest, Secret
from ..core.placement import RefineParameters
from ..core.providers import account_binding, credentials
from . import outcome
from .interrupts import pause
from .outcome import Outcome
from .progress_bar import Progress, describe, tell
from .saved_settings import can_prepare, settings

SERVICE_VARIABLE = "CSM_SERVICE"
FOLLOWED = (
    "The session {session} has the job {job} already ({state}): nothing new is sent, and that job is followed with the "
    "box, pivot and place that it was made with. --again sends another refine."
)
SPARE_S = 60.0
"""How much longer than a command's own time a job is followed at least: the command's time is to end first."""
TAKE_OVER = "Use that key to go on, or add --take-over to go on with this one."


class CommandContext:
    """The context of a command: data directory, job store, client factory, progress. Usable inside its ``with`` block.

    The job that it has in hand stands in the options as ``at_hand``, for whoever says what a command came to.
    """

    def __init__(self, options: Any) -> None:
        ends_at = _end_of(options)  # before the job store is opened: bad input leaves no connection open
        found = settings()
        self.home = found.home
        self._options = options
        self._settings = found
        self._key_of = credentials.this_process(found.key_command, found.key, pause)
        self._progress = Progress(sys.stderr)
        self._follower = ForegroundRunner(
            self.home,
            key_of=self._key_of,
            is_online=found.is_online,
            is_chosen=self._is_chosen,
            blender=found.binary_path,
            timeout_s=found.timeout_s,
            pause=pause,
        )
        self._follower.end_requests_at(ends_at)
        self.journal = self._follower.store
        for sentence in self.journal.take_notices():
            tell(sentence)
        self.client = self._follower.client

    def __enter__(self) -> Self:
        self._follower.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:  # noqa: PYI036 -- handed on as it is
        self._progress.end()
        self._follower.__exit__(*exception)

    @functools.cached_property
    def service(self) -> str:
        """The service that is chosen, for what needs one. Raises InputError."""
        text = getattr(self._options, "service", None) or os.environ.get(SERVICE_VARIABLE)
        allow_http = getattr(self._options, "allow_http", False) or self._settings.allow_plain_http
        return validation.service_address(text or self._settings.service or "csm", allow_plain_http=allow_http)

    def _is_chosen(self, service: str) -> bool:
        try:
            return self.service == service
        except InputError:
            return False

    @functools.cached_property
    def _known_key(self) -> Secret | None:
        """The key, if it is known without a key command."""
        try:
            return credentials.environment_key() or (None if self._settings.key_command else self._settings.key())
        except KeyMissing:
            return None

    def at_hand(self, job: Job) -> Job:
        """Record the command's current job and return it."""
        self._options.at_hand = job
        return job

    def last_seen(self, job: Job) -> Job:
        """Return the job as it was last seen."""
        last: Job | None = self._options.at_hand
        return last if last and last.id == job.id else job

    def job(self, job_id: str) -> Job:
        """Make the job of this id the current job. Raises InputError if there is none."""
        return self.at_hand(self.journal.get(job_id))

    def check_service(self, service: str | None = None) -> None:
        """See that there is a key and that the service may be reached, before anything is written or sent."""
        service = service or self.service
        if service == LOCAL:
            return
        self.client(service).require_online()
        key = self._key_of(service)
        if key and service == CSM_BASE_URL and not validation.is_usual_key(key):
            tell("The API key has an unusual form (CSM's have 32 letters and digits); it is tried.")

    def note(self, sentence: str) -> None:
        """Write a sentence to stderr, and into the ``warnings`` of the command's JSON object."""
        tell(sentence)
        self._options.warnings = (*self._options.warnings, sentence)

    def submit(
        self, request: RefineRequest, asked: RefineParameters, until: Callable[[Job], bool] = lambda job: False
    ) -> Job:
        """Write a new job down and follow it: the request with box and pivot as asked.

        Where another job of the session bars it, that one is followed and nothing new is sent, unless the user said
        ``--again``. Raises CsmError.
        """
        timeout_s = self._options.timeout
        try:
            job = self._add(request, asked, timeout_s)
        except AlreadySubmitted as error:
            known = self.at_hand(error.job)
        else:
            return self.follow(job, until)
        self.note(FOLLOWED.format(session=request.session_code, job=known.id, state=describe(known)))
        job = self.check_account(known, take_over=self._options.take_over)
        return self.follow(self.taken_up(job, timeout_s), until, for_s=timeout_s)

    def _add(self, request: RefineRequest, asked: RefineParameters, timeout_s: float | None) -> Job:
        request = dataclasses.replace(request, scaled_bbox=asked.scaled_bbox, pivot_point=asked.pivot_point)
        for warning in asked.warnings:
            self.note(warning)
        job = job_factory.new_job(
            request,
            self.service,
            now=time.time(),
            timeout_s=job_factory.FOLLOW_S if timeout_s is None else seconds(timeout_s),
            poll_s=self._settings.poll_s,
            placement=asked.placement,
            fit_to_box=self._settings.fit_to_box,
            place_automatically=False,
            blend_file=self._settings.open_file(),
            window=self._settings.window(),
            account=self._account(),
        )
        return self.at_hand(self.journal.add(job, again=bool(self._options.again)))

    def _account(self) -> str:
        key = None if self.service == LOCAL else self._key_of(self.service)
        return account_binding.fingerprint(self.home.folder, self.service, key)

    def check_account(self, job: Job, *, take_over: bool = False) -> Job:
        """See that the service can be asked about a job, and that it was made with the key at hand, or is taken over.

        Raises OtherAccount, and as :meth:`check_service`.
        """
        self.check_service(job.service)
        if take_over:
            job = self.journal.change(job.id, functools.partial(account_binding.taken_over, folder=self.home.folder))
        try:
            self._follower.check(job)
        except OtherAccount as error:
            raise _refused(error, job) from None
        return job

    def sent_again(self, job: Job, timeout_s: float | None, *, take_over: bool) -> Job:
        """Have an ended job sent anew, as the user said. Raises InputError, and as :meth:`check_account`."""
        limit_s = job.timeout_s if timeout_s is None else seconds(timeout_s)
        self.check_account(job, take_over=take_over)
        return self._changed(
            job,
            lambda job: state_machine.sent_again(dataclasses.replace(job, timeout_s=limit_s), time.time()),
            again=True,
        )

    def _changed(self, job: Job, step: Callable[[Job], Job], *, again: bool = False) -> Job:
        return self.at_hand(self.journal.change(job.id, step, again=again))

    def _noted(self, job: Job, step: Callable[[Job], Job]) -> Job:
        """Write down what is done already: a locked journal is waited for."""
        while True:
            try:
                return self._changed(job, step)
            except JobStoreBusy as error:
                tell(f"{error.message} It is tried again.")
                pause(POLL_EVERY_S)

    def seen(self, job: Job) -> Outcome:
        """Return how a job stands, and that it waits for another key where this is known without a key command."""
        text = f"{job.id} {job.state:<11} {describe(job)}"
        gate = account_binding.AccountBinding(self.home.folder, "", lambda _service: self._known_key, self._is_chosen)
        try:
            if state_machine.is_active(job) and job.service != LOCAL:
                gate.check(job)
        except OtherAccount as error:
            return dataclasses.replace(outcome.failure(_refused(error, job), job), text=f"{text} - {error.message}")
        return Outcome(text, outcome.document(job))

    def find(self, target: str | None) -> Job | None:
        """Take the job of this id in hand, the newest one for None; return None for what is no job's id."""
        found = [job for job in self.journal.all() if target in (None, job.id)]
        if target is None and not found:
            raise InputError("There are no jobs yet.", "Give a session code.")
        return self.at_hand(found[-1]) if found else None

    def stopped(self, job: Job) -> Job:
        """Return the job, cancelled or tracked no longer; one that has ended stays as it is."""
        job = self._changed(job, lambda job: job if job.state in TERMINAL else state_machine.stopped(job, time.time()))
        if job.is_cancelled:
            self._follower.cancel(job.id)
        return job

    def taken_up(self, job: Job, timeout_s: float | None) -> Job:
        """Return a job that can be followed for so long: looked up again, or retried where nothing is sent by that."""
        return self._changed(job, lambda job: _taken_up(job, time.time(), timeout_s))

    def follow(self, job: Job, until: Callable[[Job], bool] = lambda job: False, *, for_s: float | None = None) -> Job:
        """Follow a job with progress on stderr; without a Blender only until its mesh is there.

        Raises FollowTimeout where it has not ended within ``for_s``; whether it goes on is not this command's to say.
        """
        prepares = can_prepare(self._settings.binary_path)

        def is_enough(job: Job) -> bool:
            return until(job) or (job.state is JobState.PREPARING and not prepares)

        job = self._follower.follow(
            job.id,
            until=is_enough,
            on_change=lambda job: self._progress(self.at_hand(job)),
            for_s=math.inf if for_s is None else for_s,
        )
        self._progress(job)
        if (
            for_s is not None
            and state_machine.is_active(job)
            and job.state is not JobState.UNCERTAIN
            and not is_enough(job)
        ):
            raise outcome.not_ended(job, for_s)
        return self.at_hand(job)

    def place(self, job: Job, scene: Any, output: Path | None) -> Outcome:
        """Place a job that has become ready, and write the output."""
        if job.state not in (JobState.READY, JobState.PLACED):
            return outcome.of_job(job)
        found = scene.place(job)
        warnings = scene.save_output(found.object_name, output) if output else ()
        for warning in warnings:
            tell(warning)
        stands = found.object_name, found.fit_error, time.time(), found.counts, found.dimensions
        job = self._noted(job, lambda job: state_machine.placed(job, *stands))
        error = "" if found.fit_error is None else f", fit error {found.fit_error:.2g}"
        text = f"{job.id} placed as {found.object_name}{error}" + (f", written to {output}" if output else "")
        placed = outcome.of_job(job, text)
        return dataclasses.replace(
            placed,
            document={
                **placed.document,
                "object": found.object_name,
                "dimensions": list(found.dimensions),
                "warnings": (*warnings, *placed.document["warnings"]),
            },
        )


def _end_of(options: Any) -> float:
    """Return when the requests of a command with ``--timeout`` end, by the monotonic clock. Raises InputError."""
    timeout_s: float | None = getattr(options, "timeout", None)
    return math.inf if timeout_s is None else time.monotonic() + seconds(timeout_s)


def _refused(error: OtherAccount, job: Job) -> OtherAccount:
    """Return the error with what to do on the command line."""
    other = f"Give --service {job.service} if you trust it, or add --take-over."
    return type(error)(error.message, other if isinstance(error, OtherService) else TAKE_OVER)


def _taken_up(job: Job, now: float, limit_s: float | None) -> Job:
    again = job.state in (JobState.FAILED, JobState.STOPPED, JobState.UNCERTAIN)
    if again and state_machine.retry_state(job) is not JobState.PREPARED:
        job = state_machine.retried(job, now)
    elif job.accepted_at is not None and job.deadline_at <= now:  # nobody followed it meanwhile: now someone does
        job = state_machine.extend_deadline(job, job.timeout_s, now)
    if limit_s is None or now + limit_s + SPARE_S <= job.deadline_at:
        return job
    return state_machine.extend_deadline(job, limit_s + SPARE_S, now)


def seconds(value: float) -> float:
    """Return a time-out. Raises InputError where it is none."""
    if not math.isfinite(value) or value <= 0:
        raise InputError(f"The time-out is {value:g}; it must be above zero.", "Give it in seconds.")
    return value
