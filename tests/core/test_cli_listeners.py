"""The command line where nobody listens to it any more, and where Ctrl-C is not Python's: what is paid for goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from csm_refine_addon.core.models import JobState as S
from tests.core.terminal import ended
from tests.support.api_server import CODE, Answer, session_2024, wait_until

SHELL = Path("/bin/sh")
FULL_DISK = Path("/dev/full")


def held_back(answer: Answer) -> tuple[Answer, threading.Event]:
    """An answer that comes when the event is set."""
    allowed = threading.Event()

    def body(api):
        assert allowed.wait(20)
        return answer.body(api)

    return Answer(body=body), allowed


def test_a_reader_of_progress_that_has_seen_enough(terminal, api):
    """``submit CODE 2>&1 | head -1``: the refine is sent, and the job runs; it is neither unclear nor failed."""
    baseline, allowed = held_back(session_2024("preview_done"))
    api.before = [baseline, session_2024("preview_done")]
    process = terminal.start("submit", CODE)
    assert CODE in process.stderr.readline()
    process.stderr.close()
    allowed.set()
    assert process.wait(60) == 0
    assert (terminal.job().state, len(api.refines)) == (S.RUNNING, 1)
    assert process.stdout.read() == f"{terminal.job().id} {CODE}: refining (unprocessed)\n"


def test_a_reader_of_a_running_refine_that_has_seen_enough(terminal, api):
    """``wait 2>&1 | head -1``: a refine that was paid for is followed to its end."""
    running, allowed = held_back(session_2024("training_refine"))
    api.after = [running, session_2024("refine_done", "mesh.obj")]
    job = terminal.add()
    process = terminal.start("wait")
    assert CODE in process.stderr.readline()
    process.stderr.close()
    allowed.set()
    assert process.wait(60) == 0
    job = terminal.job(job.id)
    assert (job.state, job.error, Path(job.mesh_path).is_file()) == (S.PREPARING, None, True)


@pytest.mark.skipif(not FULL_DISK.exists(), reason="this system has no /dev/full")
def test_progress_onto_a_full_disk(terminal, api):
    """Nothing that is said on stderr can be written: the command does its work, its result is on stdout."""
    with FULL_DISK.open("w") as full:
        done = terminal.run("submit", CODE, stderr=full)
        assert (done.code, terminal.job().state, len(api.refines)) == (0, S.RUNNING, 1)
        failed = terminal.run("submit", "a bench", "--json", stderr=full)
    assert (failed.code, failed.document["error"]["code"]) == (2, "bad_input")


@pytest.mark.skipif(not (FULL_DISK.exists() and SHELL.exists()), reason="this system has no /dev/full, or no shell")
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "JSON"])
def test_the_result_onto_a_full_disk(terminal, api, options):
    """The work is done, and a pipeline that waits for the result hears that it has none: exit code 2, a sentence."""
    into_full = (str(SHELL), "-c", f'exec "$@" >{FULL_DISK}', "sh")
    done = terminal.run("submit", CODE, *options, before=into_full)
    assert (done.code, terminal.job().state, len(api.refines)) == (2, S.RUNNING, 1)
    assert "could not be written to stdout" in done.err


@pytest.mark.skipif(not SHELL.exists(), reason="closing a stream is a shell's art")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", ">/dev/full"])
def test_a_service_to_which_nobody_listens(terminal, closed):
    """``serve >&-``: it serves, and ends cleanly: what tells its address goes with it."""
    told = terminal.folder / "service" / "endpoint.json"
    command = ("serve", "--port", "0", "--data", str(told.parent))
    before = (str(SHELL), "-c", f'exec "$@" {closed}', "sh")
    process = terminal.start(*command, before=before, CSM_REFINE_BLENDER="/no/blender")  # nothing is refined
    wait_until(told.exists)
    process.terminate()
    assert (ended(process).code, told.exists()) == (0, False)


@pytest.mark.skipif(not SHELL.exists(), reason="closing a stream is a shell's art")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
def test_no_stream_at_all(terminal, api, closed):
    """``2>&-``: a stream that is closed from the start is one to which nobody listens."""
    done = terminal.run("submit", CODE, before=(str(SHELL), "-c", f'exec "$@" {closed}', "sh"))
    assert (done.code, terminal.job().state, len(api.refines)) == (0, S.RUNNING, 1)
    assert (done.out == "") == (closed != "2>&-")


FOREIGN_HANDLER = """
import ctypes, signal
process = ctypes.CDLL(None)
process.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
process.signal(signal.SIGINT, ctypes.cast(process.abs, ctypes.c_void_p))  # takes a number, and does nothing
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_ctrl_c_where_another_handler_stands(terminal, api):
    """Blender without a window has a SIGINT handler of its own: Ctrl-C ends a command with 130 all the same."""
    with (terminal.folder / "python" / "sitecustomize.py").open("a") as file:
        file.write(FOREIGN_HANDLER)
    api.after = [session_2024("training_refine")]
    job = terminal.add()
    process = terminal.start("wait", job.id, "--json")
    wait_until(lambda: len(api.looks) > 1)
    os.kill(process.pid, signal.SIGINT)
    done = ended(process)
    assert (done.code, done.document["error"]["code"]) == (130, "interrupted")
    assert terminal.job(job.id).state is S.RUNNING
