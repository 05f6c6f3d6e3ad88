"""A thousand jobs in the journal, two hundred of them running: what turns, requests, threads and memory come to."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import time
import tracemalloc

import bpy
import psutil
import pytest

from csm_refine_addon.blender.geometry import selection_bounds
from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.blender.scene import object_metadata
from csm_refine_addon.blender.ui import sidebar_visibility
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.jobs.runner import LEASE_S, JobRunner
from csm_refine_addon.core.jobs.worker import Control, Worker
from csm_refine_addon.core.models import LOCAL, Job, JobState as S, RefineRequest, Secret
from csm_refine_addon.core.processes.local_service import LocalService
from csm_refine_addon.core.providers.client_factory import ClientFactory
from csm_refine_addon.core.providers.rate_limit import (
    LOOKS_PER_S,
    PAGE_LIMIT,
    READS_PER_S,
    REQUESTS_PER_S,
    Polling,
    ThrottledClient,
)
from tests.core.harness import Clock, CopyingWorkshop
from tests.reliability import load_harness, load_refines
from tests.support import panel
from tests.support.api_server import KEY, SESSIONS, Api, wait_until

GOAL_MS = 1.0
FIXED_MS = 0.2
"""What the fixed piece of work took in the median on the machine of docs/benchmarks.md, with Python 3.13.

A machine that takes longer for it may take longer for a turn, in the same proportion.
"""
ON_A_BUSY_MACHINE = 2.0
"""How much more a turn may take before the test fails, as others' work slows it down: one that reads all the jobs anew
takes thirty times as long."""
PERIOD = 150
"""Changes from one in which all jobs change to the next."""
GROWTH_LIMIT_KB = 200
KEPT_MB = 0.5
"""For each job that ran at once: its thread's memory, which the allocator keeps for the next ones."""
AT_A_TIME = 5
"""Connections that may be open while something is asked."""
A_DOCUMENT = json.dumps(panel.job(S.PLACED).to_json())
SLACK_S = 12.0
"""For a worker's start on a busy machine."""


@pytest.fixture(scope="module")
def rows(note):
    """What was seen, written down when the last test of this file is done."""
    found = []
    yield found
    note("load", found)


@pytest.fixture
def api():
    with Api() as served:
        yield served


def seen(rows, what: str, value: object, goal: str = "") -> None:
    rows.append({"what": what, "value": value, "goal": goal})


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))]


