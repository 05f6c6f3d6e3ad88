"""The HTTP client against a real server: what is sent, and what each answer becomes."""

from __future__ import annotations

import dataclasses
import email.utils
import time

import pytest

from csm_refine_addon.core import errors
from csm_refine_addon.core.models import RefineRequest, RemoteKind, Secret
from csm_refine_addon.core.providers import client as client_module, csm_schema
from csm_refine_addon.core.providers.client import Client, Unanswered
from csm_refine_addon.core.providers.transport import NotConnected
from tests.core.clients import assert_no_secret, closed_port, shown
from tests.support.api_server import CODE, KEY, REFINE, SESSIONS, TRIAL_KEY, Answer, envelope, html, refine_ack, refusal

LARGE = b"v 0 0 0\n" * 200_000
REQUEST = RefineRequest(CODE, (2.0, 1.0, 0.5), (0.0, -0.5, 0.0))


# --- what is sent


def test_a_refine_is_one_post(api, client):
    """One POST with the key, the body of the reference, and nothing more; the record comes back."""
    ack = client.submit(REQUEST)
    (seen,) = api.seen
    assert (seen.method, seen.path, seen.query) == ("POST", REFINE, "")
    assert seen.headers["x-api-key"] == KEY
    assert seen.headers["content-type"] == "application/json"
    assert seen.body == b'{"scaled_bbox": [2.0, 1.0, 0.5], "pivot_point": [0.0, -0.5, 0.0]}'
    assert ack.trial_key == TRIAL_KEY


def test_an_automatic_refine_has_an_empty_object(api, client):
    """Where the service decides everything the body is {}."""
    client.submit(RefineRequest(CODE))
    assert api.seen[0].body == b"{}"


def test_a_session_is_read(api, client):
    """One GET with the key; the session comes back."""
    assert client.read_session(CODE).status.kind is RemoteKind.REFINABLE
    (seen,) = api.seen
    assert (seen.method, seen.path, seen.headers["x-api-key"]) == ("GET", f"{SESSIONS}/{CODE}", KEY)


def test_a_session_is_made_of_a_file(api, client, tmp_path):
    """The file is the body, as it is."""
    mesh = tmp_path / "a.glb"
    mesh.write_bytes(LARGE)
    api.others["/local/sessions"] = [Answer(201, envelope({"session_code": CODE, "status": "preview_done"}))]
    assert client.create_session(mesh).code == CODE
    assert api.seen[0].body == LARGE


def test_a_key_is_checked_free_of_charge(api, client):
    """The account's data are asked for, nothing else."""
    api.others["/user/userdata"] = [Answer(200, envelope({"tier": "free"})), refusal(401)]
    client.check_key()
    with pytest.raises(errors.KeyRefused):
        client.check_key()
    assert [seen.path for seen in api.seen] == ["/user/userdata"] * 2


def test_every_request_opens_a_connection_of_its_own(api, client):
    """A kept one may just be closing, and nobody would know whether a POST arrived; hundreds would fill the service."""
    for _ in range(2):
        client.read_session(CODE)
    client.submit(REQUEST)
    assert len({seen.peer for seen in api.seen}) == 3


# --- refusals


REFUSALS = [
    (400, "The box is too small", errors.RefineFailed),
    (401, "", errors.KeyRefused),
    (402, "", errors.OutOfCredits),
    (403, "", errors.KeyRefused),
    (404, "", errors.SessionUnknown),
    (409, "", errors.SessionNotRefinable),
    (422, "", errors.RefineFailed),
    (400, "", errors.ServiceBusy),
    (429, "Slow down", errors.ServiceBusy),
    (503, "Down for maintenance", errors.ServiceBusy),
]


@pytest.mark.parametrize(("status", "message", "kind"), REFUSALS)
@pytest.mark.parametrize("inside", [False, True], ids=["HTTP status", "statusCode"])
def test_each_refusal_has_its_class(api, client, status, message, kind, inside):
    """Reading and sending: each status is the class of what the user can do, with the service's words."""
    answer = refusal(status, message)
    answer = Answer(200, answer.body, takes=False) if inside else answer
    api.before, api.posts = [answer], [answer]
    reading = errors.ServiceUnreachable if kind is errors.RefineFailed else kind
    for ask, expected in ((lambda: client.read_session(CODE), reading), (lambda: client.submit(REQUEST), kind)):
        with pytest.raises(expected) as caught:
            ask()
        assert type(caught.value) is expected
        assert message in caught.value.message
        assert caught.value.action


def test_every_code_of_not_taken_has_its_row():
    """What counts as not taken is exactly this list."""
    assert {status for status, _, _ in REFUSALS} == csm_schema.NOT_TAKEN


@pytest.mark.parametrize("status", [405, 500, 502, 503, 504, 524])
def test_a_failing_service_is_out_of_reach(api, client, status):
    """For a reading request a failure of the service's own is one to try again later."""
    api.before = [html(status)]
    with pytest.raises(errors.ServiceUnreachable, match=str(status)) as caught:
        client.read_session(CODE)
    assert not isinstance(caught.value, errors.ServiceBusy)


def test_a_page_is_no_session(api, client):
    """An HTML page with HTTP 200, as a login gateway sends, is no answer."""
    api.before = [html(200)]
    with pytest.raises(errors.ServiceUnreachable, match="holds no session"):
        client.read_session(CODE)


def test_an_endless_answer(api, client):
    """An answer of more than 8 MB is not kept in memory."""
    api.before = [Answer(200, b"[" * (client_module.ANSWER_LIMIT_BYTES + 1))]
    with pytest.raises(errors.ServiceUnreachable, match="far too long"):
        client.read_session(CODE)


