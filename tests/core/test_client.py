"""The HTTP client against a real server: what each answer becomes, where the key goes, how a download goes on."""

from __future__ import annotations

import email.utils
import socket
import ssl
import subprocess
import time
import traceback

import pytest
import requests
import urllib3

from csm_refine_addon.core import client as client_module, errors
from csm_refine_addon.core.client import Client, NotConnected, SignatureExpired, Unanswered
from csm_refine_addon.core.models import RefineRequest, RemoteKind, Secret
from tests.support.api_server import (
    ACCOUNT,
    CODE,
    KEY,
    REFINE,
    SESSIONS,
    TRIAL_KEY,
    Answer,
    Api,
    envelope,
    html,
    refine_ack,
    refusal,
    session_2024,
)

LARGE = b"v 0 0 0\n" * 200_000
REQUEST = RefineRequest(CODE, (2.0, 1.0, 0.5), (0.0, -0.5, 0.0))


@pytest.fixture
def client(api):
    opened = Client(api.url, Secret(KEY), is_online=lambda: True, timeout_s=20.0)
    yield opened
    opened.close()


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def behind(error: BaseException | None):
    """An error and everything that a log may show with it."""
    while error is not None:
        yield error
        yield from behind(error.__context__ if error.__context__ is not error.__cause__ else None)
        error = error.__cause__


def shown(error: BaseException) -> str:
    return "\n".join([*(f"{one} {one!r} {one.args}" for one in behind(error)), *traceback.format_exception(error)])


def assert_no_secret(error: BaseException) -> None:
    text = shown(error)
    for secret in (KEY, ACCOUNT, "s1gnature", "sig=", "mesh.obj"):
        assert secret not in text


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


def test_a_post_opens_a_connection_of_its_own(api, client):
    """On a kept connection that the service has just closed, nobody would know whether the POST arrived."""
    for _ in range(2):
        client.read_session(CODE)
    client.submit(REQUEST)
    first, second, post = (seen.peer for seen in api.seen)
    assert first == second != post


# --- refusals


REFUSALS = [
    (400, "The box is too small", errors.RefineFailed),
    (401, "", errors.KeyRefused),
    (402, "", errors.OutOfCredits),
    (403, "", errors.KeyRefused),
    (404, "", errors.SessionUnknown),
    (405, "", errors.RefineFailed),
    (409, "", errors.SessionNotRefinable),
    (422, "", errors.RefineFailed),
    (400, "", errors.ServiceBusy),
    (429, "Slow down", errors.ServiceBusy),
]


@pytest.mark.parametrize(("status", "message", "kind"), REFUSALS)
@pytest.mark.parametrize("inside", [False, True], ids=["HTTP status", "statusCode"])
def test_each_refusal_has_its_class(api, client, status, message, kind, inside):
    """Reading and sending: each status is the class of what the user can do, with the service's words."""
    answer = refusal(status, message)
    answer = Answer(200, answer.body, takes=False) if inside else answer
    api.before, api.posts = [answer], [answer]
    for ask in (lambda: client.read_session(CODE), lambda: client.submit(REQUEST)):
        with pytest.raises(kind) as caught:
            ask()
        assert type(caught.value) is kind
        assert message in caught.value.message
        assert caught.value.action


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
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
    """An address that cannot be asked is a sentence."""
    client = Client(address, Secret(KEY), is_online=lambda: True)
    with pytest.raises(NotConnected):
        client.submit(REQUEST)
    client.close()


def max_retry(reason):
    return urllib3.exceptions.MaxRetryError(None, f"/x?sig=s1gnature&{KEY}", reason)


PROXY_RESET = urllib3.exceptions.ProxyError("Cannot connect to proxy.", ConnectionResetError(104, "reset"))
PROXY_ABSENT = urllib3.exceptions.ProxyError("x", urllib3.exceptions.NewConnectionError(None, "refused"))
BAD_CERTIFICATE = urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("certificate verify failed"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.exceptions.SSLError(max_retry(BAD_CERTIFICATE)), NotConnected),
        (requests.exceptions.SSLError(max_retry(urllib3.exceptions.SSLError(ssl.SSLEOFError(8, "EOF")))), None),
        (requests.exceptions.SSLError("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), None),
        (requests.exceptions.ProxyError(max_retry(PROXY_RESET)), None),
        (requests.exceptions.ProxyError(max_retry(PROXY_ABSENT)), NotConnected),
        (
            requests.exceptions.ConnectionError(max_retry(urllib3.exceptions.NewConnectionError(None, "x"))),
            NotConnected,
        ),
        (
            requests.exceptions.ConnectTimeout(max_retry(urllib3.exceptions.ConnectTimeoutError(None, "x"))),
            NotConnected,
        ),
        (requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("x", ConnectionResetError())), None),
        (requests.exceptions.ReadTimeout(), None),
        (requests.exceptions.ContentDecodingError(), None),
    ],
)
def test_not_connected_is_only_what_never_left(error, kind):
    """A connection that broke after TLS or proxy were passed may have carried the POST: both urllib3 1.26 and 2."""
    found = client_module._unreachable(error)
    assert isinstance(found, NotConnected) is (kind is NotConnected)
    assert_no_secret(found)


