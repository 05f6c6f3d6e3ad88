"""Clients that occupy the local service: half-open connections, requests that never end, bodies without the key."""

from __future__ import annotations

import contextlib
import itertools
import select
import selectors
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.reliability.abusive_clients import read_answers, running
from tests.support import sample_meshes

MESHES = "/local/sessions"
HALF_OPEN = 250
ENDS_WITHIN_S = 10.0
BEGINNINGS = (b"", b"GET / HT", b"GET /local/info HTTP/1.1\r\nhost: 127.0.0.1\r\nname: ")

UNENDING = (
    "",
    "GET / HT",
    "GET / HTTP/1.1\r\nhost: a\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n\r\nx",
    "POST / HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\ncontent-length: 900\r\n\r\nx",
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(tmp_path_factory.mktemp("slow")) as started:
        yield started


@contextlib.contextmanager
def half_open(port: int, count: int):
    """Keep so many connections with half a request each, and open a new one for each that is closed."""
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:

        def connect() -> None:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(BEGINNINGS[len(opened) % len(BEGINNINGS)])
            opened.append(connection)
            stack.callback(connection.close)
            selector.register(connection, selectors.EVENT_READ)

        def reconnect() -> None:
            while not is_over.is_set():
                for key, _ in selector.select(0.1):
                    with contextlib.suppress(ConnectionError):
                        if key.fileobj.recv(1000):
                            continue
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    connect()

        opened, is_over = [], threading.Event()
        for _ in range(count):
            connect()
        thread = threading.Thread(target=reconnect)
        thread.start()
        try:
            yield opened
        finally:
            is_over.set()
            thread.join()


def test_half_open_connections_delay_nobody(service):
    """With 250 half-open clients that reconnect, each request of another client is answered within 2 s."""
    longest_s, ends_at = 0.0, time.monotonic() + 12
    with half_open(service.port, HALF_OPEN) as opened:
        while len(opened) < 2 * HALF_OPEN and time.monotonic() < ends_at:
            started = time.monotonic()
            assert [answer.status for answer in service.send(service.head(connection="close"))] == [200]
            longest_s = max(longest_s, time.monotonic() - started)
        assert len(opened) >= 2 * HALF_OPEN, "they were not closed"
    assert longest_s < 2


def closed_after_s(service, port: int, beginning: str, pause_s: float) -> float:
    """After how long the service closes a connection on which a byte follows after each pause."""
    with service.connection(port) as connection:
        started = time.monotonic()
        connection.sendall(beginning.format(key=service.key).encode())
        connection.settimeout(pause_s)
        while (elapsed_s := time.monotonic() - started) < ENDS_WITHIN_S:
            try:
                if not connection.recv(4096):
                    break
            except TimeoutError:
                connection.sendall(b"x")
            except ConnectionError:
                break
        return elapsed_s


@pytest.mark.parametrize("port", ["api", "files"])
def test_a_request_that_never_ends_is_closed(service, file_port, port):
    """Whatever part of a request a client stays in, silent or with a byte now and then, it is closed within 10 s."""
    number = service.port if port == "api" else file_port
    ways = list(itertools.product(UNENDING, (0.2, 2.0, 4.0, ENDS_WITHIN_S)))
    with ThreadPoolExecutor(len(ways)) as pool:
        took = list(pool.map(lambda way: closed_after_s(service, number, *way), ways))
    assert {way: elapsed_s for way, elapsed_s in zip(ways, took, strict=True) if elapsed_s >= ENDS_WITHIN_S} == {}


@pytest.fixture(scope="module")
def file_port(service):
    mesh = sample_meshes.glb()
    (answer,) = service.send(service.head("POST", MESHES, content_length=str(len(mesh))) + mesh)
    return int(answer.body.decode().partition('preview_mesh_url_glb": "http://127.0.0.1:')[2].partition("/")[0])


def test_a_slow_request_is_answered_before_it_is_closed(service):
    """The answer to a request that arrives too slowly is 408 in the API's envelope."""
    with service.connection() as connection:
        connection.sendall(service.head("POST", MESHES, content_length="900"))
        while not select.select([connection], [], [], 0.2)[0]:
            connection.sendall(b"x")
        (answer,) = read_answers(connection)
    assert (answer.status, "slowly" in answer.message) == (408, True)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_without_the_key_is_not_received(service, is_chunked):
    """After 64 KB of a body, a client without the key is answered with 401 in the envelope and closed."""
    size = 64 << 20
    length = {"transfer_encoding": "chunked"} if is_chunked else {"content_length": str(size)}
    sent, chunk = 0, b"10000\r\n" + b"x" * 0x10000 + b"\r\n" if is_chunked else b"x" * 0x10000
    with service.connection() as connection:
        connection.sendall(service.head("POST", MESHES, x_api_key="k" * 32, **length))
        with contextlib.suppress(ConnectionError):
            while sent < size:
                sent += connection.send(chunk)
        (answer,) = read_answers(connection)
    assert (answer.status, "key" in answer.message) == (401, True)
    assert sent < 32 << 20  # what the sockets' own buffers hold


def test_a_body_with_the_key_may_take_its_time(service):
    """A mesh that arrives in pieces with pauses between them, at more than 10 KB a second, is received."""
    mesh = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"v 0 0 1\n" * 20_000 + b"f 1 2 3\n"
    with service.connection() as connection:
        connection.sendall(service.head("POST", MESHES, content_length=str(len(mesh)), connection="close"))
        for start in range(0, len(mesh), 40_000):
            assert not select.select([connection], [], [], 1.0)[0], "it was refused"
            connection.sendall(mesh[start : start + 40_000])
        (answer,) = read_answers(connection)
    assert answer.status == 201
