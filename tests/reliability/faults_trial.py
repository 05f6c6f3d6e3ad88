"""One job with a fault on its way: through the proxy, with a clock that moves only when one waits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from csm_refine_addon.commands import outcome
from csm_refine_addon.core.errors import CsmError
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.runner import JobRunner
from csm_refine_addon.core.models import Job, JobState as S, Secret
from csm_refine_addon.core.providers.client import Client
from tests.core.harness import Clock, Harness
from tests.support.api_server import KEY, Api, session_2024
from tests.support.faults import FaultProxy, Plan, Rule, Stage

TIMEOUT_S = 20.0
"""The network's, in real time: only what never answers should meet it, on the busiest machine."""
GOES_ON = ("It is ", "The session is read")
"""Said of a job that goes on by itself: no cure for one that has ended."""
NOWHERE = "http://no-such-name.invalid"


def stage_of(job: Job) -> Stage | None:
    """Return the stage that a job's next step belongs to."""
    if job.state is S.PREPARED:
        return Stage.POST if job.baseline else Stage.BASELINE
    return {
        S.RUNNING: Stage.POLL,
        S.DOWNLOADING: Stage.DOWNLOAD,
        S.PREPARING: Stage.PREPARE,
        S.READY: Stage.PLACE,
    }.get(job.state)


class JumpingClock(Clock):
    """A clock that can be set, or sleep."""

    def jump(self, seconds: float) -> None:
        self.now += seconds


@dataclasses.dataclass
class Seen:
    """What became of a job."""

    job: Job
    error: CsmError | None
    """What came out of the engine itself: the journal could not be written."""
    troubles: list[str]
    seconds: float
    home: str
    lookups: int = 0
    """How often the user has asked to look again."""

    @property
    def result(self) -> str:
        """The state, and the error's code where there is one."""
        code = self.error.code if self.error else self.job.error.code if self.job.error else ""
        return f"{self.job.state}: {code}" if code else str(self.job.state)

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if self.error else outcome.exit_code(self.job)

    @property
    def sentence(self) -> str:
        """What the user reads: the error with its cure, else the last trouble on the way."""
        error = self.error or self.job.error
        text = str(self.error) if self.error else f"{error.message} {error.action}" if error else ""
        found = text or (self.troubles[-1] if self.troubles else "")
        return found.replace(f"{self.home}/", "").replace(self.home, "its home")

    @property
    def has_sentence_and_cure(self) -> bool:
        error = self.error or self.job.error
        if error is None:
            return True
        return error.message.endswith(".") and bool(error.action) and not error.action.startswith(GOES_ON)


