"""Certificates and proxies: the key leaves only towards the service that was named, and nobody in between reads it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import select
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from csm_refine_addon.core.errors import ServiceUnreachable
from csm_refine_addon.core.models import RefineRequest, Secret
from csm_refine_addon.core.providers.client import Client
from csm_refine_addon.core.providers.transport import NotConnected
from tests.support.api_server import CODE, KEY

NAME = "service.example"
"""Stands for another machine; a proxy leads it here."""
YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in VARIABLES:
        for spelling in (name, name.lower()):
            monkeypatch.delenv(spelling, raising=False)


class Https:
    """A service that answers every request with a session; what arrived stands in ``seen``."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        seen: list[tuple[str, str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.command, self.path, self.headers["x-api-key"]))
                body = json.dumps({"session_code": CODE, "status": "preview_done"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 -- the standard library's name

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that does not trust us hangs up

        self.seen = seen
        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Tunnel:
    """A company's proxy: it opens tunnels to the service, and keeps every byte that it could read."""

    def __init__(self, port: int) -> None:
        self.read = b""
        """What came from the client, the head of CONNECT included."""
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(client,), daemon=True).start()

    def _serve_one(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one end hung up
            self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as service:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            self.read += head
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while True:
                for ready in select.select([client, service], [], [], 20.0)[0]:
                    piece = ready.recv(65536)
                    if not piece:
                        return
                    self.read += piece if ready is client else b""
                    (service if ready is client else client).sendall(piece)


@pytest.fixture
def authority(tmp_path):
    return trustme.CA()


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def serve():
    opened = []

    def start(certificate: trustme.LeafCert) -> Https:
        opened.append(Https(certificate))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def client_of():
    opened = []

    def connect(url: str) -> Client:
        opened.append(Client(url, Secret(KEY), is_online=lambda: True, timeout_s=20.0))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


REQUESTS = {
    "look": lambda client, _path, _url: client.read_session(CODE),
    "refine": lambda client, _path, _url: client.submit(RefineRequest(CODE)),
    "check": lambda client, _path, _url: client.check_key(),
    "download": lambda client, path, url: client.download(Secret(f"{url}/x?sig=s1gnature"), path, lambda *_: None),
    "picture": lambda client, _path, url: client.image(Secret(f"{url}/x?sig=s1gnature")),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_service_that_nobody_vouches_for_gets_nothing(authority, serve, tmp_path, request_, client_of):
    """No request, no key and no signature leaves to a service without a trusted certificate; nothing is uncertain."""
    service = serve(authority.issue_cert("127.0.0.1"))
    with pytest.raises(NotConnected, match="certificate cannot be trusted"):
        request_(client_of(service.url), tmp_path / "part", service.url)
    assert service.seen == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_systems_authorities_are_asked(authority, bundle, serve, monkeypatch, variable, client_of):
    """A company's own authority is trusted where the system names it, as other programs do."""
    service = serve(authority.issue_cert("127.0.0.1"))
    monkeypatch.setenv(variable, bundle)
    assert client_of(service.url).read_session(CODE).code == CODE
    assert [key for _method, _path, key in service.seen] == [KEY]


@pytest.mark.parametrize("wrong", ["name", "date", "authority"])
def test_one_authority_is_not_all(authority, bundle, serve, monkeypatch, wrong, client_of):
    """With it named, a certificate for another host, one that is over, and one of somebody else are still refused."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    certificates = {
        "name": lambda: authority.issue_cert("other.example"),
        "date": lambda: authority.issue_cert("127.0.0.1", not_after=YESTERDAY),
        "authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
    }
    service = serve(certificates[wrong]())
    with pytest.raises(NotConnected, match="certificate cannot be trusted"):
        client_of(service.url).read_session(CODE)
    assert service.seen == []


def test_a_bundle_that_is_not_there_is_a_sentence(serve, authority, monkeypatch, tmp_path, client_of):
    """A setting that leads nowhere trusts nobody, instead of everybody."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    service = serve(authority.issue_cert("127.0.0.1"))
    with pytest.raises(ServiceUnreachable) as caught:
        client_of(service.url).read_session(CODE)
    assert caught.value.action
    assert service.seen == []


def test_the_key_stays_inside_the_tunnel(authority, bundle, serve, monkeypatch, client_of):
    """A proxy in between learns the host's name, and neither the key nor what is asked for."""
    service = serve(authority.issue_cert(NAME))
    tunnel = Tunnel(service.port)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
    assert client_of(f"https://{NAME}").read_session(CODE).code == CODE
    tunnel.close()
    assert [key for _method, _path, key in service.seen] == [KEY]
    assert tunnel.read.startswith(f"CONNECT {NAME}:443 ".encode())
    assert not [secret for secret in (KEY, CODE, "x-api-key") if secret.encode() in tunnel.read]


def test_a_proxy_that_looks_inside_is_not_trusted(authority, serve, monkeypatch, client_of):
    """One that shows a certificate of its own gets nothing, unless the system vouches for it."""
    service = serve(authority.issue_cert(NAME))
    tunnel = Tunnel(service.port)
    monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
    with pytest.raises(NotConnected, match="certificate cannot be trusted"):
        client_of(f"https://{NAME}").read_session(CODE)
    tunnel.close()
    assert service.seen == []
    assert KEY.encode() not in tunnel.read
