"""Kill -9 of each process at each transition and at random moments: nothing lost, nothing paid twice, nobody left."""

from __future__ import annotations

import itertools
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from csm_refine_addon.core.jobs import crash_points, state_machine
from csm_refine_addon.core.jobs.state_machine import TRANSITIONS
from csm_refine_addon.core.models import Job, JobState as S
from csm_refine_addon.service.client_leases import GRACE_S, LEASE_S
from tests.reliability import crash_ways
from tests.reliability.conftest import Length
from tests.reliability.crash_harness import ENDS_S, Harness, require_gone
from tests.support.api_server import CODE, KEY, Api, wait_until
from tests.support.repository import ROOT

LANES = 4
"""Cases at a time: most of their time they wait."""
SEED = 4
MOMENTS = ("before", "after")
ROWS: list[dict[str, Any]] = []


@pytest.fixture(scope="module", autouse=True)
def table(note):
    yield
    note("crashes", ROWS)


@dataclass(frozen=True)
class Case:
    """Who is killed, where, and what is to be done and seen."""

    killed: str
    where: str
    run: Callable[[Any], dict[str, Any]]


def run_all(cases: list[Case], make: Callable[[int], Any], lanes: int = LANES) -> None:
    """Run cases in lanes, each with what ``make`` made for it; fail with all that failed."""
    waiting: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    with ThreadPoolExecutor(lanes) as pool:
        running = [pool.submit(run_lane, waiting, lambda lane=lane: make(lane)) for lane in range(lanes)]
        failures = [failure for lane in running for failure in lane.result()]
    assert failures == [], "\n\n".join(failures)


def run_lane(waiting: queue.SimpleQueue[Case], make: Callable[[], Any]) -> list[str]:
    failures, house = [], None
    while True:
        try:
            case = waiting.get_nowait()
        except queue.Empty:
            break
        try:
            house = house or make()
            started = time.monotonic()
            row = case.run(house)
            ROWS.append({"killed": case.killed, "where": case.where, **row, "seconds": time.monotonic() - started})
        except BaseException:  # noqa: BLE001 -- every case is to be tried; the house of a failed one is given up
            failures.append(f"{case.killed}, {case.where}:\n{traceback.format_exc()[-3000:]}")
            if house:
                house.__exit__()
            house = None
    if house:
        house.__exit__()
    return failures


