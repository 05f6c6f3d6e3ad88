"""Connections against real servers: where the key goes, what never left, how slow an answer may be."""

from __future__ import annotations

import gzip
import ssl
import subprocess
import tracemalloc

import pytest
import requests
import urllib3

from csm_refine_addon.core import errors
from csm_refine_addon.core.models import RefineRequest, Secret
from csm_refine_addon.core.providers import transport
from csm_refine_addon.core.providers.client import Client, Unanswered
from csm_refine_addon.core.providers.transport import NotConnected
from tests.core.clients import assert_no_secret, closed_port, download
from tests.support.api_server import CODE, KEY, REFINE, TRIAL_KEY, Answer, Api, refusal

LARGE = b"v 0 0 0\n" * 200_000
REQUEST = RefineRequest(CODE, (2.0, 1.0, 0.5), (0.0, -0.5, 0.0))


def max_retry(reason):
    return urllib3.exceptions.MaxRetryError(None, f"/x?sig=s1gnature&{KEY}", reason)


PROXY_RESET = urllib3.exceptions.ProxyError("Cannot connect to proxy.", ConnectionResetError(104, "reset"))
NO_TUNNEL = urllib3.exceptions.ProxyError("x", OSError("Tunnel connection failed: 407 Proxy Authentication Required"))
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
        (requests.exceptions.ProxyError(max_retry(NO_TUNNEL)), NotConnected),
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
    found = transport.unreachable(error)
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
        with pytest.raises(errors.InputError, match="another address"):
            client.read_session(CODE)
        with pytest.raises(Unanswered):
            client.submit(REQUEST)
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


def test_a_proxy_that_refuses_the_tunnel(monkeypatch, api):
    """What a proxy does not let through has not left: it may be sent again, and the key was not shown."""
    monkeypatch.setenv("https_proxy", api.url)
    client = Client("https://api.csm.example", Secret(KEY), is_online=lambda: True)
    with pytest.raises(NotConnected, match="proxy"):
        client.submit(REQUEST)
    assert api.seen == []
    client.close()


@pytest.mark.parametrize("where", ["HOME", "NETRC"])
def test_netrc_is_not_used(monkeypatch, tmp_path, api, client, where):
    """No password of ~/.netrc is sent: not to the service, not to a storage, not along redirects."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\ndefault login me password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    if where == "NETRC":
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert requests.utils.get_netrc_auth(api.url) == ("me", "s3cret")
    client.read_session(CODE)
    client.submit(REQUEST)
    elsewhere = api.storage.signed("mesh.obj").replace("127.0.0.1", "localhost")
    api.storage.script = [Answer(302, b"", {"Location": "/again"}), Answer(302, b"", {"Location": elsewhere})]
    download(client, api, tmp_path / "part")
    assert len(api.storage.seen) == 3
    assert not [seen for seen in (*api.seen, *api.storage.seen) if "authorization" in seen.headers]


@pytest.mark.parametrize(
    "location",
    ["file:///etc/hostname", "ftp://store.example/mesh.glb", "http://[::1", "http://caf\xe9.example/\xff", ""],
)
def test_redirects_to_what_is_no_address(api, client, tmp_path, location):
    """A storage that leads to a file, to another protocol or nowhere is a sentence."""
    api.storage.script = [Answer(302, b"", {"Location": location})]
    with pytest.raises(errors.ServiceUnreachable) as caught:
        download(client, api, tmp_path / "part")
    assert_no_secret(caught.value)
    assert not (tmp_path / "part").exists()


def test_redirects_without_end(api, client, tmp_path):
    """A storage that leads in a circle is left after some rounds."""
    api.storage.script = [Answer(302, b"", {"Location": "/again"})] * 100
    with pytest.raises(errors.ServiceUnreachable, match="address that is none"):
        download(client, api, tmp_path / "part")
    assert len(api.storage.seen) < 50


def test_https_stays_https(api, tmp_path):
    """A service with https leads to no address without: what comes from there could have been changed on the way."""
    client = Client("https://api.csm.example", Secret(KEY), is_online=lambda: True)
    with pytest.raises(errors.ServiceUnreachable, match="without"):
        download(client, api, tmp_path / "part")
    assert api.storage.seen == []
    client.close()


# --- how large


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"[" + b"0," * 25_000_000),
        Answer(200, gzip.compress(bytes(200_000_000), 1), {"Content-Encoding": "gzip"}),
    ],
    ids=["50 MB of JSON", "200 MB, packed"],
)
def test_an_answer_without_end(api, client, answer):
    """It is not kept in memory, packed or not."""
    api.before = [answer]
    tracemalloc.start()
    try:
        with pytest.raises(errors.ServiceUnreachable, match="far too long"):
            client.read_session(CODE)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packing", ["gzip, gzip", "br", "zstd", "secret"])
def test_a_packing_that_nobody_asked_for(api, client, tmp_path, packing):
    """Packed several times or in another way, an answer is not unpacked: a kilobyte could become a gigabyte."""
    api.before = api.storage.script = [Answer(200, b"x", {"Content-Encoding": packing})]
    for ask in (lambda: client.read_session(CODE), lambda: download(client, api, tmp_path / "part")):
        with pytest.raises(errors.ServiceUnreachable, match="packed"):
            ask()
