"""Waitress with limits on connections, headers, bodies and the time to receive a request.

Waitress receives a whole request before it calls the application, so a slow client occupies no thread. Its settings
limit the number of connections, the header, the body, and the pause between two pieces of a request. They do not end
a request that trickles in byte by byte, and they allow mesh-sized bodies without the key. So :class:`Listener`, passed
to Waitress as ``sockets``, accepts connections that count the bytes that they receive.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import tempfile
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import waitress.server

from ..core import disk_errors
from ..core.models import Secret
from . import responses
from .auth import is_valid_key
from .uploads import BODY_LIMIT_BYTES

THREADS = 8
CONNECTIONS = 400
"""Maximum for each port: both together stay below ``OPEN_FILES``."""
OPEN_FILES = 1024
IDLE_TIMEOUT_S = 5
"""A connection without traffic for this time is closed within two more seconds."""
RECEIVE_TIMEOUT_S = 3.0
"""Time to receive a request; with the key, extended by its received bytes / ``MIN_BYTES_PER_S``."""
MIN_BYTES_PER_S = 10_000
HEADER_LIMIT_BYTES = 16 * 1024
_RECEIVE_BYTES = 64 * 1024
_CLEANUP_INTERVAL_S = 1
_KEY_LINE = re.compile(rb"(?im)^x-api-key:[ \t]*(.*?)[ \t]*\r$")


class Connection(socket.socket):
    """An accepted connection. Waitress closes it if ``recv`` returns ``b""``, as after a disconnect by the client."""

    def __init__(self, fileno: int, key: Secret | None) -> None:
        super().__init__(fileno=fileno)
        self._key = key or Secret("")
        self._is_authenticated = key is None
        self._head = b""
        """The first received bytes, which are searched for the header with the key."""
        self._size = 0
        """Received bytes of the current request."""
        self._started_at: float | None = time.monotonic()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive data; if the request exceeds a limit, send the error response and return ``b""``."""
        data = super().recv(size, flags)
        if self._started_at is None:
            self._started_at = time.monotonic()
        self._size += len(data)
        if not self._is_authenticated:
            self._head += data[: HEADER_LIMIT_BYTES - len(self._head)]
            self._is_authenticated = any(
                is_valid_key(self._key, key.decode("latin-1")) for key in _KEY_LINE.findall(self._head)
            )
        refusal = self._refusal(time.monotonic() - self._started_at)
        if refusal:
            self._send_error(*refusal)
            return b""
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        """Send a piece of a response; data received after it belongs to the next request."""
        self._started_at, self._size = None, 0
        return super().send(data, flags)

    def _refusal(self, elapsed_s: float) -> tuple[int, str] | None:
        if not self._is_authenticated and self._size > HEADER_LIMIT_BYTES + BODY_LIMIT_BYTES:
            return 401, "The API key is missing or wrong. Send it in the header x-api-key."
        if elapsed_s > RECEIVE_TIMEOUT_S + (self._size / MIN_BYTES_PER_S if self._is_authenticated else 0):
            return 408, "The request arrives too slowly. Try again."
        if self._size > BODY_LIMIT_BYTES and disk_errors.is_full(Path(tempfile.gettempdir())):
            return 507, disk_errors.FULL
        return None

    def _send_error(self, status: int, sentence: str) -> None:
        """Send an error response and shut down writing, so that a client that is still sending receives it."""
        reason = HTTPStatus(status).phrase
        body = json.dumps(responses.envelope(status, sentence, {}, error=reason))
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with contextlib.suppress(OSError):  # the client has disconnected
            super().send(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
            self.shutdown(socket.SHUT_WR)


class Listener(socket.socket):
    """A listening socket. If ``key`` is set, requests without it have stricter limits."""

    key: Secret | None = None

    def accept(self) -> tuple[Connection, Any]:
        """Accept a connection; return it with its limits, and the client's address."""
        accepted, address = super().accept()
        return Connection(accepted.detach(), self.key), address


def allow_open_files() -> None:
    """Raise this process's limit on open files, 256 on macOS, to ``OPEN_FILES``."""
    if os.name == "posix":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < OPEN_FILES:
            with contextlib.suppress(ValueError, OSError):  # the hard limit is lower
                resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def start(application: Any, listener: Listener, *, max_body_bytes: int) -> None:
    """Serve on a daemon thread. Waitress refuses bodies above ``max_body_bytes``."""
    server = waitress.server.create_server(
        application,
        map={},
        sockets=[listener],
        threads=THREADS,
        ident="csm-refine",
        connection_limit=CONNECTIONS,
        channel_timeout=IDLE_TIMEOUT_S,
        cleanup_interval=_CLEANUP_INTERVAL_S,
        max_request_header_size=HEADER_LIMIT_BYTES,
        max_request_body_size=max_body_bytes,
        recv_bytes=_RECEIVE_BYTES,
        clear_untrusted_proxy_headers=True,
        asyncore_use_poll=hasattr(select, "poll"),  # select() is limited to file descriptors below 1,024
    )
    threading.Thread(target=server.run, name=f"http {listener.getsockname()[1]}", daemon=True).start()
