"""Journals that are not as they should be: old, new, damaged, emptied, locked. Kept aside, never deleted; told once."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import InputError, JobStoreBusy, StorageError
from csm_refine_addon.core.jobs import state_machine, worker
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import SCHEMA_VERSION, JobStore
from csm_refine_addon.core.jobs.lookups import Lookup, LookupKind
from csm_refine_addon.core.models import JobState, RefineRequest, Secret
from tests.core import harness as core_house
from tests.core.harness import copying_blender
from tests.reliability import crash_children
from tests.support.api_server import CODE, KEY, Answer, Api, refine_ack, wait_until
from tests.support.repository import ROOT

JOBS = 60
SPAWN = multiprocessing.get_context("spawn")
OLD_SCHEMAS = {
    1: """
        CREATE TABLE jobs (id TEXT PRIMARY KEY, revision INTEGER NOT NULL, document TEXT NOT NULL);
        CREATE INDEX jobs_revision ON jobs (revision);
        CREATE TABLE history (job TEXT NOT NULL, revision INTEGER NOT NULL, at REAL NOT NULL, state TEXT NOT NULL);
        CREATE TABLE removed (job TEXT PRIMARY KEY, revision INTEGER NOT NULL);
        CREATE TABLE leases (job TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL);
        CREATE TABLE counter (revision INTEGER NOT NULL);
        INSERT INTO counter VALUES (1);
    """,
}
OLD_SCHEMAS[2] = f"""{OLD_SCHEMAS[1]}
    CREATE TABLE lookups (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, asked_at REAL NOT NULL,
      answered_at REAL NOT NULL, document TEXT NOT NULL);