class Trial:
    """A house whose network leads through the proxy. ``yes`` counts how often the user agreed to pay."""

    def __init__(self, folder: Path, api: Api, proxy: FaultProxy, address: str = "") -> None:
        self.house = Harness(folder, api)
        self.api = api
        self.proxy = proxy
        self.yes = 0
        self.clock = JumpingClock()
        self.troubles: list[str] = []
        self.client = self.new_client(address or proxy.url)
        self.nowhere = self.new_client(NOWHERE)
        self.unknown_name_at: Stage | None = None
        self.unknown_name_times = 2
        self.on_enter: Callable[[Job], None] = lambda job: None
        """Told of each change of the job: what is not the network's comes in here."""

    @staticmethod
    def new_client(address: str, timeout_s: float = TIMEOUT_S) -> Client:
        return Client(address, Secret(KEY), is_online=lambda: True, timeout_s=timeout_s)

    def close(self) -> None:
        self.client.close()
        self.nowhere.close()
        self.house.__exit__()

    def add(self, **options: Any) -> Job:
        """The user says yes once."""
        self.yes += 1
        return self.house.add(**options)

    def drive(self, job: Job) -> Seen:
        """Drive the job until it rests, or the journal cannot be written; take it up again as `following` does."""
        error = None
        try:
            while self._engine().drive(job.id).state is S.SUBMITTING:
                pass
        except CsmError as found:
            error = found
        return Seen(
            self.house.journal.get(job.id), error, self.troubles, sum(self.clock.pauses), str(self.house.home.folder)
        )

    def place(self, job: Job) -> Seen:
        """Write down that the result stands in the scene."""
        error = None
        try:
            self.house.journal.change(job.id, lambda job: state_machine.placed(job, "Refined", 0.0, self.clock()))
        except CsmError as found:
            error = found
        return Seen(
            self.house.journal.get(job.id), error, self.troubles, sum(self.clock.pauses), str(self.house.home.folder)
        )

    def cured(self, seen: Seen) -> Seen:
        """Do what the sentence says, as a user does: retry, or where nothing is known send it again on purpose."""
        for _ in range(3):
            job = self.house.journal.get(seen.job.id)
            if job.state in (S.FAILED, S.STOPPED, S.UNCERTAIN):
                again = job.state is S.UNCERTAIN and bool(seen.lookups)
                step = state_machine.sent_again if again else state_machine.retried
                self.yes += again or (state_machine.retry_state(job) is S.PREPARED and bool(self.proxy.accepted))
                job = self.house.journal.change(job.id, lambda job, step=step: step(job, self.clock()))
            seen = dataclasses.replace(self.drive(job), lookups=seen.lookups + 1)
            if seen.job.state is S.READY:
                break
        return seen

    def _engine(self) -> JobRunner:
        return JobRunner(
            store=self.house.journal,
            data_dir=self.house.home,
            client_for=self._client_for,
            blender_tasks=self.house.workshop,
            wait=self.clock.pause,
            clock=self.clock,
            jitter=lambda: 0.5,
            on_change=self._note,
        )

    def _client_for(self, _: str) -> Client:
        (job,) = self.house.journal.all()
        stage = Stage.POLL if job.state is S.UNCERTAIN else stage_of(job)
        if self.unknown_name_at is not None and stage is self.unknown_name_at and self.unknown_name_times:
            self.unknown_name_times -= 1
            self.proxy.hits["dns-failure"] += 1
            return self.nowhere
        return self.client

    def _note(self, job: Job) -> None:
        if job.trouble and job.trouble not in self.troubles[-1:]:
            self.troubles.append(job.trouble)
        self.on_enter(job)


def once(trial: Trial, stage: Stage, begin: Callable[[], None]) -> None:
    """Begin a fault when the job first comes to a stage."""
    waiting = [begin]

    def enter(job: Job) -> None:
        if waiting and stage_of(job) is stage:
            waiting.pop()()

    trial.on_enter = enter


def lifted_after(trial: Trial, fault: str, pauses: int) -> None:
    """Have a fault end by itself, so many pauses after it came about (its connections cannot be counted)."""
    begun_at: list[int] = []

    def each() -> None:
        if trial.proxy.hits[fault] and not begun_at:
            begun_at.append(len(trial.clock.pauses))
        if begun_at and len(trial.clock.pauses) >= begun_at[0] + pauses and trial.proxy.plan.rules:
            trial.proxy.apply(Plan([], trial.proxy.plan.tls))

    trial.clock.each = each


@contextmanager
def trial_of(folder: Path, rules: list[Rule], *, tls: str = "", address: str = "", mesh: bytes) -> Iterator[Trial]:
    """Open an API with a mesh, the proxy with its rules before it, and a house."""
    with Api() as api, FaultProxy(api.url, Plan(rules, tls)) as proxy:
        api.storage.put("mesh.glb", mesh)
        running = [session_2024("training_refine")] * 3
        api.after = [*running, session_2024("refine_done", "mesh.glb", keys=("mesh_url_glb",))]
        trial = Trial(folder, api, proxy, address)
        try:
            yield trial
        finally:
            trial.close()


def assert_key_stayed(proxy: FaultProxy) -> None:
    """No request to the storage or to another host carried the key."""
    for exchange in proxy.seen:
        if exchange.stage in (Stage.DOWNLOAD, None):
            assert "x-api-key" not in exchange.headers, exchange.path