def test_a_certificate_that_nobody_signed(tmp_path):
    """A service whose certificate cannot be trusted gets nothing, and the sentence says so."""
    key_file, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key_file), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *name]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key_file)
    with Api() as api:
        api._server.socket = context.wrap_socket(api._server.socket, server_side=True)
        client = Client(api.url.replace("http://", "https://"), Secret(KEY), is_online=lambda: True, timeout_s=5.0)
        with pytest.raises(NotConnected, match="certificate"):
            client.submit(REQUEST)
        client.close()
        assert api.seen == []


# --- where the key goes


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_of_api_calls_are_refused(api, client, status):
    """The key goes to no other address than the one the user gave, and a POST is not repeated there."""
    with Api() as elsewhere:
        answer = refusal(status, headers={"Location": f"{elsewhere.url}{REFINE}"})
        api.before = api.posts = [answer]
        for ask in (lambda: client.read_session(CODE), lambda: client.submit(REQUEST)):
            with pytest.raises(errors.InputError, match="another address"):
                ask()
        assert elsewhere.seen == []


def test_no_key_to_the_storage(api, client, tmp_path):
    """Neither the storage nor the host that it redirects to sees the key."""
    with Api() as elsewhere:
        target = elsewhere.storage.signed("mesh.obj")
        api.storage.script = [Answer(302, b"", {"Location": target})]
        download(client, api, tmp_path / "part")
        seen = [*api.storage.seen, *elsewhere.storage.seen]
    assert len(seen) == 2
    assert all("x-api-key" not in one.headers and KEY not in str(one) for one in seen)
    assert all("authorization" not in one.headers for one in seen)


def test_loopback_goes_past_proxies(api, client, monkeypatch, tmp_path):
    """A proxy of the environment is for other machines: it would see the local service's key, and not reach it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    assert client.read_session(CODE).code == CODE
    assert client.submit(REQUEST).trial_key == TRIAL_KEY
    download(client, api, tmp_path / "part")


def test_other_machines_go_through_the_proxy(monkeypatch, api):
    """A proxy of the environment is used for every other host."""
    monkeypatch.setenv("http_proxy", api.url)
    client = Client("http://api.csm.example", Secret(KEY), is_online=lambda: True)
    assert client.read_session(CODE).code == CODE
    assert api.seen[0].headers["host"] == "api.csm.example"
    client.close()


# --- online access


def test_offline_is_asked_before_each_request(tmp_path):
    """To another machine nothing leaves while offline: neither reading, nor sending, nor downloading."""
    asked = []
    client = Client("https://api.csm.example", Secret(KEY), is_online=lambda: bool(asked.append(1)))
    url = Secret("https://store.example/mesh.glb?sig=1")
    for ask in (
        client.require_online,
        client.check_key,
        lambda: client.read_session(CODE),
        lambda: client.submit(REQUEST),
        lambda: client.download(url, tmp_path / "part", print),
    ):
        with pytest.raises(errors.BlenderOffline, match="offline"):
            ask()
    assert len(asked) == 5
    client.close()


def test_loopback_is_exempt(api, tmp_path):
    """A service on this machine is reached without online access, its storage too."""
    client = Client(api.url, Secret(KEY), is_online=lambda: False)
    client.require_online()
    client.submit(REQUEST)
    download(client, api, tmp_path / "part")
    client.close()


def test_offline_holds_for_redirects(api, tmp_path):
    """A storage on this machine that redirects to another one does not get around it."""
    client = Client(api.url, Secret(KEY), is_online=lambda: False)
    api.storage.script = [Answer(302, b"", {"Location": "http://store.example/mesh.glb"})]
    with pytest.raises(errors.BlenderOffline):
        download(client, api, tmp_path / "part")
    client.close()


# --- downloads


def download(client, api, part, progress=None, name="mesh.obj"):
    client.download(Secret(api.storage.signed(name)), part, progress or (lambda done, total: None))
    return part.read_bytes()


@pytest.fixture
def large(api):
    api.storage.put("mesh.obj", LARGE, '"large"')


@pytest.mark.usefixtures("large")
def test_a_download(api, client, tmp_path):
    """The file comes whole, with its progress in bytes, and leaves nothing beside it."""
    told = []
    assert download(client, api, tmp_path / "part", lambda done, total: told.append((done, total))) == LARGE
    assert told[0] == (0, len(LARGE))
    assert told[-1] == (len(LARGE), len(LARGE))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert api.storage.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.usefixtures("large")
def test_a_cut_download_goes_on(api, client, tmp_path):
    """The next attempt asks for the rest of the same file, and gets it."""
    part, told = tmp_path / "part", []
    api.storage.script = [Answer(cut_after=900_000)]
    with pytest.raises(errors.ServiceUnreachable) as caught:
        download(client, api, part)
    assert_no_secret(caught.value)
    there = part.stat().st_size
    assert 0 < there <= 900_000
    assert download(client, api, part, lambda done, total: told.append((done, total))) == LARGE
    asked = api.storage.seen[1].headers
    assert (asked["range"], asked["if-range"]) == (f"bytes={there}-", '"large"')
    assert told[0] == (there, len(LARGE))


@pytest.mark.parametrize("only_from", [False, True], ids=["knows If-Range", "knows it not"])
@pytest.mark.usefixtures("large")
def test_another_file_begins_anew(api, client, tmp_path, only_from):
    """Where the file has changed meanwhile, no two halves are put together."""
    part, other = tmp_path / "part", LARGE.replace(b"0", b"1") + b"v 9 9 9\n"
    api.storage.script = [Answer(cut_after=900_000), Answer(only_from=only_from)]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, part)
    api.storage.put("mesh.obj", other, '"other"')
    if only_from:
        with pytest.raises(errors.ServiceUnreachable, match="another file"):
            download(client, api, part)
    assert download(client, api, part) == other


@pytest.mark.usefixtures("large")
def test_a_part_that_is_whole_already(api, client, tmp_path):
    """After a crash between the last byte and the end, the next attempts come to an end (416)."""
    part = tmp_path / "part"
    part.write_bytes(LARGE)
    part.with_name("part.etag").write_text('"large"')
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, part)
    assert download(client, api, part) == LARGE


@pytest.mark.parametrize("headers", [{"ETag": 'W/"weak"'}, {"ETag": ""}], ids=["weak", "none"])
@pytest.mark.usefixtures("large")
def test_without_a_strong_tag_it_begins_anew(api, client, tmp_path, headers):
    """A storage that cannot say whether it is the same file is asked for the whole again."""
    part = tmp_path / "part"
    api.storage.script = [Answer(cut_after=900_000, headers=headers)]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, part)
    assert download(client, api, part) == LARGE
    assert "range" not in api.storage.seen[1].headers


@pytest.mark.parametrize("answer", [Answer(206, b"v 1 1 1\n", {"Content-Range": "bytes 5-12/13"})])
@pytest.mark.usefixtures("large")
def test_a_piece_that_nobody_asked_for(api, client, tmp_path, answer):
    """A partial answer to a whole question is not taken for the file."""
    api.storage.script = [answer]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, tmp_path / "part")
    assert download(client, api, tmp_path / "part") == LARGE


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_expired_address(api, client, tmp_path, status):
    """The storage's refusal says that a new address is needed; its XML is not taken for a mesh."""
    api.storage.script = [Answer(status, b"<?xml version='1.0'?><Error>sig=s1gnature</Error>")]
    with pytest.raises(SignatureExpired) as caught:
        download(client, api, tmp_path / "part")
    assert_no_secret(caught.value)
    assert not (tmp_path / "part").exists()


