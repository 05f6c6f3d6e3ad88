"""Nothing hangs: each request has one deadline, whatever the other end sends; a long body goes on at the least rate."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from csm_refine_addon.core import errors
from csm_refine_addon.core.models import RefineRequest, Secret
from csm_refine_addon.core.providers.client import Client, Unanswered
from csm_refine_addon.core.providers.transport import LEAST_BYTES_PER_S, LEAST_S, NotConnected
from tests.core.clients import assert_no_secret
from tests.core.terminal import Terminal
from tests.support.api_server import CODE, KEY, REFINE, SESSIONS, Api, session_2024

REQUEST = RefineRequest(CODE, (2.0, 1.0, 0.5))
TIMEOUT_S = 0.25
WINDOW_S = 2 * TIMEOUT_S
SLACK_S = 3.0
"""What a busy machine may take on top."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 1000000\r\n\r\n"
GZIP_WITH_A_NAME = b"\x1f\x8b\x08\x08\0\0\0\0\0\0"
URL = "{}/mesh.obj?sig=s1gnature"
FLOOD = "100 Continue without a pause"
"""Its server does not notice the end: the kernel holds megabytes back that it has sent."""
Send = Callable[[socket.socket, bytes], None]


class Raw:
    """A server that answers each connection, after its first bytes, with what a function sends."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ending = threading.Event()
        self.closed = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._send(connection, connection.recv(65536))
        self.closed += 1

    def close(self) -> None:
        self.ending.set()
        self._socket.shutdown(socket.SHUT_RDWR)  # closing alone does not wake the thread in accept()
        self._socket.close()


@pytest.fixture
def raw() -> Iterator[Callable[[Send], Raw]]:
    opened: list[Raw] = []

    def start(send: Send) -> Raw:
        opened.append(Raw(send))
        return opened[-1]

    yield start
    for server in opened:
        server.close()


def dripping(start: bytes, drip: bytes, every_s: float = 0.01) -> Send:
    """Send a start, and then the same bytes again and again."""

    def send(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(start)
        while not threading.Event().wait(every_s):
            connection.sendall(drip)

    return send


WAYS = {
    "100 Continue without end": dripping(b"", CONTINUE),
    FLOOD: dripping(b"", CONTINUE * 100, 0.0),
    "100 Continue whose headers drip": dripping(b"HTTP/1.1 100 Continue\r\nX: ", b"x"),
    "a status line that drips": dripping(b"HTTP/1.1 200 ", b"O"),
    "a header that drips": dripping(GOOD + b"X: ", b"x"),
    "a body that drips": dripping(GOOD + LENGTH, b" "),
    "a body without a length that drips": dripping(GOOD + b"\r\n", b" "),
    "chunks that drip": dripping(GOOD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a chunk's length that drips": dripping(GOOD + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x"),
    "a packed body that drips": dripping(GOOD + b"Content-Encoding: gzip\r\n" + LENGTH + GZIP_WITH_A_NAME, b"x"),
}


@contextlib.contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds + SLACK_S


def client_for(url: str, **options) -> Client:
    return Client(url, Secret(KEY), is_online=lambda: True, **{"timeout_s": TIMEOUT_S, **options})


@pytest.mark.parametrize("way", WAYS)
def test_whatever_arrives(raw, tmp_path, way):
    """A read, a submission, an upload, a download and a picture end by the deadline, and close their connection."""
    server = raw(WAYS[way])
    client = client_for(server.url)
    (tmp_path / "source").write_bytes(b"v 0 0 0\n")
    mesh_url = Secret(URL.format(server.url))
    for number, ask in enumerate(
        (
            lambda: client.read_session(CODE),
            lambda: client.create_session(tmp_path / "source"),
            lambda: client.download(mesh_url, tmp_path / "part", lambda _done, _total: None),
            lambda: client.image(mesh_url),
        )
    ):
        with ends_within(WINDOW_S), pytest.raises(errors.ServiceUnreachable) as caught:
            ask()
        assert not isinstance(caught.value, NotConnected)
        assert "too slowly" in str(caught.value)
        assert_no_secret(caught.value)
        if way != FLOOD:
            await_true(lambda number=number: server.closed == number + 1)
    with ends_within(WINDOW_S), pytest.raises(Unanswered):
        client.submit(REQUEST)


def await_true(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + SLACK_S
    while not condition():
        assert time.monotonic() < ends_at
        threading.Event().wait(0.01)


@pytest.mark.parametrize(
    "send",
    [dripping(b"", b""), dripping(b"\x16\x03\x03\x40\x00", b"\x00"), dripping(b"\x16\x03\x03\x00\x01\x00" * 3, b"")],
    ids=["silence", "a record that drips", "half a handshake"],
)
def test_a_handshake(raw, send):
    """So does TLS."""
    client = client_for(f"https://127.0.0.1:{raw(send).port}")
    with ends_within(WINDOW_S), pytest.raises(errors.ServiceUnreachable):
        client.read_session(CODE)


@pytest.mark.parametrize(
    "send",
    [WAYS["100 Continue without end"], WAYS["a status line that drips"], WAYS["a header that drips"]],
    ids=["100 Continue", "status line", "header"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_proxy(monkeypatch, raw, send, scheme):
    """So does a proxy: its tunnel, and what it answers itself."""
    server = raw(send)
    monkeypatch.setenv(f"{scheme}_proxy", server.url)
    client = client_for(f"{scheme}://api.csm.example")
    with ends_within(WINDOW_S), pytest.raises(errors.ServiceUnreachable):
        client.read_session(CODE)
    gc.collect()  # a TLS socket over a tunnel that has ended: urllib3 leaves it to be collected


def test_redirects(raw, tmp_path):
    """A download's redirects share one deadline, however many there are."""
    location = b"Content-Length: 0\r\nLocation: /again\r\nConnection: close\r\n\r\n"

    def send(connection: socket.socket, _head: bytes) -> None:
        threading.Event().wait(0.7 * TIMEOUT_S)
        connection.sendall(b"HTTP/1.1 302 Found\r\n" + location)

    client = client_for(raw(send).url)
    with ends_within(WINDOW_S), pytest.raises(errors.ServiceUnreachable, match="too slowly"):
        client.download(Secret(f"{client._base_url}/x"), tmp_path / "part", lambda _done, _total: None)


