"""The journal: shared by all processes, it loses nothing and forgets nothing that was promised."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from csm_refine_addon.core.data_dir import DataDir, resolve_data_dir
from csm_refine_addon.core.errors import InputError, StorageError
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import SCHEMA_VERSION, JobStore
from csm_refine_addon.core.jobs.state_machine import IllegalTransition
from csm_refine_addon.core.models import LOCAL, JobState, RefineRequest
from tests.core import children
from tests.core.harness import NOON

LEASE_S = 15.0
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "journal.sqlite"


@pytest.fixture
def journal(path):
    with JobStore(path) as opened:
        yield opened


@pytest.fixture
def second(path, journal):
    """Another connection, as another process has one."""
    with JobStore(path) as opened:
        yield opened


NUMBERS = itertools.count()


def job(**options):
    """A job of a session of its own."""
    return new_job(RefineRequest(f"SESSION_1_{next(NUMBERS)}"), LOCAL, now=NOON, **options)


# --- jobs


def test_a_job_comes_back_as_it_was(journal, second):
    """What one connection writes another one reads, with its revision."""
    written = journal.add(job(blend_file="/x/ä.blend", source_objects=("a", "b")))
    assert second.get(written.id) == written
    assert second.all() == [written]


def test_two_processes_lose_nothing(path, journal):
    """Two processes that change the same job at once: each change counts, each revision is given once."""
    shared = journal.add(job())
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        for done in [pool.submit(children.count_up, str(path), shared.id, 40) for _ in range(2)]:
            done.result(60)
    assert journal.get(shared.id).polls == 80
    revisions = [found.revision for found in journal.all()]
    assert len(set(revisions)) == len(revisions) == 81
    assert max(revisions) == 161


def test_a_process_that_dies_in_a_change(path, journal):
    """A change that was not finished did not happen, and locks nobody out."""
    written = journal.add(job())
    process = SPAWN.Process(target=children.die_in_a_change, args=(str(path), written.id))
    process.start()
    process.join(30)
    assert process.exitcode == 7
    assert journal.change(written.id, children.one_more).polls == 1


def test_an_exception_takes_the_change_back(journal, second):
    """What raises in the middle leaves journal, revision and history as they were."""
    written = journal.add(job())
    with pytest.raises(KeyboardInterrupt):
        journal.change(written.id, interrupted)
    assert second.get(written.id) == written
    assert second.changes_since(written.revision).jobs == ()
    assert journal.change(written.id, children.one_more).revision == written.revision + 1


def interrupted(job):
    raise KeyboardInterrupt


def test_an_illegal_transition_is_not_written(journal):
    """The table holds for every writer."""
    written = journal.add(job())
    with pytest.raises(IllegalTransition, match="PREPARED -> READY"):
        journal.change(written.id, lambda job: dataclasses.replace(job, state=JobState.READY))
    assert journal.get(written.id) == written


def test_no_change_is_no_write(journal, second):
    """A step that changes nothing wakes no reader."""
    written = journal.add(job())
    version = second.data_version()
    assert journal.change(written.id, lambda job: job) == written
    assert second.data_version() == version


def test_unknown_job(journal):
    """A job that is not there is a sentence that names it."""
    for ask in (journal.get, lambda job_id: journal.change(job_id, children.one_more)):
        with pytest.raises(InputError, match="no job cafe"):
            ask("cafe")


def test_history(journal):
    """Each state a job came into is known with its time, in order; a change within a state is none."""
    written = journal.add(job())
    journal.change(written.id, children.one_more)
    journal.change(written.id, lambda job: state_machine.stopped(job, NOON))
    journal.change(written.id, lambda job: state_machine.retried(job, NOON))
    times, states = zip(*journal.history(written.id), strict=True)
    assert states == ("PREPARED", "STOPPED", "PREPARED")
    assert list(times) == sorted(times)
    assert times[0] > NOON


# --- changes


def test_revisions_grow(journal, second):
    """Every change of any job by anyone gets a higher revision."""
    revisions = []
    for writer in (journal, second) * 3:
        written = writer.add(job())
        revisions += [written.revision, writer.change(written.id, children.one_more).revision]
    assert revisions == sorted(set(revisions))


def test_changes_since(journal, second):
    """A reader gets each changed job once, as it is now, and nothing that it has seen."""
    first, other = journal.add(job()), journal.add(job())
    seen = second.changes_since(0)
    assert {found.id for found in seen.jobs} == {first.id, other.id}
    assert second.changes_since(seen.revision).jobs == ()
    journal.change(first.id, children.one_more)
    journal.change(first.id, children.one_more)
    fresh = second.changes_since(seen.revision)
    assert [(found.id, found.polls) for found in fresh.jobs] == [(first.id, 2)]
    assert fresh.revision > seen.revision


def test_removed(journal, second):
    """A removed job is reported once as such, is gone, and stays known for the clearing of its folder."""
    written = journal.add(job())
    seen = second.changes_since(0).revision
    journal.claim(written.id, "a", NOON, LEASE_S)
    journal.remove(written.id)
    fresh = second.changes_since(seen)
    assert (fresh.jobs, fresh.removed, fresh.revision > seen) == ((), (written.id,), True)
    assert second.changes_since(fresh.revision).removed == ()
    assert second.all() == []
    assert second.changes_since(0).removed == (written.id,)


def test_many_at_once(journal, second):
    """Many jobs are changed, and removed, in one transaction; what is gone, or may not change so, is let be."""
    ids = [journal.add(job()).id for _ in range(5)]
    journal.remove(ids[0])
    journal.change(ids[1], lambda job: dataclasses.replace(job, state=JobState.FAILED))
    seen, transactions = second.changes_since(0).revision, []
    journal._connection.set_trace_callback(lambda said: transactions.append(said) if said == "COMMIT" else None)
    stopped = journal.change_each(ids, lambda job: state_machine.stopped(job, NOON))
    assert (len(transactions), [found.id for found in stopped]) == (1, ids[2:])
    assert second.changes_since(seen).jobs == tuple(stopped)
    seen = second.changes_since(seen).revision
    journal.remove(*ids[1:4])
    assert (len(transactions), second.all()) == (2, stopped[2:])
    assert sorted(second.changes_since(seen).removed) == sorted(ids[1:4])


def test_changes_in_several_parts(journal, second):
    """Read a few at a time, nothing is missed or seen twice, and a removal comes in its turn."""
    ids = [journal.add(job()).id for _ in range(5)]
    journal.remove(ids[1])
    last = journal.add(job()).id
    parts = [second.changes_since(0, 2)]
    while not parts[-1].complete:
        parts.append(second.changes_since(parts[-1].revision, 2))
    assert [found.id for part in parts for found in part.jobs] == [ids[0], *ids[2:], last]
    assert [part.removed for part in parts if part.removed] == [(ids[1],)]
    assert second.changes_since(parts[-1].revision, 2).complete


def test_changes_are_of_one_moment(path, journal):
    """Between its two reads a reader misses nothing: what is written then it sees then, or the next time."""
    first, other = journal.add(job()), journal.add(job())
    seen = journal.changes_since(0).revision
    waiting = [lambda: writer.change(first.id, children.one_more), lambda: writer.remove(other.id)]

    def write_between(statement: str) -> None:
        if "FROM removed" in statement:
            with contextlib.suppress(StorageError):  # where the reader holds the writer off, that is as good
                while waiting:
                    waiting[0]()
                    waiting.pop(0)

    with JobStore(path, busy_timeout_s=0.05) as writer:
        journal._connection.set_trace_callback(write_between)
        one = journal.changes_since(seen)
        journal._connection.set_trace_callback(None)
        for write in waiting:
            write()
    two = journal.changes_since(one.revision)
    assert {found.id for found in (*one.jobs, *two.jobs)} == {first.id}
    assert {*one.removed, *two.removed} == {other.id}


def test_data_version_tells_of_others(journal, second):
    """It differs after another connection wrote, and stays while nobody does."""
    version = second.data_version()
    assert second.data_version() == version
    journal.add(job())
    assert second.data_version() != version


# --- leases


def test_one_owner_at_a_time(journal, second):
    """A lease that is held is refused to others, renewed to its owner, and free once given back."""
    assert journal.claim("j", "a", NOON, LEASE_S)
    assert not second.claim("j", "b", NOON + 14, LEASE_S)
    assert journal.claim("j", "a", NOON + 14, LEASE_S)
    assert not second.claim("j", "b", NOON + 28, LEASE_S)
    journal.release("j", "a")
    assert second.claim("j", "b", NOON + 28, LEASE_S)


def test_a_lease_runs_out(journal, second):
    """Whoever stood still for too long has lost it, and is told when it asks."""
    assert journal.claim("j", "a", NOON, LEASE_S)
    assert second.claim("j", "b", NOON + LEASE_S + 0.1, LEASE_S)
    assert not journal.claim("j", "a", NOON + LEASE_S + 0.2, LEASE_S)
    journal.release("j", "a")
    assert not journal.claim("j", "a", NOON + LEASE_S + 0.3, LEASE_S)


def test_renew_holds_what_an_owner_is_at_work_on(journal, second):
    """Renewing keeps the leases that are named, where they are the owner's; one that was not given back runs out."""
    for name, owner in (("j", "a"), ("k", "a"), ("l", "b"), ("m", "a")):
        assert journal.claim(name, owner, NOON, LEASE_S)
    journal.renew("jkl", "a", NOON + 14, LEASE_S)
    assert [second.claim(name, "c", NOON + 20, LEASE_S) for name in "jklm"] == [False, False, True, True]


