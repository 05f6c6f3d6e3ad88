"""Two Blenders and a command line on one journal, each doing something else all the time: all see the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import bpy
import pytest

from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import JobState as S
from csm_refine_addon.core.processes.background import BLENDER_VARIABLE
from tests.reliability.crash_harness import Harness
from tests.reliability.crash_line import DONE
from tests.support import scenes
from tests.support.api_server import wait_until
from tests.support.repository import ROOT

SEED = "4"


@pytest.fixture
def house(tmp_path):
    with Harness(tmp_path, pace_s=0.2) as opened:
        made = scenes.mesh_object("Result", scenes.WEDGE)
        bpy.data.libraries.write(str(opened.tools / "ready.blend"), {made}, fake_user=True)
        bpy.data.meshes.remove(made.data)
        yield opened


def start(house: Harness, module: str, number: int, seconds: float, codes: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"tests.reliability.{module}", str(house.home.folder)]
    environment = {**os.environ, BLENDER_VARIABLE: house.program, "BLENDER_USER_RESOURCES": str(house.tools / "user")}
    name = f"{module}{number}"  # a pipe would be full after minutes of what Blender says, and Blender would stand still
    with (house.tools / f"{name}.out").open("w") as output, (house.tools / f"{name}.txt").open("w") as errors:
        return subprocess.Popen(
            [*command, f"{SEED}{number}", str(seconds), *codes],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
        )


def said(house: Harness, module: str, number: int, process: subprocess.Popen[str]) -> dict:
    """What it says when it is asked at the end."""
    process.stdin.close()
    assert process.wait(30) == 0
    return json.loads((house.tools / f"{module}{number}.out").read_text().splitlines()[-1])


def test_all_see_the_same(house, length, note):
    """The same counts in each; a result stands in one scene; as many refines as somebody said yes; nobody is left."""
    seconds = length.choose(short=10.0, long=600.0)
    started = time.monotonic()
    shared, own = [house.session()], [[house.session() for _ in range(3)] for _ in range(3)]
    modules = ("crash_window", "crash_window", "crash_line")
    processes = [start(house, module, n, seconds, shared + own[n]) for n, module in enumerate(modules)]
    try:
        wait_until(lambda: all_rest(house), seconds + 150)
        windows = [said(house, module, n, processes[n]) for n, module in enumerate(modules)]
    except BaseException:
        say_what_waits(house, processes)
        for path in house.tools.glob("crash_*.txt"):
            sys.stderr.write(f"{path.name}:\n{path.read_text()[-2000:]}\n")
        raise
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdin.close()
    counts = Counter(job.state for job in house.journal.all())
    failed = [job for job in house.journal.all() if job.state is S.FAILED]
    # Two may refine the shared session at once, and one of them may cancel that refine.
    assert {job.error.code for job in failed} <= {"session_not_refinable", "refine_failed"}
    states = {job.id: job.state for job in house.journal.all()}
    astray = {job_id for window in windows for job_id, _ in window["states"].items() ^ states.items()}
    assert not astray, [(job_id, house.journal.history(job_id)) for job_id in astray]
    placed = [job_id for window in windows[:2] for job_id in window["placed here"]]
    assert Counter(placed) == Counter(job.id for job in house.journal.all() if job.state is S.PLACED)
    yeses, posts = said_yes(house), taken(house)
    assert 0 < posts <= yeses
    assert house.orphans() == []
    did = sum((Counter(window["did"]) for window in windows), Counter())
    note("three", [row(counts, did, posts, yeses, time.monotonic() - started)])


def say_what_waits(house: Harness, processes: list[subprocess.Popen[str]]) -> None:
    """Write down which jobs wait, who holds which, and where in the program each process stands."""
    for job in filter(not_at_rest, house.journal.all()):
        sys.stderr.write(f"not at rest: {job.id} {job.state} of {job.window}, asked for at {job.created_at}\n")
    leases = house.journal._connection.execute("SELECT * FROM leases").fetchall()
    sys.stderr.write(f"leases at {time.time()}: {leases}\n")
    for process in processes:
        process.send_signal(signal.SIGUSR1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        processes[0].wait(2)


def row(counts: Counter, did: Counter, posts: int, yeses: int, seconds: float) -> dict:
    return {
        "did": ", ".join(f"{what} {count}" for what, count in sorted(did.items())),
        "counts in each of the three": ", ".join(f"{state} {count}" for state, count in sorted(counts.items())),
        "POSTs": posts,
        "said yes": yeses,
        "orphans": 0,
        "seconds": seconds,
    }


def all_rest(house: Harness) -> bool:
    """None of the three does anything more, nothing is under way, and nothing waits for its own window to place it."""
    if not all((house.home.folder / DONE.format(f"{SEED}{number}")).exists() for number in range(3)):
        return False
    return not any(map(not_at_rest, house.journal.all()))


def not_at_rest(job) -> bool:
    return state_machine.is_active(job) or (job.state is S.READY and job.place_automatically)


def said_yes(house: Harness) -> int:
    """How often somebody asked for a refine: each time that a job came to stand before its POST, but by itself."""
    rows = house.journal._connection.execute("SELECT job, state FROM history ORDER BY rowid").fetchall()
    before: dict[str, str] = {}
    count = 0
    for job_id, state in rows:
        count += state == S.PREPARED and before.get(job_id) != S.SUBMITTING
        before[job_id] = state
    return count


def taken(house: Harness) -> int:
    return sum(house.posts(path.name) for path in house.home.service.glob("sessions/SESSION_*"))
