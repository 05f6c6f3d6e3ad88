"""Looking sessions up: through the journal, by a real worker, with their pictures, and without key or address in it."""

from __future__ import annotations

import dataclasses
import sqlite3
import time

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import lookups
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import SCHEMA_VERSION, JobStore
from csm_refine_addon.core.jobs.lookups import LOOKUP_LIMIT_S, Lookup, LookupKind
from csm_refine_addon.core.models import LOCAL, RefineRequest, RemoteKind, Secret
from csm_refine_addon.core.providers import csm_schema
from csm_refine_addon.core.providers.client import Client
from tests.core.test_worker import Workers
from tests.support.api_server import ACCOUNT, CODE, KEY, SESSIONS, Answer, envelope, refusal, session_2024, wait_until

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 10
OTHER = "SESSION_1700000000_1234567"
NOW = 1_700_000_000.0


def question(service, kind=LookupKind.SESSION, text=CODE, asked_at=None) -> Lookup:
    return Lookup(kind, service, text, time.time() if asked_at is None else asked_at)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home" / "thumbnails"


@pytest.fixture
def client(api):
    with_key = Client(api.url, Secret(KEY), is_online=lambda: True, timeout_s=20.0)
    yield with_key
    with_key.close()


@pytest.fixture
def journal(tmp_path):
    with JobStore(tmp_path / "home" / "journal.sqlite") as opened:
        yield opened


@pytest.fixture
def workers(tmp_path, api, monkeypatch):
    monkeypatch.setenv("CSM_API_KEY", KEY)
    opened = Workers(DataDir(tmp_path / "home").ensure(), api)
    yield opened
    opened.close()


def shows_a_picture(api, content=PNG) -> None:
    """The session has a picture in the storage, whose address is signed anew each time."""
    api.storage.put("image.png", content)
    api.before = [
        Answer(body=lambda api: session_2024("preview_done", image_url=api.storage.signed("image.png")).body(api))
    ]


def listed(*codes, **changes):
    return [{"session_code": code, "status": "preview_done", **changes} for code in codes]


# --- the answer


def test_a_session_is_seen_with_its_stage_and_age(client, api, folder):
    """The service's word, its meaning, and when it was made: as the service says, else as the code says."""
    (seen,) = lookups.run(client, question(api.url), folder, NOW).sessions
    assert (seen.code, seen.status.word, seen.status.kind) == (CODE, "preview_done", RemoteKind.REFINABLE)
    assert (seen.made_at, seen.seen_at) == (1689256797.0, NOW)
    api.before = [session_2024("preview_done", created_at="2025-01-01T00:00:00.000Z")]
    (seen,) = lookups.run(client, question(api.url), folder, NOW).sessions
    assert seen.made_at == 1735689600.0


@pytest.mark.parametrize(
    ("status", "code"), [(404, "session_unknown"), (401, "key_refused"), (500, "service_unreachable")]
)
def test_a_refusal_is_an_answer(client, api, folder, status, code):
    """What the service refuses is kept as a sentence with its cure."""
    api.before = [refusal(status, "No.")]
    given = lookups.run(client, question(api.url), folder, NOW).apply_to(question(api.url), NOW)
    assert given.error.code == code
    assert given.error.message
    assert given.error.action


def test_what_was_seen_stays_when_the_service_is_out_of_reach(client, api, folder):
    """A network that is away takes nothing from the panel; a session that is gone does."""
    seen = lookups.run(client, question(api.url), folder, NOW).apply_to(question(api.url), NOW)
    api.before = [refusal(503)]
    assert lookups.run(client, seen, folder, NOW).apply_to(seen, NOW).sessions == seen.sessions
    api.before = [refusal(404)]
    assert lookups.run(client, seen, folder, NOW).apply_to(seen, NOW).sessions == ()


def test_a_list_leaves_out_what_is_deleted_or_no_session(client, api, folder):
    """Only what could be refined by its code is listed; a full page stays a full page."""
    rows = [*listed(CODE), *listed(OTHER, is_deleted=True), *listed(*["not a code"] * 7), "nonsense"]
    api.others[SESSIONS] = [Answer(body=envelope({"results": rows}))]
    given = lookups.run(client, question(api.url, LookupKind.LIST, "0"), folder, NOW)
    assert [session.code for session in given.sessions] == [CODE]
    assert given.is_full
    assert api.seen[-1].query == "limit=10"
    lookups.run(client, question(api.url, LookupKind.LIST, "2"), folder, NOW)
    assert api.seen[-1].query == "limit=10&page=2"


@pytest.mark.parametrize("data", [{}, None, {"results": "none"}, "text"])
def test_no_list_is_no_empty_list(data):
    """An answer without a list is an error, so that nobody believes to have no sessions."""
    with pytest.raises(csm_schema.ServiceUnreachable, match="list of sessions"):
        csm_schema.read_sessions(csm_schema.Reply(200, "", data))


# --- pictures


def picture_of(client, api, folder):
    given = lookups.run(client, question(api.url), folder, NOW)
    return lookups.fetch_thumbnail(client, given.pictures[CODE], folder)