"""
OLD_FIELDS = ("id", "request", "service", "created_at", "timeout_s", "deadline_at", "revision", "state", "sent_at")
"""What the first version knew of a job, by far not all of what is known now."""
ROWS: list[dict] = []


@pytest.fixture(scope="module", autouse=True)
def table(note):
    yield
    note("journals", ROWS)


@pytest.fixture
def home(tmp_path):
    return DataDir(tmp_path / "home").ensure()


@pytest.fixture
def seen(home):
    """A row of the page about this test, with how long it took."""
    started, row = time.monotonic(), {}
    yield row
    ROWS.append({**row, "kept as": ", ".join(path.name for path in aside(home)), "seconds": time.monotonic() - started})


def filled(home: DataDir, count: int = JOBS) -> list:
    """A journal with jobs in several states, some of them changed since, some removed."""
    with JobStore(home.journal) as journal, fast(journal):
        jobs = [journal.add(crash_children.job(f"http://127.0.0.1:1/{number}"), again=True) for number in range(count)]
        for number, job in enumerate(jobs):
            for step in crash_children.STEPS[: number % (len(crash_children.STEPS) + 1)]:
                journal.change(job.id, step)
        for job in jobs[::20]:
            journal.remove(job.id)
        return journal.all()


@contextlib.contextmanager
def fast(journal: JobStore):
    """Without the wait for the disk, which is no part of what a test looks at."""
    journal._connection.execute("PRAGMA synchronous=OFF")
    yield


def aside(home: DataDir) -> list[Path]:
    return sorted(home.folder.glob("journal.corrupt-*.sqlite"))


def is_intact(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def cli(home: DataDir, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "csm_refine_addon.cli", *arguments]
    environment = {**os.environ, "CSM_REFINE_HOME": str(home.folder)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


# --- older and newer


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_an_older_version(home, seen, version):
    """A journal of each earlier version is taken over with its jobs: they are read, changed, followed by new ones."""
    old = {name: value for name, value in crash_children.job("http://x").to_json().items() if name in OLD_FIELDS}
    with contextlib.closing(sqlite3.connect(home.journal)) as connection, connection:
        connection.executescript(OLD_SCHEMAS[version] + f"PRAGMA user_version = {version};")
        connection.execute("INSERT INTO jobs VALUES (?, 1, ?)", (old["id"], json.dumps(old)))
    with JobStore(home.journal) as journal:
        assert [job.id for job in journal.all()] == [old["id"]]
        assert journal.change(old["id"], lambda job: state_machine.stopped(job, 1.0)).revision == 2
        journal.add(crash_children.job("http://x"))
        assert journal.take_notices() == []
    assert (is_intact(home.journal), user_version(home.journal)) == (True, SCHEMA_VERSION)
    seen |= {"journal": f"of version {version}", "came of it": "taken over", "jobs": "1 of 1"}


def test_a_newer_version(home, seen):
    """A journal of a newer version stays as it is, byte for byte; the sentence says what to do."""
    filled(home, 3)
    with contextlib.closing(sqlite3.connect(home.journal)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = home.journal.read_bytes()
    done = cli(home, "jobs", "--json")
    said = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, "newer version" in said["message"], "Update" in said["action"]) == (2, True, True)
    assert home.journal.read_bytes() == before
    seen |= {"journal": "of a newer version", "came of it": "left as it is", "told": said["message"].partition("/")[0]}


def user_version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


# --- damaged


def cut_to(part: float):
    return lambda content: content[: int(len(content) * part)]


def overwritten(start: float, size: int):
    def spoil(content: bytes) -> bytes:
        at = int(len(content) * start)
        return content[:at] + bytes(range(1, 256)) * (size // 255 + 1) + content[at + (size // 255 + 1) * 255 :]

    return spoil


def row_overwritten(content: bytes) -> bytes:
    """SQLite finds nothing wrong with a row whose text is another one."""
    at = content.rindex(b'"session_code"')
    return content[:at] + b"?" * 14 + content[at + 14 :]


DAMAGE = {
    "cut in the middle": (cut_to(0.5), 0.1),
    "cut to its first page": (lambda content: content[:4096], 0.0),
    "cut to 100 bytes": (lambda content: content[:100], 0.0),
    "garbage in the middle": (overwritten(0.5, 8000), 0.7),
    "garbage at the end": (overwritten(0.9, 5000), 0.5),
    "garbage in one row": (row_overwritten, 0.95),
    "garbage as its head": (overwritten(0.0, 200), 0.95),
    "garbage as its first pages": (overwritten(0.0, 8192), 0.8),
    "zeros": (lambda content: bytes(len(content)), 0.0),
    "a letter": (lambda content: b"this is a letter, not a journal " * 100, 0.0),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged(home, seen, kind):
    """It is kept as it was under a name with the date; what can be read stands in a new one; the user is told once."""
    spoil, least = DAMAGE[kind]
    before = {job.id: job for job in filled(home)}
    damaged = spoil(home.journal.read_bytes())
    home.journal.write_bytes(damaged)
    saved, told = opened_twice(home)
    assert [path.read_bytes() for path in aside(home)] == [damaged]
    assert is_intact(home.journal)
    assert len(saved) >= least * len(before)
    assert len(told) == 1
    assert f"kept as {aside(home)[0].name}" in told[0]
    assert not [job for job in saved if job.state is JobState.PREPARED]
    assert all_as_known(saved, before)
    jobs = f"{len(saved)} of {len(before)}"
    seen |= {"journal": kind, "came of it": "a new one", "jobs": jobs, "told": told[0].partition(".")[0]}


def opened_twice(home: DataDir):
    """The jobs and sentences of two that open the journal one after the other; damage in a row shows in use only."""
    told = []
    for _ in range(3):
        with contextlib.suppress(StorageError), JobStore(home.journal) as journal:
            saved = journal.all()
            told += journal.take_notices()
    return saved, told


def all_as_known(saved, before) -> bool:
    """Each is a job that there was; one that was not yet sent is stopped, with a sentence, for Retry to send it."""
    for job in saved:
        known = before.get(job.id)
        if job.state is JobState.STOPPED and job.error:
            assert state_machine.retry_state(job) is JobState.PREPARED
        elif known and job.request != known.request:
            return False
    return True


def test_damaged_while_in_use(home, seen):
    """Whoever has it open gets a sentence, mends it, and finds the jobs when it opens it again; others see it, too."""
    before = filled(home)
    with JobStore(home.journal) as first, JobStore(home.journal) as second:
        first.all(), second.all()
        damaged = bytearray(overwritten(0.3, 30_000)(home.journal.read_bytes()))
        damaged[27] ^= 1  # the file's change counter: pages that are held in memory are read anew
        home.journal.write_bytes(damaged)
        with pytest.raises(StorageError, match="damaged"):
            first.all()
        with pytest.raises(StorageError, match="there is a new one"):
            second.add(crash_children.job("http://x"))
    with JobStore(home.journal) as journal:
        assert len(journal.take_notices()) == 1
        saved = len(journal.all())
    assert len(aside(home)) == 1
    seen |= {"journal": "garbage while open", "came of it": "a new one", "jobs": f"{saved} of {len(before)}"}


def test_emptied(home, seen):
    """An empty file where there were jobs: nothing can be saved, but it is said."""
    filled(home, 3)
    home.job_folder("x")
    home.journal.write_bytes(b"")
    done = cli(home, "jobs")
    assert (done.returncode, done.stdout.strip(), "empty" in done.stderr) == (0, "", True)
    assert is_told(home)
    seen |= {"journal": "emptied", "came of it": "a new one", "jobs": "0 of 3", "told": done.stderr.partition(":")[0]}


def test_the_command_line_tells(home):
    """A command goes on with what was saved, and tells on stderr; stdout stays for results."""
    filled(home)
    home.journal.write_bytes(overwritten(0.0, 200)(home.journal.read_bytes()))
    done = cli(home, "jobs", "--json")
    assert (done.returncode, len(json.loads(done.stdout)["jobs"])) == (0, JOBS - 3)
    assert "was damaged" in done.stderr
    assert is_told(home)


def is_told(home: DataDir) -> bool:
    with JobStore(home.journal) as journal:
        return journal.take_notices() == []


def test_found_by_several_at_once(home, seen, length):
    """Processes that find the damage at once: one keeps it aside, and none loses what another writes into the new."""
    rounds = length.choose(short=2, long=60)
    with ProcessPoolExecutor(4, mp_context=SPAWN) as pool:
        for number in range(rounds):
            filled(home, 20)
            home.journal.write_bytes(overwritten(0.0, 200)(home.journal.read_bytes()))
            writing = [pool.submit(crash_children.open_and_add, str(home.journal)) for _ in range(4)]
            added = {job_id for done in writing for job_id in done.result(60)}
            with JobStore(home.journal) as journal:
                found = {job.id for job in journal.all()}
            assert (len(added), added - found, len(aside(home))) == (20, set(), number + 1)
    seen |= {"journal": f"found damaged by 4 processes at once, {rounds} times", "came of it": "one new one each time"}


def test_killed_while_mending(home, seen):
    """Killed at any step of it: the next one mends, and the damaged one is kept."""
    before = filled(home)
    damaged = overwritten(0.0, 200)(home.journal.read_bytes())
    home.journal.write_bytes(damaged)
    for step in ("shutil.copyfile", "sqlite3.connect", "os.rename", "os.remove"):
        process = SPAWN.Process(target=crash_children.open_and_die, args=(str(home.journal), step))
        process.start()
        process.join(30)
        assert process.exitcode in (-signal.SIGKILL, 0)
    with JobStore(home.journal) as journal:
        assert len(journal.all()) == len(before)
    assert all(path.read_bytes() in (damaged, b"") for path in aside(home))
    assert damaged in [path.read_bytes() for path in aside(home)]
    seen |= {"journal": "killed while mending", "came of it": "a new one", "jobs": f"{len(before)} of {len(before)}"}


def test_killed_in_the_middle_of_a_write(home, seen):
    """A rollback journal that a kill left behind, with the file half written: SQLite itself takes it back."""
    before = filled(home)
    whole = home.journal.read_bytes()
    process = SPAWN.Process(target=crash_children.die_half_written, args=(str(home.journal),))
    process.start()
    process.join(30)
    hot = home.journal.with_name("journal.sqlite-journal")
    assert (process.exitcode, hot.stat().st_size > 512, home.journal.read_bytes() == whole) == (-9, True, False)
    with JobStore(home.journal) as journal:
        assert journal.all() == before
        assert journal.take_notices() == []
    assert (is_intact(home.journal), hot.exists(), aside(home)) == (True, False, [])
    jobs = f"{len(before)} of {len(before)}"
    seen |= {"journal": "half written by a killed process", "came of it": "taken back by SQLite", "jobs": jobs}


# --- with those who use it


class Following:
    """A worker as Blender keeps it, on a home, against a served API."""

    def __init__(self, home: DataDir, api: Api) -> None:
        self.home, self.api = home, api
        blender = copying_blender(home.folder)
        with home.worker_log.open("ab") as log:
            self.process = worker.start(home, sys.executable, str(blender), stdout=log, stderr=log)
        self.process.stdin.write(worker.control_line(True, {"": Secret(KEY)}, 20.0, chosen=(api.url,)))
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def add(self):
        with JobStore(self.home.journal) as journal:
            return journal.add(new_job(RefineRequest(CODE), self.api.url, now=time.time(), poll_s=(0.05, 0.1)))

    def ended(self, job):
        with JobStore(self.home.journal, busy_timeout_s=20.0) as journal:
            ends = (JobState.READY, JobState.FAILED)
            return wait_until(lambda: (found := journal.get(job.id)).state in ends and found, 40)


def test_damaged_in_the_middle_of_a_refine(home, seen):
    """A job that was sent and saved is followed to its end by the next worker; nothing is sent again."""
    with Api() as api:
        api.taken = 1
        with JobStore(home.journal) as journal:
            job = journal.add(new_job(RefineRequest(CODE), api.url, now=time.time(), poll_s=(0.05, 0.1)))
            for step in crash_children.STEPS[:3]:
                journal.change(job.id, step)
        home.journal.write_bytes(overwritten(0.0, 200)(home.journal.read_bytes()))
        with Following(home, api) as following:
            assert (following.ended(job).state, api.refines) == (JobState.READY, [])
    seen |= {"journal": "garbage as its head, a refine running", "came of it": "followed on, 0 POSTs", "jobs": "1 of 1"}


def test_locked_for_longer_than_anyone_waits(home, seen):
    """Locked just as the service answers a POST: sentences, no end of anything, and the POST is not sent again."""
    with Api() as api:
        lock = Lock(home.journal)
        answer = refine_ack().body
        api.posts = [Answer(200, lambda api: (lock.take(), answer)[1])]
        with Following(home, api) as following:
            job = following.add()
            wait_until(lock.taken.is_set)
            done = cli(home, "jobs")  # waits for 5 s, and gives up
            lock.hold(1.0)
            found = following.ended(job)
            assert following.process.poll() is None
            states = history(home, job)
        assert (done.returncode, "locked by another process" in done.stderr) == (2, True)
        assert (found.state, len(api.refines), "UNCERTAIN" in states) == (JobState.READY, 1, True)
    seen |= {"journal": "locked for 6 s, from the POST on", "came of it": "looked up, followed on, 1 POST"}
    seen |= {"jobs": "1 of 1", "told": "is locked by another process"}


def test_locked_while_a_refine_is_followed(tmp_path, seen):
    """A look at the session that cannot be written down fails no job: it is taken again when the lock is gone."""
    with Api() as api, core_house.Harness(tmp_path / "home", api) as house:
        house.journal._connection.execute("PRAGMA busy_timeout = 400")
        lock = Lock(house.home.journal)
        shown = api.after[0].body
        free_again = threading.Timer(0.6, lock.hold, [0.0])  # before a second try would give up
        api.after[0] = Answer(200, lambda api: (lock.take(), free_again.start(), shown(api))[2])
        job = house.add()
        with pytest.raises(JobStoreBusy):
            house.drive(job)
        lock.given.wait(10)
        assert house.journal.get(job.id).state is JobState.RUNNING
        assert (house.drive(job).state, len(api.refines)) == (JobState.READY, 1)
    seen |= {"journal": "locked while a refine is followed", "came of it": "looked at again", "jobs": "1 of 1"}


class Lock:
    """Holds a journal as another process's endless transaction does; taken and given back on a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.taken, self._give_back, self.given = threading.Event(), threading.Event(), threading.Event()

    def take(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()
        assert self.taken.wait(10)

    def hold(self, seconds: float) -> None:
        threading.Event().wait(seconds)
        self._give_back.set()
        assert self.given.wait(10)

    def _run(self) -> None:
        with contextlib.closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            self.taken.set()
            self._give_back.wait(60)
            connection.execute("COMMIT")
        self.given.set()


def history(home: DataDir, job) -> list[str]:
    with JobStore(home.journal) as journal:
        return [state for _, state in journal.history(job.id)]


def test_a_removed_job_stays_removed(home):
    """What the user removed does not come back out of the free pages of a damaged file."""
    with JobStore(home.journal) as journal:
        kept, gone = (journal.add(crash_children.job("http://x"), again=True) for _ in range(2))
        journal.remove(gone.id)
    left = json.dumps(gone.to_json()).encode()  # as an SQLite does that overwrites no free page
    home.journal.write_bytes(row_overwritten(home.journal.read_bytes()) + left)
    saved, told = opened_twice(home)
    assert (len(told), saved) == (1, [])
    with JobStore(home.journal) as journal:
        for lost in (kept, gone):
            with pytest.raises(InputError):
                journal.get(lost.id)


def test_a_damaged_look_up(home):
    """Where what was asked about a session is no JSON any more, that is damage, too: the jobs come into a new one."""
    with JobStore(home.journal) as journal:
        kept = state_machine.stopped(crash_children.job("http://x"), 1.0)
        journal.add(kept)
        journal.add_lookup(Lookup(LookupKind.LIST, "local", "0", 1.0))
    with contextlib.closing(sqlite3.connect(home.journal)) as connection, connection:
        connection.execute("UPDATE lookups SET document = '{'")
    with JobStore(home.journal) as journal, pytest.raises(StorageError, match="damaged"):
        journal.lookups_since(0)
    with JobStore(home.journal) as journal:
        assert [job.id for job in journal.all()] == [kept.id]
        assert (journal.lookups_since(0), len(journal.take_notices())) == ([], 1)
