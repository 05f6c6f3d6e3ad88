"""A request and what is made of it, as the faults see and change it."""

from __future__ import annotations

import enum
import http
import json
from dataclasses import dataclass, field
from typing import Any


class Stage(enum.StrEnum):
    """Where in a refine a fault hits."""

    BASELINE = "baseline"
    POST = "POST"
    POLL = "poll"
    DOWNLOAD = "download"
    PREPARE = "prepare"
    PLACE = "place"


@dataclass
class Answer:
    """An answer in one piece; header names in lower case."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    says_length: bool = True

    @property
    def document(self) -> Any:
        """The body's JSON, or None."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def head(self) -> bytes:
        """The status line and the headers; each connection serves one request."""
        try:
            phrase = http.HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        headers = {"content-length": str(len(self.body)), **self.headers} if self.says_length else self.headers
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")


@dataclass
class Sending:
    """How an answer leaves."""

    cut_at: float | None = None
    """The connection ends after this part of the body, 0 to 1."""
    byte_pause_s: float = 0.0
    """The pause after each byte, of the head, too."""
    resets: bool = False
    """Instead of the answer the connection is reset."""
    hangs: bool = False
    """No answer, for as long as the other side waits."""
    endless: bool = False
    """Zeros follow the body, for as long as the other side reads."""


@dataclass
class Exchange:
    """One request. A fault that sets ``answer`` before the service was asked keeps the request from it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    stage: Stage | None
    elsewhere: str
    """The base URL of another host, to be sent to; what arrives there is noted."""
    answer: Answer | None = None
    sending: Sending = field(default_factory=Sending)
    accepted: bool = False
    """A refine that the service took."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path
