"""A thousand jobs, many of them running at a service that plays as many sessions, and what a process costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import state_machine, worker
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import LOCAL, Job, RefineRequest, Secret
from csm_refine_addon.core.providers import csm_schema
from tests.support.api_server import KEY, SESSIONS, Answer, Api, envelope

JOBS = 1000
RUNNING = "training_refine"


def code_of(number: int) -> str:
    return f"SESSION_{1_689_256_797 + number}_6037625"


def session(number: int, word: str = RUNNING) -> dict[str, object]:
    return {"session_code": code_of(number), "status": word, "percentage": 0, "mesh_url": "", "image_url": ""}


def serve(api: Api, count: int, on_the_page: int) -> None:
    """Have an API show so many running sessions, the first of them on its list's page."""
    for number in range(count):
        api.others[f"{SESSIONS}/{code_of(number)}"] = [Answer(body=envelope(session(number)))]
    page = [session(number) for number in range(on_the_page)]
    api.others[SESSIONS] = [Answer(body=envelope({"results": page}))]


def fill(home: DataDir, service: str, running: int, now: float | None = None) -> list[Job]:
    """Write a thousand jobs down, some of them running and due at once, and return these."""
    now = time.time() if now is None else now
    shown = csm_schema.read_session(csm_schema.Reply(200, "", session(0)))
    with JobStore(home.journal) as journal:
        journal._connection.execute("PRAGMA synchronous=OFF")
        jobs = [journal.add(new_job(RefineRequest(code_of(n)), service, now=now)) for n in range(JOBS)]
        for job in jobs[running:]:
            journal.change(job.id, lambda job: state_machine.stopped(job, now))
        return [
            journal.change(job.id, lambda job: state_machine.baseline_read(job, shown, now)) for job in jobs[:running]
        ]


def start_worker(home: DataDir, blender: str = "", service: str = LOCAL) -> subprocess.Popen[bytes]:
    with home.worker_log.open("ab") as log:
        process = worker.start(home, sys.executable, blender, stdout=log, stderr=log)
    process.stdin.write(worker.control_line(True, {"": Secret(KEY)}, 20.0, chosen=(service,)))
    process.stdin.flush()
    return process


def most_in_a_second(times: list[float]) -> int:
    """The most requests that came within any second."""
    ordered = sorted(times)
    return max(sum(1 for at in ordered if start <= at < start + 1.0) for start in ordered)


def kinds(api: Api) -> Counter[str]:
    return Counter("list" if seen.path == SESSIONS else "single" for seen in api.seen)


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