@pytest.mark.parametrize(("set_back_s", "is_free"), [(10.0, False), (3600.0, True)])
def test_a_clock_that_is_set_back(journal, second, set_back_s, is_free):
    """A lease of the far future is no lease: an hour back does not lock a job for an hour."""
    assert journal.claim("j", "a", NOON, LEASE_S)
    assert second.claim("j", "b", NOON - set_back_s, LEASE_S) is is_free


def test_many_processes_want_one_job(path, journal):
    """Of all that ask at once exactly one gets it."""
    with ProcessPoolExecutor(3, mp_context=SPAWN) as pool:
        asked = [pool.submit(children.claim, str(path), "j", f"owner {number}", NOON) for number in range(6)]
        assert sorted(answer.result(60) for answer in asked) == [False] * 5 + [True]


# --- what cannot be used


def test_a_newer_schema(path):
    """A journal of a newer version is left alone, with a sentence that says what to do."""
    JobStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StorageError, match="newer version") as caught:
        JobStore(path)
    assert "Update" in caught.value.action


def test_not_a_database(path):
    """A file that is something else is kept aside, and told once; tests/reliability/test_job_stores.py has the rest."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is a letter, not a journal " * 100)
    with JobStore(path) as opened:
        assert [len(opened.take_notices()), len(opened.take_notices())] == [1, 0]
    (aside,) = path.parent.glob("journal.corrupt-*.sqlite")
    assert aside.read_bytes().startswith(b"this is a letter")


def test_a_job_of_another_version(path, journal):
    """What another version may have written is no damage: it stays, with a sentence, and hides no other job."""
    written = journal.add(job())
    journal._connection.execute("UPDATE jobs SET document = replace(document, 'PREPARED', 'QUEUED')")
    other = journal.add(job())
    assert journal.all() == [other]
    with pytest.raises(StorageError, match="another version"):
        journal.get(written.id)
    assert not list(path.parent.glob("journal.corrupt-*"))


def test_a_folder_that_cannot_be(tmp_path):
    """A journal below a file, or where a folder stands, is a sentence."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file" / "journal.sqlite", tmp_path / "folder"):
        with pytest.raises(StorageError):
            JobStore(place)


