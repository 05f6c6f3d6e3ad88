"""Disk space of the data folder: measured by kind, and freed of what nothing needs."""

from __future__ import annotations

import dataclasses
import os
import sys
import time

import pytest

from csm_refine_addon.core.errors import StorageError
from csm_refine_addon.core.jobs import cleanup, state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import JobState as S, RefineRequest
from tests.core.harness import Harness
from tests.support.api_server import CODE

OLD_S = (cleanup.KEEP_DAYS + 1) * cleanup.DAY_S
SIZE = 1000


def no_client():
    raise AssertionError("the local service is not needed where no session is deleted")


@pytest.fixture
def setup(tmp_path, api):
    with Harness(tmp_path / "home", api) as harness:
        yield harness


def add(setup, state, *, days=0.0, blend_file=""):
    now = time.time() - days * cleanup.DAY_S
    made = new_job(RefineRequest(CODE), "http://127.0.0.1:1", now=now)
    folder = setup.home.job_folder(made.id)
    (folder / "result.blend").write_bytes(b"x" * SIZE)
    finished = {"accepted_at": now, "finished_at": now, "blend_path": str(folder / "result.blend")}
    job = dataclasses.replace(made, state=state, blend_file=blend_file, **finished)
    return setup.journal.add(job, again=True)


def run(setup, *, delete):
    return cleanup.run(setup.home, setup.journal, no_client, delete=delete)


@pytest.mark.parametrize("state", list(S))
def test_what_is_needed_stays(setup, state, tmp_path):
    """Files of a job of this month, in a file that is there or on a drive that is away, stay, whatever its state."""
    (tmp_path / "here.blend").touch()
    made = [add(setup, state, days=29, blend_file=str(file)) for file in (tmp_path / "here.blend", "", "/away/a.blend")]
    assert run(setup, delete=True) == cleanup.Space(3 * SIZE, 0, 0, 0)
    assert all((setup.home.jobs / job.id / "result.blend").exists() for job in made)


@pytest.mark.parametrize("state", list(S))
def test_old_files_of_finished_jobs_go(setup, state):
    """After a month, finished jobs and results that nobody placed lose their files; a job under way never does."""
    job = add(setup, state, days=31)
    goes = state in (S.PLACED, S.FAILED, S.STOPPED, S.READY)
    assert run(setup, delete=False).unneeded == SIZE * goes
    assert (setup.home.jobs / job.id).exists()
    assert run(setup, delete=True).deleted == SIZE * goes
    assert (setup.home.jobs / job.id).exists() == (not goes)
    left = setup.journal.get(job.id)
    if goes:
        assert left.blend_path == ""
        assert left.state is (S.FAILED if state is S.READY else state)
    if state is S.READY:
        assert state_machine.retry_state(left) is S.RUNNING


def test_results_for_a_file_that_is_gone_go(setup, tmp_path):
    """A result that can be placed again in no file is not kept; one that failed may still be retried elsewhere."""
    placed, failed = (add(setup, state, blend_file=str(tmp_path / "gone.blend")) for state in (S.PLACED, S.FAILED))
    run(setup, delete=True)
    assert [(setup.home.jobs / job.id).exists() for job in (placed, failed)] == [False, True]


def test_a_job_that_is_being_driven_stays(setup):
    """A lease of another process keeps the files."""
    job = add(setup, S.PLACED, days=31)
    setup.journal.claim(job.id, "another", time.time(), 15.0)
    assert run(setup, delete=True).deleted == 0
    assert (setup.home.jobs / job.id).exists()


def test_folders_of_jobs_that_are_not_listed_go(setup):
    """What a removed job left goes after a day: a new job's folder is there before its row."""
    new, old = setup.home.job_folder("cafe0001"), setup.home.job_folder("cafe0002")
    os.utime(old, (time.time() - 2 * cleanup.DAY_S,) * 2)
    run(setup, delete=True)
    assert (new.exists(), old.exists()) == (True, False)


def test_as_a_process(setup):
    """It measures, and says so as a line of JSON; what goes wrong is a sentence."""
    add(setup, S.PLACED, days=31)
    process = cleanup.start(setup.home, sys.executable, "", delete=False)
    assert cleanup.finish(process) == cleanup.Space(SIZE, 0, SIZE)
    setup.journal.close()
    setup.home.journal.unlink()
    setup.home.journal.mkdir()
    with pytest.raises(StorageError, match="cannot be used"):
        cleanup.finish(cleanup.start(setup.home, sys.executable, "", delete=False))
