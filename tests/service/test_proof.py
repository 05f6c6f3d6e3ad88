"""The local service proves that it has the key before a client sends it; another program on its port gets none."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Callable

import pytest
import requests

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import CsmError
from csm_refine_addon.core.models import RefineRequest, Secret
from csm_refine_addon.core.processes.local_service import LocalService
from csm_refine_addon.core.providers.client import Client
from csm_refine_addon.core.providers.key_proof import new_challenge, proof
from csm_refine_addon.core.providers.transport import NotConnected
from tests.service.conftest import Service, endpoint
from tests.support import sample_meshes

CODE = "SESSION_1689256797_6037625"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 -- what is tested


def ask_proof(url: str, challenge: str, **headers: str) -> requests.Response:
    return requests.get(f"{url}/local/proof", {"challenge": challenge}, headers=headers, timeout=10)


def client_of(service: Service, url: str = "") -> Client:
    return Client(url or service.url, Secret(service.key), is_online=lambda: True, timeout_s=5.0, needs_proof=True)


class Listener:
    """A program on a port that keeps all that it receives; ``answer`` makes its answer to a request's head."""

    def __init__(self, port: int, answer: Callable[[bytes], bytes]) -> None:
        self.received = b""
        self._answer = answer
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                self.received += data
                connection.sendall(self._answer(data))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listen():
    opened: list[Listener] = []

    def start(port: int, answer: Callable[[bytes], bytes]) -> Listener:
        opened.append(Listener(port, answer))
        return opened[-1]

    yield start
    for listener in opened:
        listener.close()


def answer(status: str, document: object = None, headers: str = "") -> Callable[[bytes], bytes]:
    body = json.dumps({"data": document, "statusCode": 200}).encode()
    return lambda _head: f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def relayed_to(url: str) -> Callable[[bytes], bytes]:
    """Pass a challenge on to a service, under the service's own name, and its proof back."""

    def relay(head: bytes) -> bytes:
        challenge = head.split(b"challenge=")[1].split(b" ")[0].decode() if b"challenge=" in head else ""
        return answer("200 OK", ask_proof(url, challenge).json()["data"])(head)

    return relay


def test_a_challenge_is_answered_without_the_key(service):
    """The proof is the described HMAC over challenge and address; a challenge of another form is refused."""
    challenge = new_challenge()
    document = ask_proof(service.url, challenge).json()
    assert document["data"] == {"proof": proof(Secret(service.key), challenge, service.url)}
    assert {ask_proof(service.url, bad).status_code for bad in ("", "0", "g" * 64, "A" * 64, "0" * 65)} == {400}


def test_the_proof_is_for_loopback_alone(start_service, tmp_path):
    """A service that other machines reach answers no challenge without the key: keys could be guessed by it."""
    (tmp_path / "key").write_text("secret")
    service = start_service("--host", EVERY_ADDRESS, "--key-file", str(tmp_path / "key"), key="secret")
    url = service.url.replace(EVERY_ADDRESS, "127.0.0.1")
    assert ask_proof(url, new_challenge()).status_code == 401
    assert ask_proof(url, new_challenge(), **{"x-api-key": "secret"}).status_code == 200


def test_pages_and_other_names_get_no_proof(service):
    """The checks of who asks hold for it as for every other address."""
    assert ask_proof(service.url, new_challenge(), Host="evil.example").status_code == 403
    assert ask_proof(service.url, new_challenge(), Origin="http://evil.example").status_code == 403


def test_a_service_by_name_is_found_by_number(start_service):
    """A name may stand for several addresses, of which another program may have one: the file has the number."""
    service = start_service("--host", "localhost")
    assert service.url.startswith("http://localhost:")
    url = endpoint(service.folder)["url"]
    assert url.startswith(("http://127.0.0.1:", "http://[::1]:"))
    client_of(service, url).check_key()


def test_a_killed_service(start_service, listen, tmp_path):
    """What listens on its port then gets no byte of the key: not from a search, not from a client that was in use."""
    home = DataDir(tmp_path / "home").ensure()
    service = start_service(folder=home.service)
    assert LocalService(home).find_or_start(lambda _seconds: True) == (service.url, Secret(service.key))
    client = client_of(service)
    client.check_key()
    said = endpoint(service.folder)
    service.stop(signal.SIGKILL)
    (service.folder / "endpoint.json").write_text(json.dumps({**said, "pids": "of a sandbox"}))
    other = listen(int(service.url.rpartition(":")[2]), answer("200 OK", {}))
    (tmp_path / "mesh.glb").write_bytes(sample_meshes.glb())
    for ask in (
        lambda: LocalService(home, python="/no/python").find_or_start(lambda _seconds: True),
        client.check_key,
        lambda: client.read_session(CODE),
        lambda: client.submit(RefineRequest(CODE)),
        lambda: client.create_session(tmp_path / "mesh.glb"),
        lambda: client.hold("user"),
    ):
        seen = len(other.received)
        with pytest.raises(CsmError):
            ask()
        assert b"/local/proof?challenge=" in other.received[seen:]
    assert service.key.encode() not in other.received
    assert b"x-api-key" not in other.received.lower()


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense\r\n\r\n",
        answer("200 OK")(b""),
        answer("200 OK", {"proof": "0" * 64})(b""),
        answer("200 OK", {"proof": ["x"]})(b""),
        answer("200 OK", {"proof": "\u0661" * 64})(b""),
        answer("401 Unauthorized", {})(b""),
        answer("302 Found", {}, "Location: http://127.0.0.1:1/\r\n")(b""),
    ],
)
def test_what_is_no_proof(service, listen, reply):
    """Whatever another program answers, it gets no key."""
    other = listen(0, lambda _head: reply)
    client = client_of(service, other.url)
    client._timeout_s = 0.5
    with pytest.raises(CsmError):
        client.check_key()
    assert b"x-api-key" not in other.received.lower()


def test_a_relay_has_no_proof(service, listen):
    """A program that passes the challenge on to the real service gets the proof for that one's address, not its own."""
    other = listen(0, relayed_to(service.url))
    with pytest.raises(NotConnected, match="Another program"):
        client_of(service, other.url).submit(RefineRequest(CODE))
    assert b"challenge=" in other.received
    assert b"x-api-key" not in other.received.lower()