def test_opening_keeps_the_locks_of_this_process(path, journal):
    """A thread that opens the journal does not take the lock away from a transaction of another thread."""
    journal.add(job())
    write = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
    with journal._transaction():
        with JobStore(path):
            pass
        other = subprocess.run([sys.executable, "-c", write], capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr


def test_a_locked_journal(path, journal):
    """Another process's endless transaction is a sentence after the time-out, not a wait for ever."""
    written = journal.add(job())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        journal._connection.execute("PRAGMA busy_timeout = 50")
        for ask in (lambda: journal.get(written.id), lambda: journal.change(written.id, children.one_more)):
            with pytest.raises(StorageError, match="locked"):
                ask()
    assert journal.change(written.id, children.one_more).polls == 1


def test_a_full_disk(journal):
    """A write that finds no room is a sentence; the journal stays as it was and works again later."""
    written = journal.add(job())
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        add_many(journal)
    journal._connection.execute("PRAGMA max_page_count = 100000")
    assert journal.change(written.id, children.one_more).polls == 1


def add_many(journal):
    for _ in range(200):
        journal.add(job(blend_file="x" * 4000))


def test_a_thread_has_its_own(journal):
    """A connection used on another thread is refused, as SQLite wants it."""
    caught = []

    def use() -> None:
        with pytest.raises(StorageError) as error:
            journal.all()
        caught.append(error.value)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert caught


# --- the folder


def test_home_that_cannot_be_written(tmp_path):
    """A home below a file is found out before anything is sent, with the variable in the sentence."""
    (tmp_path / "file").write_text("")
    home = DataDir(tmp_path / "file" / "home")
    for ask in (home.ensure, lambda: home.job_folder("j")):
        with pytest.raises(StorageError, match="cannot be written") as caught:
            ask()
        assert "CSM_REFINE_HOME" in caught.value.action


@pytest.mark.parametrize("named", ["~nobody_of_this_name/x", "relative/x"])
def test_home_that_is_named(monkeypatch, named):
    """Whatever the variable says becomes an absolute folder; no name of it raises."""
    monkeypatch.setenv("CSM_REFINE_HOME", named)
    assert resolve_data_dir().folder.is_absolute()


def test_home_of_the_platform(monkeypatch, tmp_path):
    """Without the variable it is the given folder, else one of the user's."""
    monkeypatch.delenv("CSM_REFINE_HOME")
    assert resolve_data_dir(tmp_path).folder == tmp_path
    assert resolve_data_dir().folder.name == "csm_refine"


def test_what_others_hold(journal, second):
    """Asked for all jobs at once, as claiming each would find: nothing of one's own, nothing that has lapsed."""
    for name, owner, at in (("mine", "a", NOON), ("theirs", "b", NOON), ("lapsed", "b", NOON - 2 * LEASE_S)):
        assert second.claim(name, owner, at, LEASE_S)
    assert journal.held_by_others("a", NOON, LEASE_S) == {"theirs"}
    second.claim("of a clock that was set", "b", NOON + 10 * LEASE_S, LEASE_S)
    found = journal.held_by_others("a", NOON, LEASE_S)
    assert found == {"theirs"}
    assert all(journal.claim(name, "a", NOON, LEASE_S) is (name not in found) for name in ("mine", "theirs", "lapsed"))
