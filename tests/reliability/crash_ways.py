"""For each transition of the table: how a job comes to stand before it, who makes it, and where it must end.

A transition that has no line of its own is made by hand, from a job with all that a job in that state has: a new
state is tried by being in the table.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import Job, JobState as S, MeshReport, RemoteKind, RemoteStatus
from csm_refine_addon.core.providers.csm_schema import RefineAck
from tests.core.harness import REPORT
from tests.support.api_server import TRIANGLE_OBJ, Answer, Api, refine_ack, refusal, session_2024

Change = Callable[[Job], Job]
RUNNING = RemoteStatus("training_refine", RemoteKind.RUNNING, 10.0)
TRAINING, DONE = session_2024("training_refine"), session_2024("refine_done", "mesh.obj")
LOST = Answer(resets=True)
"""A POST that was taken, and whose answer was lost."""


@dataclass(frozen=True)
class Way:
    """A transition that the engine makes by itself when the service answers like this.

    ``before`` and ``after`` are the ends after a kill before and after its commit; ``posts`` is how many refines the
    service may have taken by then.
    """

    before: S
    after: S
    posts: int
    shown: tuple[Answer, ...] = (session_2024("preview_done"),)
    answered: tuple[Answer, ...] = (refine_ack(),)
    refined: tuple[Answer, ...] = (TRAINING, DONE)
    mesh: bytes = TRIANGLE_OBJ
    stored: tuple[Answer, ...] = ()
    told: str = ""

    def prepare(self, api: Api) -> None:
        api.before, api.posts, api.after = list(self.shown), list(self.answered), list(self.refined)
        api.storage.put("mesh.obj", self.mesh)
        api.storage.script[:] = self.stored


BUSY = refusal(429, headers={"Retry-After": "1"})
BY_ENGINE: dict[tuple[S, S], Way] = {
    (S.PREPARED, S.SUBMITTING): Way(S.READY, S.UNCERTAIN, 1),
    (S.PREPARED, S.RUNNING): Way(S.READY, S.READY, 0, shown=(TRAINING, TRAINING, DONE)),
    (S.PREPARED, S.FAILED): Way(S.FAILED, S.FAILED, 0, shown=(refusal(404),)),
    (S.SUBMITTING, S.RUNNING): Way(S.READY, S.READY, 1),
    (S.SUBMITTING, S.PREPARED): Way(S.UNCERTAIN, S.READY, 1, answered=(BUSY, refine_ack())),
    (S.SUBMITTING, S.UNCERTAIN): Way(S.READY, S.READY, 1, answered=(LOST, refine_ack())),
    (S.SUBMITTING, S.FAILED): Way(S.UNCERTAIN, S.FAILED, 0, answered=(refusal(402), refine_ack())),
    (S.UNCERTAIN, S.RUNNING): Way(S.READY, S.READY, 1, answered=(LOST, refine_ack())),
    (S.UNCERTAIN, S.FAILED): Way(S.FAILED, S.FAILED, 1, answered=(LOST, refine_ack()), refined=(refusal(401),)),
    (S.RUNNING, S.DOWNLOADING): Way(S.READY, S.READY, 1),
    (S.RUNNING, S.FAILED): Way(S.FAILED, S.FAILED, 1, refined=(TRAINING, session_2024("refine_failed"))),
    (S.DOWNLOADING, S.PREPARING): Way(S.READY, S.READY, 1),
    (S.DOWNLOADING, S.DOWNLOADING): Way(S.READY, S.READY, 1, stored=(Answer(cut_after=20),)),
    (S.DOWNLOADING, S.FAILED): Way(S.FAILED, S.FAILED, 1, mesh=b"<html>no mesh</html>"),
    (S.PREPARING, S.READY): Way(S.READY, S.READY, 1),
    (S.PREPARING, S.FAILED): Way(S.FAILED, S.FAILED, 1, told="prepare.crash"),
}


def standing(job: Job, state: S, mesh: Path, following: S | None = None) -> Job:
    """Return a new job as it stands in a state; one that has ended stood, before that, where it is to go on."""
    if state in (S.FAILED, S.STOPPED):
        there = standing(job, following if following and following not in (S.FAILED, S.STOPPED) else S.RUNNING, mesh)
        error = errors.FollowTimeout("It was followed for long.", "Retry follows it on.") if state is S.FAILED else None
        kept = state_machine.job_error(error) if error else None
        return dataclasses.replace(there, state=state, error=kept, finished_at=time.time())
    for after, step in _way(mesh):
        if after is state:
            return step(job)
        if after is not S.UNCERTAIN:
            job = step(job)
    return dataclasses.replace(job, state=state)


def _way(mesh: Path) -> list[tuple[S, Change]]:
    now, blend, report = time.time(), str(mesh.with_name("result.blend")), MeshReport(**_fields(REPORT))
    return [
        (S.PREPARED, lambda job: job),
        (S.SUBMITTING, lambda job: state_machine.submitting(job, now)),
        (S.UNCERTAIN, lambda job: state_machine.unanswered(job, now)),
        (S.RUNNING, lambda job: dataclasses.replace(_accepted(job, now), seen_running=True)),
        (S.DOWNLOADING, lambda job: state_machine.move(job, S.DOWNLOADING, due_at=now)),
        (S.PREPARING, lambda job: state_machine.downloaded(job, str(mesh), now)),
        (S.READY, lambda job: state_machine.prepared(job, blend, report, now)),
        (S.PLACED, lambda job: state_machine.placed(job, "Chair refined", None, now)),
    ]


def _accepted(job: Job, now: float) -> Job:
    return state_machine.accepted(job, RefineAck(RUNNING, "trial"), now)


def _fields(report: MeshReport) -> dict:
    return {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}


def by_hand(job: Job, state: S) -> Job:
    """Return the job in another state, as whoever may bring it there does: the user, a Blender that places."""
    now = time.time()
    if state is S.STOPPED:
        return state_machine.stopped(job, now)
    if state is S.FAILED:
        return state_machine.failed(job, errors.MeshUnusable("It cannot be placed.", "Refine again."), now)
    if state is S.PLACED:
        return state_machine.placed(job, "Chair refined", None, now)
    if job.state in (S.FAILED, S.STOPPED, S.UNCERTAIN):
        return state_machine.sent_again(job, now) if state is S.PREPARED else _retried(job, state, now)
    return state_machine.move(job, state, due_at=now)


def _retried(job: Job, state: S, now: float) -> Job:
    return (
        state_machine.retried(job, now)
        if state_machine.retry_state(job) is state
        else state_machine.move(job, state, due_at=now)
    )


def end_of(state: S, *, is_taken: bool) -> S:
    """Return where a job that stands there ends by itself: at its result, or where the user has to say something."""
    if state in (S.SUBMITTING, S.UNCERTAIN) and not is_taken:
        return S.UNCERTAIN
    return S.READY if state_machine.is_active(_in(state)) or state is S.UNCERTAIN else state


def _in(state: S) -> Job:
    job = Job.from_json({"id": "x", "request": {"session_code": "x"}, "service": "", "created_at": 0.0,
                         "timeout_s": 1.0, "deadline_at": 1.0})  # fmt: skip
    return dataclasses.replace(job, state=state)