def test_a_name_that_is_not_found(monkeypatch):
    """A resolver that hangs holds nobody; nothing was sent, and nothing will be."""
    answers = threading.Event()
    made: list[object] = []

    def hanging(*_arguments, **_options):
        answers.wait(60)
        made.append(listener.getsockname())
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

    with socket.create_server(("127.0.0.1", 0)) as listener, monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", hanging)
        with ends_within(WINDOW_S), pytest.raises(NotConnected):
            client_for("http://slow.example").submit(REQUEST)
        answers.set()
        listener.settimeout(SLACK_S)
        connection, _ = listener.accept()  # the late connection: it is closed, and carries nothing
        with connection:
            connection.settimeout(SLACK_S)
            assert connection.recv(1) == b""
    assert made


def test_a_connection_that_is_not_accepted():
    """A machine that drops what it is sent: not connected."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):  # the backlog is full after some of these
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        client = client_for(f"http://127.0.0.1:{full.getsockname()[1]}")
        with ends_within(WINDOW_S), pytest.raises(errors.ServiceUnreachable):
            client.read_session(CODE)


# --- the least rate


def body_of(size: int, piece: int, every_s: float) -> Send:
    def send(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(GOOD + f"Content-Length: {size}\r\n\r\n".encode())
        for _ in range(0, size, piece):
            connection.sendall(b"x" * piece)
            threading.Event().wait(every_s)

    return send


def test_a_mesh_at_the_least_rate(raw, tmp_path):
    """A download goes on for several windows, as long as it comes at the least rate."""
    size = 40 * LEAST_BYTES_PER_S
    server = raw(body_of(size, 256, 0.01))
    started = time.monotonic()
    client_for(server.url).download(Secret(f"{server.url}/x"), tmp_path / "part", lambda _done, _total: None)
    assert time.monotonic() - started > 1.5 * WINDOW_S
    assert (tmp_path / "part").stat().st_size == size


def test_a_mesh_below_it(raw, tmp_path):
    """A slower one ends with its window, and its part is kept for the next attempt."""
    server = raw(body_of(10**6, 1, 0.01))
    with ends_within(WINDOW_S), pytest.raises(errors.ServiceUnreachable, match="too slowly"):
        client_for(server.url).download(Secret(f"{server.url}/x"), tmp_path / "part", lambda _done, _total: None)
    assert 0 < (tmp_path / "part").stat().st_size < LEAST_BYTES_PER_S


def test_an_answer_at_the_least_rate_ends_too(raw):
    """An answer of the API is small: its deadline is not renewed."""
    server = raw(body_of(10**6, 256, 0.001))
    with ends_within(WINDOW_S), pytest.raises(errors.ServiceUnreachable, match="too slowly"):
        client_for(server.url).read_session(CODE)


# --- a command's own time


def test_the_end_of_all_requests(raw):
    """Requests end with the command's time; one that begins as it ends has a moment, since a POST may have arrived."""
    server = raw(WAYS["100 Continue without end"])
    client = client_for(server.url, timeout_s=60.0, ends_at=time.monotonic() + 1.2 * LEAST_S)
    with ends_within(1.2 * LEAST_S), pytest.raises(errors.ServiceUnreachable):
        client.read_session(CODE)
    late = client_for(server.url, timeout_s=60.0, ends_at=time.monotonic() - 1.0)
    started = time.monotonic()
    with ends_within(LEAST_S), pytest.raises(Unanswered):
        late.submit(REQUEST)
    assert time.monotonic() - started > 0.9 * LEAST_S


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as served:
        yield served


