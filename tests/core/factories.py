"""Jobs in the states that the flow's tests begin with, and sessions as they may be shown."""

from __future__ import annotations

import dataclasses

from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import Job, JobState as S, RefineRequest, RemoteStatus, Secret
from csm_refine_addon.core.providers.csm_schema import STATUS_WORDS, RefineAck, Session
from tests.core.harness import NOON
from tests.support.api_server import CODE

ACK = RefineAck(RemoteStatus("unprocessed", STATUS_WORDS["unprocessed"]), "trial")
DOWN = errors.ServiceUnreachable("The service cannot be reached.", "Check the network.")
MESH = "https://store.example/mesh.glb?sig=1"
OTHER_MESH = "https://store.example/mesh2.glb?sig=1"


def job(state=S.PREPARED, **changes) -> Job:
    made = new_job(RefineRequest(CODE), "https://api.example", now=NOON, timeout_s=10800.0, job_id="cafe0001")
    return dataclasses.replace(made, state=state, **changes)


def session(word, mesh="", updated_at="", percent=None, message="") -> Session:
    status = RemoteStatus(word, STATUS_WORDS.get(word, STATUS_WORDS["queued"]), percent)
    return Session(CODE, status, updated_at, {"glb": Secret(mesh)} if mesh else {}, message)


def sent(before="preview_done", mesh="", **seen) -> Job:
    """A job whose refine was taken, on a session that stood as given before."""
    ready = state_machine.baseline_read(job(), session(before, mesh, **seen), NOON)
    return state_machine.accepted(state_machine.submitting(ready, NOON), ACK, NOON)


def unclear() -> Job:
    ready = state_machine.baseline_read(job(), session("preview_done"), NOON)
    return state_machine.unanswered(state_machine.submitting(ready, NOON), NOON)