def test_the_key_is_not_repeated(api, client):
    """A service that shows the key in its refusal has it taken out."""
    api.before = [refusal(401, f"Bad key {KEY}")]
    with pytest.raises(errors.KeyRefused) as caught:
        client.read_session(CODE)
    assert_no_secret(caught.value)


@pytest.mark.parametrize(
    ("header", "least", "most"), [("7", 7, 7), (" 120 ", 120, 120), (+100.0, 90, 101), (-100.0, 0, 0)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(api, client, header, least, most, status):
    """Both forms of the header, seconds and a date, are understood, on both statuses that have it."""
    if isinstance(header, float):
        header = email.utils.formatdate(time.time() + header, usegmt=True)
    api.posts = [refusal(status, headers={"Retry-After": header})]
    with pytest.raises(errors.ServiceBusy) as caught:
        client.submit(REQUEST)
    assert least <= caught.value.retry_after_s <= most


@pytest.mark.parametrize("header", ["soon", "-5", "1.5.2", "Mon, 99 Foo 2024", ""])
def test_odd_retry_after(api, client, header):
    """What is no time says nothing, and breaks nothing."""
    api.posts = [refusal(429, headers={"Retry-After": header})]
    with pytest.raises(errors.ServiceBusy) as caught:
        client.submit(REQUEST)
    assert caught.value.retry_after_s is None


# --- a POST whose outcome is not clear


UNCLEAR = [
    "reset",
    "cut",
    "html-200",
    "empty-200",
    "list-200",
    "null-200",
    "500",
    "502",
    "503",
    "504",
    "json-500",
    "inner-500",
    "inner-0",
    "endless",
    "gzip",
]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(resets=True),
        Answer(200, refine_ack().body, cut_after=20),
        html(200),
        Answer(200, b""),
        Answer(200, b"[]"),
        Answer(200, envelope(None)),
        html(500),
        html(502),
        html(503),
        html(504),
        refusal(500, "Internal"),
        Answer(200, {"statusCode": 500, "message": "Internal"}),
        Answer(200, {"statusCode": 0, "data": {}}),
        Answer(200, b"[" * (client_module.ANSWER_LIMIT_BYTES + 1)),
        Answer(200, b"x", {"Content-Encoding": "gzip"}),
    ],
    ids=UNCLEAR,
)
def test_unanswered(api, client, answer):
    """Where the POST may have been taken without a clear word, that is said, and nothing else."""
    api.posts = [answer]
    with pytest.raises(Unanswered) as caught:
        client.submit(REQUEST)
    assert len(api.refines) == 1
    assert_no_secret(caught.value)


NOT_OF_THE_API = {
    "HTML": lambda status: b"<html><body><h1>Gateway</h1></body></html>",
    "empty": lambda status: b"",
    "message": lambda status: {"message": "Forbidden"},
    "Azure": lambda status: {"statusCode": status, "message": "Rate limit is exceeded. Try again in 7 seconds."},
    "Fastify": lambda status: {"statusCode": status, "error": "Bad Request", "message": "No."},
    "no status": lambda status: {"error": "", "message": "No.", "data": {}},
    "another status": lambda status: envelope({}, "No.", 200),
    "a third status": lambda status: envelope({}, "No.", 418),
    "null texts": lambda status: {**envelope({}, "No.", status), "message": None},
    "a list": lambda status: [envelope({}, "No.", status)],
    "in data": lambda status: {"data": envelope({}, "No.", status)},
}


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "7"}], ids=["", "Retry-After"])
@pytest.mark.parametrize("body", NOT_OF_THE_API.values(), ids=NOT_OF_THE_API)
@pytest.mark.parametrize("status", sorted(csm_schema.NOT_TAKEN))
def test_a_refusal_without_the_envelope_is_unanswered(api, client, status, body, headers):
    """What stands between may answer so after the service has taken the POST; one POST, and no class of its own."""
    api.posts = [Answer(status, body(status), headers)]
    with pytest.raises(Unanswered):
        client.submit(REQUEST)
    assert len(api.refines) == 1


@pytest.mark.parametrize(
    "status", [301, 307, 405, 407, 408, 410, 413, 418, 421, 425, 431, 451, 499, 500, 501, 502, 504]
)
@pytest.mark.parametrize("has_envelope", [True, False], ids=["envelope", "HTML"])
def test_any_other_status_is_unanswered(api, client, status, has_envelope):
    """Not even the API's envelope says of another status that the POST was not taken."""
    answer = refusal(status, "No.") if has_envelope else html(status)
    api.posts = [dataclasses.replace(answer, headers={"Location": "http://[::1", "Retry-After": "7"})]
    with pytest.raises(Unanswered):
        client.submit(REQUEST)
    assert len(api.refines) == 1


def test_a_silent_service_is_unanswered(api):
    """A POST that was read, and then nothing until the time-out."""
    api.posts = [Answer(hangs=True)]
    client = Client(api.url, Secret(KEY), is_online=lambda: True, timeout_s=0.2)
    with pytest.raises(Unanswered):
        client.submit(REQUEST)
    assert len(api.refines) == 1
    client.close()


def test_refused_connection_is_not_connected():
    """Where nobody listens, nothing can have arrived."""
    client = Client(f"http://127.0.0.1:{closed_port()}", Secret(KEY), is_online=lambda: True)
    for ask in (lambda: client.submit(REQUEST), lambda: client.read_session(CODE)):
        with pytest.raises(NotConnected) as caught:
            ask()
        assert_no_secret(caught.value)
        assert CODE not in shown(caught.value)
    client.close()


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "http://.example.invalid", "http://no such host"])
def test_an_address_that_is_none(address):
    """An address that no service can have, as in a journal that was passed on, is a sentence."""
    with pytest.raises(errors.InputError, match="not a URL"):
        Client(address, Secret(KEY), is_online=lambda: True)
