"""How often a service is asked: a rate for all, pages of the list for many looks, and ends read one by one."""

from __future__ import annotations

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import ServiceUnreachable
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import RefineRequest, Secret
from csm_refine_addon.core.processes.background import Cancelled
from csm_refine_addon.core.processes.local_service import LocalService
from csm_refine_addon.core.providers import rate_limit
from csm_refine_addon.core.providers.client_factory import ClientFactory
from csm_refine_addon.core.providers.rate_limit import (
    PAGE_FROM_LOOKS,
    REQUESTS_PER_S,
    SINGLY_S,
    Polling,
    RateLimiter,
    ThrottledClient,
)
from tests.core.harness import NOON, Clock
from tests.support.api_server import KEY, SESSIONS, Answer, envelope, html

CODES = [f"SESSION_1689256797_{number:07}" for number in range(8)]


def test_a_rate_for_all():
    """So many at once, and then one by one at the rate, however many come."""
    clock = Clock()
    turns = RateLimiter(REQUESTS_PER_S, clock)
    for _ in range(50):
        turns.take(clock.pause)
    assert clock.now - NOON == pytest.approx((50 - REQUESTS_PER_S) / REQUESTS_PER_S)
    clock.now += 1000.0
    before = clock.now
    for _ in range(int(REQUESTS_PER_S)):
        turns.take(clock.pause)
    assert clock.now == pytest.approx(before)


def test_whoever_waits_can_be_stopped():
    """A job that the user stopped does not ask any more."""
    clock = Clock()
    clock.stopped = True
    turns = RateLimiter(1.0, clock)
    turns.take(clock.pause)
    with pytest.raises(Cancelled):
        turns.take(clock.pause)


class Room:
    """A service with several sessions, and one worker's way to it."""

    def __init__(self, api, home) -> None:
        self.api = api
        self.clock = Clock()
        self.words = dict.fromkeys(CODES, "training_refine")
        self.listed = list(CODES)
        services = ClientFactory(
            LocalService(home), key_of=lambda _url: Secret(KEY), is_online=lambda: True, pause=bool
        )
        self.asking = ThrottledClient(Polling(self.clock), services, self.clock.pause)
        for code in CODES:
            api.others[f"{SESSIONS}/{code}"] = [Answer(body=lambda _api, code=code: envelope(self.session(code)))]
        api.others[SESSIONS] = [Answer(body=lambda _api: envelope({"results": [*map(self.session, self.listed)]}))]

    def session(self, code: str) -> dict[str, object]:
        return {"session_code": code, "status": self.words[code]}

    def look(self, code: str) -> str:
        job = new_job(RefineRequest(code), self.api.url, now=self.clock.now)
        session = self.asking.look(job)
        assert session.code == code
        return session.status.word

    def asked(self) -> tuple[int, int]:
        """How many lists and how many single sessions were asked for since the last time."""
        seen = [seen.path for seen in self.api.seen]
        self.api.seen.clear()
        return seen.count(SESSIONS), len(seen) - seen.count(SESSIONS)

    def warm_up(self) -> None:
        for code in CODES[: PAGE_FROM_LOOKS - 1]:
            self.look(code)
        assert self.asked() == (0, PAGE_FROM_LOOKS - 1)


@pytest.fixture
def room(api, tmp_path):
    return Room(api, DataDir(tmp_path))


def test_many_looks_are_one_request(room):
    """Few jobs are read one by one; from five on, one page of the list does for all, until it is too old."""
    room.warm_up()
    assert {room.look(code) for code in reversed(CODES)} == {"training_refine"}
    assert room.asked() == (1, 0)
    room.clock.now += 5.1
    for code in CODES:
        room.look(code)
    lists, singly = room.asked()
    assert (lists, singly) == (1, PAGE_FROM_LOOKS - 1)


@pytest.mark.parametrize("word", ["refine_done", "refine_failed", "preview_done", "a new word", ""])
def test_the_list_is_believed_only_that_a_refine_runs(room, word):
    """Whatever else it says is read from the session itself, which may know better."""
    room.warm_up()
    room.look(CODES[5])
    room.look(CODES[6])
    assert room.asked() == (1, 0)
    changed = dict(room.words)
    room.words[CODES[6]] = word
    room.clock.now += 5.1
    room.warm_up()
    room.look(CODES[5])
    assert room.asked() == (1, 0)
    room.words = changed
    assert room.look(CODES[6]) == "training_refine"
    assert room.asked() == (0, 1)


def test_a_session_that_is_not_on_the_page(room):
    """It is read by itself."""
    room.listed.remove(CODES[6])
    room.warm_up()
    room.look(CODES[5])
    assert room.look(CODES[6]) == "training_refine"
    assert room.asked() == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, b"<html>"),
        Answer(body={"data": {"sessions": []}}),
        Answer(500),
        Answer(body=envelope({"results": []})),
    ],
)
def test_a_list_that_is_none(room, answer):
    """Where it is refused, has another form or has none of ours, sessions are read one by one, and it is left alone."""
    room.api.others[SESSIONS] = [answer]
    room.warm_up()
    for _ in range(4):
        for code in CODES:
            assert room.look(code) == "training_refine"
    lists, singly = room.asked()
    assert lists <= 2
    assert singly == 4 * len(CODES)
    room.clock.now += SINGLY_S
    for code in CODES:
        room.look(code)
    assert room.asked()[0] == 1


def test_trouble_is_told_as_ever(room):
    """A service that is gone is out of reach for each look."""
    room.warm_up()
    room.api.others[SESSIONS] = room.api.others[f"{SESSIONS}/{CODES[5]}"] = [html(502)]
    with pytest.raises(ServiceUnreachable):
        room.look(CODES[5])


def test_a_page_is_one_accounts(room):
    """Another key, or another service, has a page of its own."""
    shared = room.asking.polling
    keys = [Secret("a" * 32), Secret("b" * 32), None]
    assert len({id(shared.page(url, key)) for url in ("https://a.example", "https://b.example") for key in keys}) == 6
    assert shared.page("https://a.example", Secret("a" * 32)) is shared.page("https://a.example", keys[0])


def test_reads_leave_room(room):
    """What the user asked for does not wait behind the looks of 200 jobs: these alone never use up the rate."""
    for number in range(100):
        room.look(CODES[number % 3])
    paused = len(room.clock.pauses)
    room.asking.client(room.api.url)
    assert len(room.clock.pauses) == paused
    assert rate_limit.READS_PER_S < REQUESTS_PER_S