class Houses:
    """Makes a folder for each house."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._folder, self._options, self._numbers = folder, options, itertools.count()

    def __call__(self, _lane: int) -> Harness:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return Harness(folder, **self._options)


# --- each process, at each transition of a job that goes well


WELL = [S.PREPARED, S.SUBMITTING, S.RUNNING, S.DOWNLOADING, S.PREPARING, S.READY]
TOLD = {"refining Blender": "refine.hold", "preparing Blender": "prepare.hold"}


def main_way_cases(length) -> list[Case]:
    cases = []
    for old, new in itertools.pairwise(WELL):
        assert new in TRANSITIONS[old]
        for moment, victim in itertools.product(MOMENTS, ("worker", "Blender", "local service")):
            cases.append(Case(victim, f"{old}>{new} {moment}", main_way(victim, f"{old}>{new} {moment}")))
    cases.append(Case("refining Blender", "while it works", main_way("refining Blender", "SUBMITTING>RUNNING after")))
    working = main_way("preparing Blender", "DOWNLOADING>PREPARING after")
    cases.append(Case("preparing Blender", "while it works", working))
    for victim in ("worker", "Blender", "local service"):
        cases.append(Case(victim, "while the refining Blender works", while_working(victim, "refine")))
        if victim != "local service":
            cases.append(Case(victim, "while the preparing Blender works", while_working(victim, "prepare")))
    alone = Case("Blender and worker", "PREPARED>SUBMITTING before, and nobody comes for half a minute", left_alone)
    return length.choose(short=cases[::3] + cases[-5:], long=[alone, *cases])


def main_way(victim: str, place: str) -> Callable[[Harness], dict]:
    def run(house: Harness) -> dict:
        with house.told(*filter(None, [TOLD.get(victim)])):
            job = house.new_job(house.session())
            house.open_blender(place)
            house.journal.add(job, again=True)
            worker = house.halted()
            if victim in TOLD:
                worker.send_signal(signal.SIGCONT)
                wait_until(lambda: house.find(victim))
            assert house.kill(victim)
            house.require_whole()
        return after_the_kill(house, job, victim, worker)

    return run


def while_working(victim: str, work: str) -> Callable[[Harness], dict]:
    who = {"refine": "refining Blender", "prepare": "preparing Blender"}[work]

    def run(house: Harness) -> dict:
        with house.told(f"{work}.hold"):
            job = house.new_job(house.session())
            house.open_blender()
            house.journal.add(job, again=True)
            child = wait_until(lambda: house.find(who))
            worker = house.find("worker")
            assert house.kill(victim)
            if (victim, work) != ("worker", "refine") and (victim, work) != ("Blender", "refine"):
                require_gone(child)
        return after_the_kill(house, job, victim, worker)

    return run


def after_the_kill(house: Harness, job: Job, victim: str, worker: psutil.Process) -> dict:
    """Let the others go on, start again what a user starts again, and see that all comes to its right end."""
    yeses = 1
    if victim != "worker" and worker.is_running():
        worker.send_signal(signal.SIGCONT)
    if victim == "Blender":
        require_gone(worker)
        house.close_blender()
        house.open_blender()
    if victim in ("worker", "Blender"):
        house.lapse()
    found, yeses = brought_to_its_end(house, job, yeses)
    posts, orphans = house.posts(job.request.session_code), house.orphans()
    house.close_blender()
    house.require_whole()
    assert orphans == []
    assert posts <= yeses
    states = [state for _, state in house.journal.history(job.id)]
    return {"way": " ".join(states[1:]), "end": str(found.state), "POSTs": posts, "said yes": yeses, "orphans": 0}


def brought_to_its_end(house: Harness, job: Job, yeses: int) -> tuple[Job, int]:
    """Wait; where the job has ended with a sentence, retry as its user does, who says yes where it is sent anew."""
    for _ in range(3):
        found = wait_until(lambda: rests(house, house.journal.get(job.id)), ENDS_S)
        if found.state is S.READY:
            return found, yeses
        assert all((found.error.message, found.error.action)), found
        yeses += state_machine.retry_state(found) is S.PREPARED or found.state is S.UNCERTAIN
        house.journal.change(job.id, lambda job: taken_up(job, time.time()))
    raise AssertionError(f"it came to no end: {house.journal.history(job.id)}")


def rests(house: Harness, job: Job) -> Job | None:
    """Tell whether nothing more happens by itself, or nothing more than looks at a session that shows no refine."""
    if job.state is S.UNCERTAIN:
        looked = job.polls >= 2 and job.remote is not None and job.remote.word == "preview_done"
        return job if looked or not state_machine.is_active(job) else None
    return job if job.state in (S.READY, S.FAILED, S.STOPPED) else None


def taken_up(job: Job, now: float) -> Job:
    return state_machine.sent_again(job, now) if job.state is S.UNCERTAIN else state_machine.retried(job, now)


def left_alone(house: Harness) -> dict:
    """Kill Blender and its worker, and wait: the service ends by itself, and by then the job is anybody's."""
    job = house.new_job(house.session())
    house.open_blender("PREPARED>SUBMITTING before")
    house.journal.add(job, again=True)
    worker = house.halted()
    assert house.kill("worker")
    assert house.kill("Blender")
    house.close_blender()
    wait_until(lambda: not house.processes(), LEASE_S + GRACE_S + 5.0)
    house.open_blender()
    return after_the_kill(house, job, "nobody else", worker)