@pytest.fixture
def terminal(tmp_path, api) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, api)
    yield opened
    opened.close()


def continuing(api: Api, *paths: str) -> Send:
    """Answer requests of some paths with 100 Continue for ever, others as the served API does, and close."""

    def send(connection: socket.socket, head: bytes) -> None:
        if any(f" {path} ".encode() in head for path in paths):
            WAYS["100 Continue without end"](connection, head)
        with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2]))) as behind:
            behind.sendall(head.replace(b"keep-alive", b"close"))
            while data := behind.recv(65536):
                connection.sendall(data)

    return send


@pytest.mark.parametrize(
    ("command", "codes"), [(("status", CODE), {6, 7}), (("submit", CODE), {6, 7}), (("wait",), {6, 7})]
)
def test_a_command_with_a_time(terminal, raw, api, command, codes):
    """With --timeout 3 a command ends within a few seconds, with a sentence, though the service never ends."""
    server = raw(WAYS["100 Continue without end"])
    terminal.environment["CSM_SERVICE"] = server.url
    if command == ("wait",):
        api.url = server.url
        command = ("wait", terminal.add().id)
    with ends_within(3.0 + LEAST_S):
        done = terminal.run(*command, "--timeout", "3", "--json")
    assert done.code in codes, done
    assert done.document["error"]["message"]
    assert done.err


def test_a_submission_that_is_never_answered(terminal, raw, api):
    """With --timeout 3 it is uncertain within a few seconds, and is not sent again."""
    api.before = [session_2024("preview_done")]
    server = raw(continuing(api, REFINE))
    with ends_within(3.0 + LEAST_S):
        done = terminal.run("submit", CODE, "--timeout", "3", "--json", CSM_SERVICE=server.url)
    assert (done.code, done.document["state"]) == (9, "UNCERTAIN"), done
    assert f"{SESSIONS}/{CODE}" in {seen.path for seen in api.seen}
