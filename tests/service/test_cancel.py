"""Cancelling a local refine: job store, worker process, local service and the refine's own processes, all real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import state_machine, worker
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import LOCAL, Job, JobState as S, LocalSettings, RefineRequest
from csm_refine_addon.core.processes.local_service import LocalService
from tests.support import sample_meshes

from .conftest import ROOT, Service, is_alive, started_process, wait_for

AT_ONCE_S = 1.0


class _Found(Service):
    """The local service that a home has started."""

    def __init__(self, url: str, key: str, folder: Path) -> None:
        self.url, self.key, self.folder = url, key, folder


class Setup:
    """A home with its job store, its local service and, where it is started, a worker."""

    def __init__(self, folder: Path, blender: str) -> None:
        self.home = DataDir(folder / "home").ensure()
        self.blender = blender
        self.journal = JobStore(self.home.journal)
        found = LocalService(self.home, blender=blender).find_or_start(threading.Event().wait)
        self.service = _Found(found[0], found[1].reveal(), self.home.service)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start_worker(self) -> None:
        with self.home.worker_log.open("ab") as log:
            process = worker.start(self.home, sys.executable, self.blender, stdout=log, stderr=log)
        self.processes.append(process)
        process.stdin.write(worker.control_line(online=True, keys={}))
        process.stdin.flush()

    def add(self, **options) -> Job:
        request = RefineRequest(self.service.create(sample_meshes.glb()), local=LocalSettings(topology="keep"))
        return self.journal.add(new_job(request, LOCAL, now=time.time(), **{"poll_s": (0.05, 0.1), **options}))

    def wait_for(self, job: Job, *states: S) -> Job:
        return wait_for(lambda: (found := self.journal.get(job.id)).state in states and found)

    def running(self, **options) -> tuple[Job, int]:
        """A job whose refine runs, and the id of the refine's process."""
        job = self.add(**options)
        pid = started_process(self.service, job.request.session_code)
        return self.wait_for(job, S.RUNNING), pid

    def stop(self, job: Job) -> Job:
        return self.journal.change(job.id, lambda job: state_machine.stopped(job, time.time()))

    def runs_of(self, job: Job) -> list[Path]:
        folder = self.service.folder / "sessions" / job.request.session_code
        return [path for path in folder.iterdir() if path.name != "original"]

    def close(self) -> None:
        for process in self.processes:
            process.stdin.close()
            process.wait(10)
        self.journal.close()
        with contextlib.suppress(OSError):
            os.kill(json.loads((self.home.service / "endpoint.json").read_text())["pid"], signal.SIGTERM)


@pytest.fixture
def setup(tmp_path, request):
    program = getattr(request, "param", "stalled_blender")
    opened = Setup(tmp_path, request.getfixturevalue(program))
    yield opened
    opened.close()


def test_cancel_ends_the_processes_within_a_second(setup):
    """The job says that it is cancelled, the refine's process and files are gone, and Retry starts a new refine."""
    setup.start_worker()
    job, pid = setup.running()
    (setup.home.job_folder(job.id) / "mesh.part").write_bytes(b"x")
    began = time.monotonic()
    stopped = setup.stop(job)
    wait_for(lambda: not is_alive(pid))
    assert time.monotonic() - began < AT_ONCE_S
    assert (stopped.state, stopped.is_cancelled) == (S.STOPPED, True)
    wait_for(lambda: not setup.runs_of(job) and not setup.journal.cancellations())
    wait_for(lambda: not (setup.home.jobs / job.id).exists())
    assert setup.service.session(job.request.session_code)["status"] == "refine_failed"
    assert state_machine.retry_state(stopped) is S.PREPARED
    setup.journal.change(job.id, lambda job: state_machine.retried(job, time.time()))
    assert is_alive(started_process(setup.service, job.request.session_code))
    assert not setup.wait_for(job, S.RUNNING).is_cancelled


def test_remove_ends_the_processes_within_a_second(setup):
    """Removing a job whose refine runs cancels the refine and deletes the job's files."""
    setup.start_worker()
    job, pid = setup.running()
    folder = setup.home.job_folder(job.id)
    began = time.monotonic()
    setup.journal.remove(job.id)
    wait_for(lambda: not is_alive(pid))
    assert time.monotonic() - began < AT_ONCE_S
    wait_for(lambda: not folder.exists() and not setup.runs_of(job) and not setup.journal.cancellations())


def test_cancelled_without_a_worker(setup):
    """A refine that was cancelled while no worker runs is ended by the next one; the job store keeps it until then."""
    setup.start_worker()
    job, pid = setup.running()
    setup.processes[0].stdin.close()
    setup.processes.pop().wait(10)
    setup.stop(job)
    assert len(setup.journal.cancellations()) == 1
    assert is_alive(pid)
    setup.start_worker()
    wait_for(lambda: not is_alive(pid) and not setup.journal.cancellations())


def test_cancelled_in_the_queue(setup):
    """A refine that waits for another one never starts, and the other one goes on."""
    setup.start_worker()
    first, pid = setup.running()
    waiting = [setup.wait_for(setup.add(), S.RUNNING) for _ in range(3)]
    for job in waiting:
        setup.stop(job)
    wait_for(lambda: not setup.journal.cancellations())
    assert {setup.service.session(job.request.session_code)["status"] for job in waiting} == {"refine_failed"}
    assert is_alive(pid)
    assert setup.journal.get(first.id).state is S.RUNNING


@pytest.mark.parametrize("setup", ["waiting_blender"], indirect=True)
def test_cancelled_in_the_moment_of_its_end(setup, tmp_path):
    """A refine that ended before the cancellation arrived is none to cancel: the job stays cancelled."""
    setup.start_worker()
    job, _pid = setup.running(poll_s=(600.0, 600.0))
    (tmp_path / "go").touch()
    setup.service.refined(job.request.session_code)
    setup.stop(job)
    wait_for(lambda: not setup.journal.cancellations())
    assert setup.journal.get(job.id).is_cancelled


def test_the_command_line_cancels(setup):
    """``stop JOB`` has ended the refine's process when it returns, without any worker; a second one changes nothing."""
    job = setup.add()
    environment = {**os.environ, "CSM_REFINE_HOME": str(setup.home.folder)}
    line = [sys.executable, "-P", "-m", "csm_refine_addon.cli"]
    environment["PYTHONPATH"] = str(ROOT)
    with subprocess.Popen([*line, "wait", job.id], env=environment, stderr=subprocess.DEVNULL) as waiting:
        pid = started_process(setup.service, job.request.session_code)
        setup.wait_for(job, S.RUNNING)
        for _ in range(2):
            ended = subprocess.run([*line, "stop", job.id], env=environment, capture_output=True, text=True, check=True)
            assert "cancelled" in ended.stdout
        wait_for(lambda: not is_alive(pid))
        assert waiting.wait(30) == 130
    assert not setup.journal.cancellations()