def test_a_turn_of_the_timer(tmp_path, monkeypatch, length, rows):
    """Of 1,000 jobs 200 change, a few in each turn and now and then all at once: no turn goes through all of them."""
    turns = length.choose(short=600, long=3000)
    with panel.enabled(tmp_path / "home", monkeypatch), panel.journal(tmp_path / "home") as journal:
        journal._connection.execute("PRAGMA synchronous=OFF")
        states = [S.RUNNING] * 200 + [S.PLACED] * 500 + [S.FAILED] * 300
        jobs = [journal.add(panel.job(state, created_at=1e9 + at)) for at, state in enumerate(states)]
        running = [job.id for job in jobs[:200]]
        for job_id in running:  # so that no worker drives them
            journal.claim(job_id, "this test", time.time(), LEASE_S)
        job_monitor.current().press()
        first = watched_turns(until=lambda: len(job_monitor.current().jobs) == len(jobs))
        periods: list[list[Turn]] = [[] for _ in range(turns // PERIOD)]
        for number in range(turns):
            changed = running if number % PERIOD == 50 else [running[(3 * number + at) % 200] for at in range(3)]
            for job_id in changed:
                journal.change(job_id, lambda job: dataclasses.replace(job, polls=job.polls + 1))
            journal.renew(running, "this test", time.time(), LEASE_S)
            sidebar_visibility.note_draw(bpy.context)
            periods[number // PERIOD] += watched_turns(until=lambda: not job_monitor.current()._is_behind)
        assert all(job_monitor.current().jobs[each].polls >= turns // PERIOD for each in running)
    steady = [turn for period in periods for turn in period]
    slowest = percentile([1000 * turn.processor_s for turn in steady], 0.99)
    quietest = min(percentile([1000 * turn.processor_s for turn in period], 0.99) for period in periods)
    slowness = max(1.0, 1000 * statistics.median(turn.fixed_s for turn in steady) / FIXED_MS)
    is_kept = f"{GOAL_MS:.0f}" if slowest < GOAL_MS else f"{GOAL_MS:.0f}: **missed**, on a machine {busy()}"
    seen(rows, "a turn of the timer, 99th percentile, ms of processor", slowest, is_kept)
    seen(rows, f"the same in the best {PERIOD} changes", quietest, f"{GOAL_MS * slowness:.1f} on a machine this slow")
    seen(rows, "the same on the clock of this machine, ms", percentile([1000 * turn.clock_s for turn in steady], 0.99))
    seen(rows, "the same, median", percentile([1000 * turn.clock_s for turn in steady], 0.5))
    seen(rows, "a fixed piece of work beside it, median, of what it takes on the machine of the benchmarks", slowness)
    seen(rows, "turns that read 1,000 jobs at first", len(first))
    assert quietest < GOAL_MS * slowness * ON_A_BUSY_MACHINE


def busy() -> str:
    """How many processes wanted how many processors in the last minute."""
    return f"of {os.cpu_count()} processors with {os.getloadavg()[0]:.0f} processes that wanted one"


@dataclasses.dataclass
class Turn:
    """How long a turn took: of the processor, and on the clock, which other processes hold up, too.

    ``fixed_s`` is the processor's time for a fixed piece of work right after it.
    """

    processor_s: float
    clock_s: float
    fixed_s: float


def watched_turns(until) -> list[Turn]:
    found = []
    while True:
        clock, processor = time.perf_counter(), time.thread_time()
        job_monitor.tick()
        clock, done = time.perf_counter() - clock, time.thread_time()
        for _ in range(10):
            json.loads(A_DOCUMENT)
        found.append(Turn(done - processor, clock, time.thread_time() - done))
        if until():
            return found


def test_the_timers_pauses(tmp_path, monkeypatch, rows):
    """A turn a quarter second while jobs run; when none does, none."""
    with panel.enabled(tmp_path / "home", monkeypatch), panel.journal(tmp_path / "home") as journal:
        jobs = [journal.add(panel.job(state)) for state in (S.RUNNING, S.READY, S.FAILED)]
        journal.claim(jobs[0].id, "this test", time.time(), LEASE_S)
        job_monitor.current().press()
        pauses = {"while a job runs": settled()}
        journal.change(jobs[0].id, lambda job: dataclasses.replace(job, state=S.STOPPED))
        pauses["while none does"] = settled()
    seen(rows, "pause between two turns while jobs run, s", pauses["while a job runs"], "0.25")
    seen(rows, "the same while none does", pauses["while none does"] or "no turn", "no turn")
    assert pauses == {"while a job runs": 0.25, "while none does": None}


def settled() -> float | None:
    """The pause after a turn, with the panel on screen, when the last press is a while ago."""
    sidebar_visibility.note_draw(bpy.context)
    job_monitor.current()._woken_at -= job_monitor.LINGER_S
    wait_until(
        lambda: (
            job_monitor.tick() != job_monitor.AT_ONCE_S
            and not (selection_bounds.is_stale() or object_metadata.is_stale())
        )
    )
    return job_monitor.tick()


def test_many_running_refines(tmp_path, api, length, rows):
    """They are all looked at, in time, with never more than a set rate of requests, and fewer requests than looks."""
    running, on_the_page = length.choose(short=(60, 40), long=(200, PAGE_LIMIT))
    home = DataDir(tmp_path / "home").ensure()
    load_harness.serve(api, running, on_the_page)
    jobs = load_harness.fill(home, api.url, running)
    worker = load_harness.start_worker(home, service=api.url)
    began = time.monotonic()
    late_s = max(running / LOOKS_PER_S, (running - on_the_page + 5) / READS_PER_S)
    try:
        with JobStore(home.journal) as journal:
            wait_until(lambda: all(journal.get(job.id).polls for job in jobs), late_s + SLACK_S)
            took_s = time.monotonic() - began
            assert {journal.get(job.id).state for job in jobs} == {S.RUNNING}
        process, threads = psutil.Process(worker.pid), load_harness.threads_of(worker.pid)
        memory, processor_s = process.memory_info().rss / 2**20, sum(process.cpu_times()[:2])
    finally:
        worker.stdin.close()
        assert worker.wait(20) == 0
    times, kinds = [request.at for request in api.seen], load_harness.kinds(api)
    seen(rows, "running refines", running)
    seen(rows, "until each was looked at, s", took_s, f"{late_s:.0f} and a worker's start")
    seen(rows, "requests, in lists and single", f"{kinds['list']} and {kinds['single']}", f"fewer than {running}")
    seen(rows, "most requests in a second", load_harness.most_in_a_second(times), f"{2 * REQUESTS_PER_S:.0f}")
    seen(rows, "requests a second over all", len(times) / took_s, f"{REQUESTS_PER_S:.0f}")
    seen(rows, "threads of the worker", threads)
    seen(rows, "memory of the worker, MB", memory)
    seen(rows, "processor of the worker, share of one core", processor_s / took_s)
    assert len(times) <= REQUESTS_PER_S * (1 + max(times) - min(times))
    assert load_harness.most_in_a_second(times) <= 2 * REQUESTS_PER_S
    assert kinds["list"] >= 1
    assert len(times) < running


def test_refines_of_the_local_service(tmp_path, length, rows):
    """All run at once and come to their end: sent once each, at the set rate, on no kept connection."""
    count, sent = length.choose(short=(30, 4), long=(200, 200))
    home = DataDir(tmp_path / "home").ensure()
    with contextlib.closing(load_refines.Refines(home, count)) as service, JobStore(home.journal) as journal:
        codes = [service.session() for _ in range(count)]
        worker = load_harness.start_worker(home, str(service.program))
        try:
            first = journal.add(load_refines.ordered(service, service.session()))
            wait_until(lambda: journal.get(first.id).state is S.READY, 2 * SLACK_S)
            process, before = psutil.Process(worker.pid), memory_mb(worker.pid)
            with service.held():
                jobs = [load_refines.ordered(service, code) for code in codes[sent:]]
                jobs += [new_job(RefineRequest(code), LOCAL, now=time.time()) for code in codes[:sent]]
                driven_from, began = time.time(), time.monotonic()
                jobs = [journal.add(job) for job in jobs]
                wait_until(lambda: service.running() == count, count + SLACK_S)
                wait_until(lambda: states(journal, jobs) == {S.RUNNING}, count + SLACK_S)
                kept, at_most = len(process.net_connections()), memory_mb(worker.pid)
            wait_until(lambda: states(journal, jobs) <= {S.READY, S.FAILED}, count + SLACK_S)
            took_s = time.monotonic() - began
            ends = states(journal, jobs)
            wait_until(lambda: process.num_threads() <= 4)
            grown = memory_mb(worker.pid) - before
        finally:
            worker.stdin.close()
            assert worker.wait(20) == 0
        asked, signs = (service.asked(driven_from, start) for start in (SESSIONS, "/local/users/"))
        posts = service.posts()
    seen(rows, "refines of the local service that run at once", count, f"{count}")
    seen(rows, "of these sent by the worker", sent)
    seen(rows, "until all were ready, s", took_s)
    seen(rows, "POSTs beyond one for each", sum(posts.values()) - len(posts), "0")
    seen(rows, "most requests in a second, signs of life not counted", load_harness.most_in_a_second(asked), "10")
    seen(rows, "requests a second over all", len(asked) / took_s, f"{REQUESTS_PER_S:.0f}")
    seen(rows, "signs of life a second", len(signs) / took_s, "1 and one in 5 s")
    seen(rows, "connections that the worker keeps meanwhile", kept, f"at most {AT_A_TIME}")
    seen(rows, "memory of the worker while they run, MB more than after one job", at_most - before)
    seen(rows, "the same when all are ready", grown, f"{KEPT_MB * count:.0f}")
    assert ends == {S.READY}
    assert posts == dict.fromkeys([first.request.session_code, *codes], 1)
    assert len(asked) <= REQUESTS_PER_S * (1 + took_s)
    assert load_harness.most_in_a_second(asked) <= 2 * REQUESTS_PER_S
    assert len(signs) <= 3 + 1.2 * took_s
    assert kept <= AT_A_TIME
    assert grown < KEPT_MB * count


def states(journal: JobStore, jobs: list[Job]) -> set[S]:
    return {journal.get(job.id).state for job in jobs}


def memory_mb(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 2**20


def kept_kb() -> float:
    """What is kept, but for the interpreter's table of interned names, which pathlib fills and which grows in leaps."""
    without = tracemalloc.Filter(inclusive=False, filename_pattern="*pathlib*")
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([without]).traces) / 1024


def test_an_hour(tmp_path, api, length, rows):
    """What a worker keeps of its jobs, clients and pages does not grow from minute 10 to minute 60."""
    running = length.choose(short=6, long=60)
    home, clock = DataDir(tmp_path / "home").ensure(), Clock()
    load_harness.serve(api, running, running)
    jobs = load_harness.fill(home, api.url, running, clock())
    services = ClientFactory(
        LocalService(home), key_of=lambda _url: Secret(KEY), is_online=lambda: True, pause=clock.pause
    )
    asking = ThrottledClient(Polling(clock), services, clock.pause)
    worker = Worker(home, Control(), "")
    with JobStore(home.journal) as journal, traced():
        journal._connection.execute("PRAGMA synchronous=OFF")
        workshop = CopyingWorkshop(home)
        engine = JobRunner(journal, home, asking.client, workshop, clock.pause, clock=clock, read_session=asking.look)
        began, at_ten, polls = clock(), 0.0, 0
        while (minutes := int(clock() - began) // 60) < 60:
            for job in jobs:
                polls = journal.get(job.id).polls
                engine.drive(job.id, until=lambda job, before=polls: job.polls > before)
            worker._read_changes(journal)
            api.seen.clear()
            clock.pauses.clear()
            at_ten = at_ten or (kept_kb() if minutes >= 10 else 0.0)
        grown = kept_kb() - at_ten
    seen(rows, "looks at each job in a simulated hour", polls)
    seen(rows, "growth of memory from minute 10 to 60, KB", grown, f"{GROWTH_LIMIT_KB}")
    assert polls > 100
    assert grown < GROWTH_LIMIT_KB


@contextlib.contextmanager
def traced():
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