def test_a_real_signature_runs_out(api, client, tmp_path):
    """An address that was good expires; the next one from the session is good again."""
    api.before = [session_2024("refine_done", "mesh.obj")]
    old = client.read_session(CODE).best_mesh()
    api.storage.expire()
    with pytest.raises(SignatureExpired):
        client.download(old, tmp_path / "part", lambda done, total: None)
    client.download(client.read_session(CODE).best_mesh(), tmp_path / "part", lambda done, total: None)


@pytest.mark.parametrize("answer", [Answer(500), Answer(503), Answer(429), Answer(resets=True), Answer(204)])
def test_a_failing_storage(api, client, tmp_path, answer):
    """Anything else that is no file is one to try again."""
    api.storage.script = [answer]
    with pytest.raises(errors.ServiceUnreachable) as caught:
        download(client, api, tmp_path / "part")
    assert not isinstance(caught.value, SignatureExpired)
    assert_no_secret(caught.value)


def test_no_url_behind_a_refused_storage(client, tmp_path):
    """Where the storage does not listen, its signed URL is in nothing that a log could show."""
    url = Secret(f"http://127.0.0.1:{closed_port()}/{ACCOUNT}/mesh.obj?sig=s1gnature")
    with pytest.raises(NotConnected) as caught:
        client.download(url, tmp_path / "part", lambda done, total: None)
    assert_no_secret(caught.value)


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999/mesh?sig=s1gnature", "http://"])
def test_an_address_of_a_mesh_that_is_none(client, tmp_path, url):
    """What is no URL is a sentence without it."""
    with pytest.raises(errors.ServiceUnreachable) as caught:
        client.download(Secret(url), tmp_path / "part", lambda done, total: None)
    assert_no_secret(caught.value)


@pytest.mark.usefixtures("large")
def test_progress_can_end_a_download(api, client, tmp_path):
    """An exception out of the progress stops it and comes through; what is there can be gone on with."""

    class Enough(Exception):
        pass

    def progress(done, total):
        if done > 500_000:
            raise Enough

    with pytest.raises(Enough):
        download(client, api, tmp_path / "part", progress)
    assert download(client, api, tmp_path / "part") == LARGE
    assert "range" in api.storage.seen[1].headers
