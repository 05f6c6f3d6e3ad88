"""How requests come in: their form, size and pace are limited before a thread or a route sees them.

Waitress takes a whole request in before it calls the application, so a slow one holds no thread; but it would keep
two gigabytes for anybody, wait for a byte each two minutes, and hand on requests that another server on the way may
read otherwise (RFC 9112, sections 6.1 and 11.2). What it refuses by itself is answered in the API's envelope.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import waitress.server
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.task import ErrorTask, WSGITask

from . import envelopes

BodyLimit = Callable[[str, str, Mapping[str, str]], int]
"""Method, path and headers (``X_API_KEY``) of a request; how many bytes of its body are kept."""
THREADS = 8
HEADER_LIMIT_BYTES = 16 * 1024
PATIENCE_S = 20.0
"""So long a connection may take to its first request, and a request to come in, its body's share not counted."""
SLOWEST_BYTES_PER_S = 10_000
_TENDING_S = 1
_VERSIONS = frozenset({"1.0", "1.1"})
_CODINGS = re.compile(rb"(?im)^transfer-encoding[ \t]*:(.*?)\r?$")
_CLOSING = frozenset({"401", "403", "421"})
_SENTENCES = {
    400: "The request is no well-formed HTTP.",
    413: "The request's body is larger than anything that this service takes.",
    431: f"The request's headers are larger than {HEADER_LIMIT_BYTES >> 10} KB.",
}


def start(
    application: Any,
    listener: socket.socket,
    *,
    limit: BodyLimit,
    greatest_body: int,
    patience_s: float = PATIENCE_S,
) -> None:
    """Serve on a thread that ends with the process.

    A body above ``limit`` is read to its end and not kept, so that its sender gets the application's answer; above
    ``greatest_body``, the connection is closed.
    """
    server = waitress.server.create_server(
        application,
        map={},
        sockets=[listener],
        threads=THREADS,
        ident="csm-refine",
        max_request_header_size=HEADER_LIMIT_BYTES,
        max_request_body_size=greatest_body,
        cleanup_interval=_TENDING_S,
        clear_untrusted_proxy_headers=True,
    )
    server.channel_class = type("Channel", (_Channel,), {"parser_class": staticmethod(_parser_with(limit))})
    server.maintenance = _tending(server, server.maintenance, patience_s)
    threading.Thread(target=server.run, name=f"http {listener.getsockname()[1]}", daemon=True).start()


def _parser_with(limit: BodyLimit) -> Callable[[Any], _Parser]:
    return lambda settings: _Parser(settings, limit)


def _tending(server: Any, close_idle: Callable[[float], None], patience_s: float) -> Callable[[float], None]:
    """Waitress's own round over the open connections, which ends idle ones, with ours over the late ones."""

    def tend(now: float) -> None:
        for channel in list(server.active_channels.values()):
            if not channel.requests and channel.is_late(patience_s):
                channel.will_close = True
        close_idle(now)

    return tend


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # Waitress has no types
    """A request that is coming in, refused where two servers could read it in two ways."""

    def __init__(self, settings: Any, limit: BodyLimit) -> None:
        super().__init__(settings)
        self._limit = limit
        self._started_at = time.monotonic()

    def parse_header(self, header_plus: bytes) -> None:
        """Read line and headers; what is refused answers 400."""
        codings = [value.strip(b" \t").lower() for value in _CODINGS.findall(header_plus)]
        if codings not in ([], [b"chunked"]):
            raise ParsingError("Transfer-Encoding")
        try:
            super().parse_header(header_plus)
        except (TransferEncodingNotImplemented, ValueError) as error:  # ValueError: of urlsplit, and of int
            raise ParsingError("start line or length") from error
        if self.version not in _VERSIONS:
            raise ParsingError("version")
        if codings and (self.version != "1.1" or "CONTENT_LENGTH" in self.headers):
            raise ParsingError("two lengths")
        if self.proxy_netloc and self.proxy_netloc != self.headers.get("HOST"):
            raise ParsingError("two hosts")
        if self.body_rcv is not None:
            self.body_rcv.buf = _Body(self.body_rcv.buf, self._limit(self.command, self.path, self.headers))

    def is_late(self, patience_s: float) -> bool:
        """Tell whether it should have come in by now."""
        allowed = patience_s + self.body_bytes_received / SLOWEST_BYTES_PER_S
        return bool(time.monotonic() - self._started_at > allowed)


class _Body:
    """A buffer of Waitress's that keeps no more than ``limit`` bytes, and counts all."""

    def __init__(self, kept: Any, limit: int) -> None:
        self._kept = kept
        self._limit = limit
        self._size = 0

    def append(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._kept.append(data)

    def __len__(self) -> int:
        return self._size

    def getfile(self) -> Any:
        return self._kept.getfile()

    def close(self) -> None:
        self._kept.close()


class _Refusal(ErrorTask):  # type: ignore[misc]
    """Waitress's answer to what never reached the application, or failed in it: the API's envelope, without details."""

    def execute(self) -> None:
        error = self.request.error
        sentence = _SENTENCES.get(error.code, "The service failed on this request; its log tells why.")
        body = json.dumps(envelopes.envelope(error.code, sentence, {}, error=error.reason)).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Answer(WSGITask):  # type: ignore[misc]
    """The application's answer; whoever may not ask does not keep the connection."""

    def build_response_header(self) -> bytes:
        if self.status[:3] in _CLOSING:
            self.set_close_on_finish()
        header: bytes = super().build_response_header()
        return header


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that must bring requests."""

    task_class = _Answer
    error_task_class = _Refusal

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._opened_at = time.monotonic()
        self._has_brought = False
        super().__init__(*arguments, **options)

    def service(self) -> None:
        self._has_brought = True
        super().service()

    def is_late(self, patience_s: float) -> bool:
        """Tell whether the client lets us wait for its first request, or for the rest of one."""
        request = self.request
        if request is not None:
            return bool(request.is_late(patience_s))
        return not self._has_brought and time.monotonic() - self._opened_at > patience_s