def test_at_each_transition_of_a_job_that_goes_well(tmp_path, length):
    """Blender, worker, service and their background Blenders: whoever is killed, the job comes to its result."""
    run_all(main_way_cases(length), Houses(tmp_path))


# --- the worker, at each transition that it makes


class Scripted(Harness):
    """A house whose jobs are sent to a served API."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, key=KEY)
        self.api = Api()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self.api.__exit__()

    def anew(self) -> None:
        self.api.seen.clear()
        self.api.taken = 0
        crash_ways.Way(S.READY, S.READY, 1).prepare(self.api)

    def taken(self) -> int:
        return self.api.taken


def engine_cases(length) -> list[Case]:
    both = [
        Case("worker", f"{old}>{new} {moment}", by_engine(f"{old}>{new} {moment}", way, moment))
        for (old, new), way in crash_ways.BY_ENGINE.items()
        if (old, new) not in itertools.pairwise(WELL)  # tried above, with each process
        for moment in MOMENTS
    ]
    slow_first = sorted(both, key=lambda case: "UNCERTAIN>FAILED" not in case.where)
    quick = [case for case in both[::4] + both[3::4] if "UNCERTAIN>FAILED" not in case.where]
    return length.choose(short=quick, long=slow_first)


def by_engine(place: str, way: crash_ways.Way, moment: str) -> Callable[[Scripted], dict]:
    def run(house: Scripted) -> dict:
        house.anew()
        way.prepare(house.api)
        with house.told(*filter(None, [way.told])):
            job = house.new_job(CODE, house.api.url)
            house.open_blender(place)
            house.journal.add(job, again=True)
            house.halted()
            assert house.kill("worker")
            house.require_whole()
            house.lapse()
            found = wait_until(lambda: rests(house, house.journal.get(job.id)), ENDS_S)
        orphans = house.orphans()
        house.close_blender()
        house.require_whole()
        states = [state for _, state in house.journal.history(job.id)]
        expected = way.before if moment == "before" else way.after
        assert (found.state, orphans) == (expected, []), states
        assert house.taken() <= way.posts
        assert found.state is S.READY or (found.error.message and found.error.action)
        posts = {"POSTs": house.taken(), "said yes": 1}
        return {"way": " ".join(states[1:]), "end": str(found.state), **posts, "orphans": 0}

    return run


def test_at_each_transition_of_the_worker(tmp_path, length):
    """Killed before or after the commit of whatever else it writes: the next worker goes on, to the right end."""
    numbers = itertools.count()

    def make(_lane: int) -> Scripted:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Scripted(folder)

    run_all(engine_cases(length), make)


# --- whoever makes the others


def hand_cases(length) -> list[Case]:
    pairs = [(old, new) for old, news in TRANSITIONS.items() for new in sorted(news)]
    pairs = [pair for pair in pairs if pair not in crash_ways.BY_ENGINE]
    cases = [Case("Blender", f">PREPARED {moment}", adding(moment)) for moment in MOMENTS]
    for number, ((old, new), moment) in enumerate(itertools.product(pairs, MOMENTS)):
        if length.name != "short" or number % 4 in (0, 3):
            cases.append(Case("Blender", f"{old}>{new} {moment}", by_hand(old, new, moment)))
    return cases


def killed_hand(house: Harness, place: str, *arguments: str, said: str = "") -> None:
    """Run a process up to its place, and kill it there."""
    environment = {**os.environ, crash_points.VARIABLE: place}
    command = [sys.executable, "-m", "tests.reliability.crash_driver", str(house.home.journal), *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE) as process:
        process.stdin.write(said.encode())
        process.stdin.close()
        halted = psutil.Process(process.pid)
        wait_until(lambda: halted.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE))
        assert halted.status() == psutil.STATUS_STOPPED
        process.kill()


def adding(moment: str) -> Callable[[Scripted], dict]:
    def run(house: Scripted) -> dict:
        house.anew()
        house.find("Blender") or house.open_blender()
        job = house.new_job(CODE, house.api.url)
        killed_hand(house, f">PREPARED {moment}", said=json.dumps(job.to_json()))
        known = {known.id for known in house.journal.all()}
        assert (job.id in known) == (moment == "after")
        end = str(house.ended(job).state) if job.id in known else "never there"
        return {"way": "", "end": end, "POSTs": house.taken(), "said yes": 1, "orphans": len(house.orphans())}

    return run


def by_hand(old: S, new: S, moment: str) -> Callable[[Scripted], dict]:
    def run(house: Scripted) -> dict:
        house.anew()
        house.find("Blender") or house.open_blender()
        job, others = put(house, old, new)
        house.api.taken = is_taken = int(job.sent_at is not None)
        killed_hand(house, f"{old}>{new} {moment}", job.id, new)
        assert house.journal.get(job.id).state is (old if moment == "before" else new)
        house.journal.release(job.id, "another")
        end = crash_ways.end_of(old if moment == "before" else new, is_taken=bool(is_taken))
        if end is S.UNCERTAIN:
            found = wait_until(lambda: rests(house, house.journal.get(job.id)), ENDS_S)
        else:
            found = house.wait_for(job, lambda job: job.state is end)
        orphans = house.orphans()
        house.require_whole()
        assert orphans == []
        assert [other for other in others if house.journal.get(other.id) != other] == []
        posts = house.taken() - is_taken
        assert posts <= (is_taken == 0)
        states = [state for _, state in house.journal.history(job.id)]
        return {"way": " ".join(states[1:]), "end": str(found.state), "POSTs": posts, "said yes": 1, "orphans": 0}

    return run


def put(house: Scripted, old: S, new: S) -> tuple[Job, list[Job]]:
    """Put a job into the journal as it stands in a state, held by another process for the moment."""
    fresh = house.new_job(CODE, house.api.url)
    mesh = house.home.job_folder(fresh.id) / "mesh.obj"
    mesh.write_bytes(house.mesh.read_bytes())
    mesh.with_name("result.blend").write_bytes(house.mesh.read_bytes())
    job = crash_ways.standing(fresh, old, mesh, new)
    others = [other for other in house.journal.all() if not state_machine.is_active(other)]
    house.journal.claim(job.id, "another", time.time(), 25.0)
    return house.journal.add(job, again=True), others


def test_at_each_transition_of_a_user(tmp_path, length):
    """Adding, stopping, retrying, placing, undoing: a kill leaves the job before or after it, to go on from."""
    numbers = itertools.count()

    def make(_lane: int) -> Scripted:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Scripted(folder)

    run_all(hand_cases(length), make)


def test_every_transition_is_tried():
    """Each pair of the table is among the cases, whoever adds one."""
    names = {f"{old}>{new}" for old, news in TRANSITIONS.items() for new in news}

    cases = [case for cases in (main_way_cases, engine_cases, hand_cases) for case in cases(Length("long"))]
    tried = {case.where.split()[0] for case in cases}
    assert names - tried == set()


# --- at random moments


VICTIMS = ("Blender", "worker", "local service", "preparing Blender", "refining Blender")


def random_cases(length) -> list[Case]:
    count = length.choose(short=8, long=500)
    chance = random.Random(SEED)  # noqa: S311 -- to be repeated
    drawn = [(chance.choice(VICTIMS), chance.uniform(0.0, 2.0)) for _ in range(count)]
    return [Case(victim, f"after {moment:.3f} s", at_random(victim, moment)) for victim, moment in drawn]


def at_random(victim: str, moment: float) -> Callable[[Harness], dict]:
    def run(house: Harness) -> dict:
        job = house.new_job(house.session())
        house.open_blender()
        house.journal.add(job, again=True)
        if victim in TOLD:  # there for a third of a second only
            wait_until(lambda: house.find(victim) or house.journal.get(job.id).state is S.READY)
        threading.Event().wait(moment / 8 if victim in TOLD else moment)
        worker = wait_until(lambda: house.find("worker"))
        present = victim if house.find(victim) else "worker"
        killed = present if house.kill(present) else "nobody"
        house.require_whole()
        return {**after_the_kill(house, job, killed, worker), "in fact": "" if killed == victim else killed}

    return run


def test_at_random_moments(tmp_path, length):
    """Seeded, so that a run can be repeated: whoever is killed whenever, the job comes to its result."""
    run_all(random_cases(length), Houses(tmp_path, pace_s=0.3))


# --- with real Blenders in the background, and one that places


def real_cases(length) -> list[Case]:
    victims = itertools.product(("worker", "Blender", "local service"), ("refine", "prepare"))
    pairs = [pair for pair in victims if pair != ("local service", "prepare")]
    working = [Case(who, f"while a real Blender works: {what}", in_the_middle(who, what)) for who, what in pairs]
    own = [
        Case("refining Blender", "while it works, a real one", in_the_middle("refining Blender", "refine")),
        Case("preparing Blender", "while it works, a real one", in_the_middle("preparing Blender", "prepare")),
    ]
    placing = [Case("Blender", f"READY>PLACED {moment}, a real one", while_placing(moment)) for moment in MOMENTS]
    return length.choose(short=[placing[0], working[1]], long=[*placing, *working * 5, *own * 5])


def in_the_middle(victim: str, work: str) -> Callable[[Harness], dict]:
    """Kill as soon as there is a Blender at work, or some tenths of a second later: it reads, computes, writes."""
    who = {"refine": "refining Blender", "prepare": "preparing Blender"}[work]
    moments = itertools.cycle((0.7, 0.1, 1.2, 0.4, 1.0))

    def run(house: Harness) -> dict:
        job = house.new_job(house.session())
        house.open_blender()
        house.journal.add(job, again=True)
        child = wait_until(lambda: house.find(who), ENDS_S)
        worker = house.find("worker")
        threading.Event().wait(next(moments))
        killed = house.kill(victim)
        house.require_whole()
        if victim == {"refine": "local service", "prepare": "worker"}[work] or (victim, work) == ("Blender", "prepare"):
            require_gone(child)
        return after_the_kill(house, job, victim if killed else "nobody", worker)

    return run


def while_placing(moment: str) -> Callable[[Harness], dict]:
    """Kill a Blender that has put the result into its scene, and is writing so down."""

    def run(house: Harness) -> dict:
        code = house.session()
        house.open_window(code, f"READY>PLACED {moment}")
        house.halted("Blender")
        worker = house.find("worker")
        assert house.kill("Blender")
        if worker:
            require_gone(worker)
        house.close_blender()
        house.lapse()
        (job,) = [job for job in house.journal.all() if job.request.session_code == code]
        assert job.state is (S.READY if moment == "before" else S.PLACED)
        command = [sys.executable, "-m", "csm_refine_addon.cli", "place", job.id, "--json"]
        home = {"CSM_REFINE_HOME": str(house.home.folder), "BLENDER_USER_RESOURCES": str(house.tools / "user")}
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **home}, capture_output=True, check=False)
        assert (done.returncode, house.journal.get(job.id).state) == (0, S.PLACED), done.stderr
        orphans = house.orphans()
        house.require_whole()
        assert (orphans, house.posts(code)) == ([], 1)
        return {"way": "READY PLACED", "end": "PLACED", "POSTs": 1, "said yes": 1, "orphans": 0}

    return run


def test_with_real_blenders(tmp_path, length):
    """A Blender that is killed at work leaves nothing half done, and one that is killed placing loses nothing."""
    run_all(real_cases(length), Houses(tmp_path, is_real=True), lanes=2)
