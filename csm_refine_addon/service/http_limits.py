"""Waitress with limits: connections, headers, bodies, and the time that a request may take to arrive.

Waitress receives a whole request before it calls the application, so a slow client occupies no thread. Its settings
bound the number of connections, the header, the body, and the pause between two pieces of a request. They do not end
a request of which a byte arrives now and then, and let everybody send a body as large as a mesh. The setting
``sockets`` takes a listening socket: the one of this module accepts connections that count what they receive.
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
from .auth import holds_key
from .uploads import BODY_LIMIT_BYTES

THREADS = 8
CONNECTIONS = 400
"""At most, for each port: with both, less than ``OPEN_FILES``."""
OPEN_FILES = 1024
IDLE_S = 5
"""A connection on which nothing has arrived or left for so long is closed within two seconds more."""
PATIENCE_S = 3.0
"""A request has so long to arrive; with the key, and more for each piece of its body that has arrived."""
SLOWEST_BYTES_PER_S = 10_000
HEADER_LIMIT_BYTES = 16 * 1024
_RECEIVE_BYTES = 64 * 1024
_TENDING_S = 1
_KEY_LINE = re.compile(rb"(?im)^x-api-key:[ \t]*(.*?)[ \t]*\r$")


class Connection(socket.socket):
    """An accepted connection. Waitress closes it where ``recv`` returns nothing, as if the client had."""

    def __init__(self, fileno: int, key: Secret | None) -> None:
        super().__init__(fileno=fileno)
        self._key = key or Secret("")
        self._has_key = key is None
        self._start = b""
        """What arrived first: the header that has the key, or not."""
        self._size = 0
        """Bytes of the request that is arriving, or is answered."""
        self._began_at: float | None = time.monotonic()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what has arrived; nothing where the request is refused, which has been answered then."""
        data = super().recv(size, flags)
        if self._began_at is None:
            self._began_at = time.monotonic()
        self._size += len(data)
        if not self._has_key:
            self._start += data[: HEADER_LIMIT_BYTES - len(self._start)]
            self._has_key = any(holds_key(self._key, key.decode("latin-1")) for key in _KEY_LINE.findall(self._start))
        refusal = self._refusal(time.monotonic() - self._began_at)
        if refusal:
            self._answer(*refusal)
            return b""
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        """Send a piece of an answer: what arrives after it is another request."""
        self._began_at, self._size = None, 0
        return super().send(data, flags)

    def _refusal(self, elapsed_s: float) -> tuple[int, str] | None:
        if not self._has_key and self._size > HEADER_LIMIT_BYTES + BODY_LIMIT_BYTES:
            return 401, "The API key is missing or wrong. Send it in the header x-api-key."
        if elapsed_s > PATIENCE_S + (self._size / SLOWEST_BYTES_PER_S if self._has_key else 0):
            return 408, "The request arrives too slowly. Try again."
        if self._size > BODY_LIMIT_BYTES and disk_errors.is_full(Path(tempfile.gettempdir())):
            return 507, disk_errors.FULL
        return None

    def _answer(self, status: int, sentence: str) -> None:
        """Send a refusal, and the end of the connection after it, so that a client that still sends reads it."""
        reason = HTTPStatus(status).phrase
        body = json.dumps(responses.envelope(status, sentence, {}, error=reason))
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with contextlib.suppress(OSError):  # the client has gone
            super().send(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
            self.shutdown(socket.SHUT_WR)


class Listener(socket.socket):
    """A listening socket. With a ``key``, requests without it are limited further."""

    key: Secret | None = None

    def accept(self) -> tuple[Connection, Any]:
        """Return a limited connection and its address."""
        accepted, address = super().accept()
        return Connection(accepted.detach(), self.key), address


def allow_open_files() -> None:
    """Raise the limit on this process's open files, which is 256 on macOS, to what the connections need."""
    if os.name == "posix":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < OPEN_FILES:
            with contextlib.suppress(ValueError, OSError):  # the system allows less
                resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def start(application: Any, listener: Listener, *, greatest_body: int) -> None:
    """Serve on a thread that ends with the process. Bodies above ``greatest_body`` bytes are refused by Waitress."""
    server = waitress.server.create_server(
        application,
        map={},
        sockets=[listener],
        threads=THREADS,
        ident="csm-refine",
        connection_limit=CONNECTIONS,
        channel_timeout=IDLE_S,
        cleanup_interval=_TENDING_S,
        max_request_header_size=HEADER_LIMIT_BYTES,
        max_request_body_size=greatest_body,
        recv_bytes=_RECEIVE_BYTES,
        clear_untrusted_proxy_headers=True,
        asyncore_use_poll=hasattr(select, "poll"),  # select() takes no file numbers from 1,024 on
    )
    threading.Thread(target=server.run, name=f"http {listener.getsockname()[1]}", daemon=True).start()
