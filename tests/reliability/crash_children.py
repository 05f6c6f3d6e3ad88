"""What other processes do in these tests; imported by them, so it imports little."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from pathlib import Path

from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import Job, JobState, RefineRequest, RemoteKind, RemoteStatus
from csm_refine_addon.core.providers.csm_schema import RefineAck

NOON = 1_700_000_000.0


def job(service: str, **options) -> Job:
    return new_job(RefineRequest("SESSION_1689256797_6037625"), service, now=NOON, timeout_s=1e9, **options)


RUNNING = RemoteStatus("training_refine", RemoteKind.RUNNING, 10.0)
STEPS = (
    lambda job: state_machine.submitting(job, NOON),
    lambda job: state_machine.accepted(job, RefineAck(RUNNING, "trial"), NOON),
    lambda job: job.from_json(
        {
            **job.to_json(),
            "baseline": {"word": "preview_done", "updated_at": "", "mesh_fingerprint": ""},
            "seen_running": True,
        }
    ),
    lambda job: state_machine.move(job, JobState.DOWNLOADING),
)
"""A job's way, as far as it needs no service."""


def open_and_add(path: str) -> list[str]:
    """Open a journal and write into it, five jobs one after the other; what a replaced one refuses is done again."""
    added: list[str] = []
    while len(added) < 5:
        try:
            with JobStore(Path(path), busy_timeout_s=30.0) as journal:
                added.append(journal.add(job("http://x"), again=True).id)
        except sqlite3.Error as error:
            raise AssertionError(error) from error
    return added


def open_and_die(path: str, step: str) -> None:
    """Open a journal, and be killed at the second call of the kind that ``step`` names."""
    calls = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal calls
        if event == step:
            calls += 1
            if calls == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    JobStore(Path(path)).close()


def die_half_written(path: str) -> None:
    """Be killed in a transaction whose pages have come into the file already, as a small cache makes them."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE jobs SET document = document || '   ' , revision = revision + 1")
    connection.execute("DELETE FROM jobs WHERE rowid % 3")
    os.kill(os.getpid(), signal.SIGKILL)