def test_a_picture_is_fetched_once_and_without_the_key(client, api, folder):
    """The picture's host gets no key; the file is named by a hash, and is there for the next look-up."""
    shows_a_picture(api)
    name = picture_of(client, api, folder)
    assert (folder / name).read_bytes() == PNG
    assert "x-api-key" not in api.storage.seen[-1].headers
    again = lookups.run(client, question(api.url), folder, NOW)
    assert (again.sessions[0].thumbnail, again.pictures, len(api.storage.seen)) == (name, {}, 1)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("start", "ending"),
    [
        (b"\xff\xd8\xff", ".jpg"),
        (b"GIF89a", ".gif"),
        (b"RIFF\0\0\0\0WEBP", ".webp"),
        (b"<?xml ", ""),
        (b"RIFF1234WAVE", ""),
    ],
)
def test_only_pictures_are_kept(client, api, folder, start, ending):
    """What is kept is judged by its first bytes, whatever it is called."""
    shows_a_picture(api, start + b"rest")
    name = picture_of(client, api, folder)
    assert name.endswith(ending)
    assert bool(name) == bool(ending)


def test_a_picture_has_a_limit(client, api, folder):
    """More than 5 MB is no thumbnail; nothing is left of it."""
    shows_a_picture(api, PNG + bytes(5 * 1024 * 1024))
    assert picture_of(client, api, folder) == ""
    assert not folder.exists()


def test_old_pictures_go(folder):
    """What nobody has asked for in a long time is deleted."""
    folder.mkdir(parents=True)
    (folder / "old.png").write_bytes(PNG)
    lookups.forget_thumbnails(folder, time.time() - 60)
    assert (folder / "old.png").exists()
    lookups.forget_thumbnails(folder, time.time() + 60)
    assert not (folder / "old.png").exists()


# --- the journal


def test_a_question_is_open_until_it_is_answered_or_too_old(journal):
    """Nobody answers what was asked a minute ago; an answer closes a question, and asking again opens it."""
    asked = journal.add_lookup(question("s", asked_at=NOW))
    assert [each.key for each in journal.open_lookups(NOW + 1)] == [asked.key]
    assert asked.is_open(NOW + 1)
    assert journal.open_lookups(NOW + LOOKUP_LIMIT_S) == []
    assert not asked.is_open(NOW + LOOKUP_LIMIT_S)
    journal.update_lookup(asked.key, lambda found: lookups.Answer().apply_to(found, NOW + 2))
    assert journal.open_lookups(NOW + 3) == []
    journal.add_lookup(question("s", asked_at=NOW + 4))
    assert len(journal.open_lookups(NOW + 5)) == 1


def test_an_answer_stays_when_it_is_asked_again(journal, client, api, folder):
    """A stale answer can be shown until the new one is there; it comes back from the file as it was."""
    asked = journal.add_lookup(question(api.url, asked_at=NOW))
    answer = lookups.run(client, asked, folder, NOW)
    journal.update_lookup(asked.key, lambda found: answer.apply_to(found, NOW))
    again = journal.add_lookup(question(api.url, asked_at=NOW + 60))
    assert again.sessions == answer.sessions
    assert journal.lookups_since(0) == [again]
    assert journal.lookups_since(again.revision) == []


def test_an_answer_to_a_forgotten_question_is_lost(journal):
    """What was forgotten meanwhile does not come back."""
    asked = journal.add_lookup(question("s", asked_at=NOW))
    journal.forget_lookups(NOW + 1)
    journal.update_lookup(asked.key, lambda found: dataclasses.replace(found, is_full=True))
    assert journal.lookups_since(0) == []


def test_a_journal_of_the_first_version_is_taken_over(tmp_path):
    """Jobs written before there were look-ups are still there, and questions can be asked."""
    path = tmp_path / "journal.sqlite"
    with JobStore(path) as journal:
        written = journal.add(new_job(RefineRequest(CODE), LOCAL, now=NOW))
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE lookups; PRAGMA user_version = 1")
    connection.close()
    with JobStore(path) as journal:
        assert journal.all() == [written]
        assert journal.add_lookup(question("s")).revision > written.revision
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()


# --- the worker


def test_the_worker_answers_and_keeps_key_and_address_to_itself(workers, api):
    """A question in the journal gets its answer and its picture; neither key nor any signed address is written."""
    shows_a_picture(api)
    asked = workers.journal.add_lookup(question(api.url))
    workers.start()
    (found,) = wait_until(
        lambda: [each for each in workers.journal.lookups_since(0) if each.sessions[:1] and each.sessions[0].thumbnail]
    )
    assert (found.key, found.error, found.sessions[0].status.word) == (asked.key, None, "preview_done")
    assert len(api.looks) == 1
    written = b"".join(path.read_bytes() for path in workers.home.folder.rglob("*") if path.is_file())
    assert not [secret for secret in (KEY, "s1gnature", ACCOUNT, "image.png") if secret.encode() in written]


def test_a_worker_without_the_key_leaves_the_question(workers, api):
    """Another Blender's worker may have the key: the question stays open, with no error."""
    workers.journal.add_lookup(question("http://127.0.0.1:1"))
    workers.journal.add_lookup(question(api.url))
    process = workers.start(key="")
    workers.tell(process, service=api.url)
    found = wait_until(lambda: [each for each in workers.journal.lookups_since(0) if each.answered_at])
    assert [each.service for each in found] == [api.url]


def test_a_worker_that_is_offline_asks_no_other_machine(workers, api):
    """Offline, a question about another machine is left alone, one about this machine is answered."""
    workers.journal.add_lookup(question("https://service.example"))
    workers.journal.add_lookup(question(api.url))
    workers.start(online=False)
    wait_until(lambda: api.looks)
    found = wait_until(lambda: [each for each in workers.journal.lookups_since(0) if each.answered_at])
    assert [each.service for each in found] == [api.url]
