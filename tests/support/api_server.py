"""A small real HTTP server on loopback that plays the API from a script, with a storage on a port of its own.

What it was asked stands in ``Api.seen`` and ``Api.storage.seen``, headers and bodies included. Sessions are answered
in each of the API's forms; the mesh URLs in them are signed anew each time they are shown.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

CODE = "SESSION_1689256797_6037625"
KEY = "k3yk3yk3yk3yk3yk3yk3yk3yk3yk3y01"
ACCOUNT = "account%40mail.example"
"""Stands in the path of each mesh URL, as the vendor's does."""
TRIAL_KEY = "168923176748ZJ@NcRfUjXn2r5u8x"
TRIANGLE_OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
SESSIONS = "/image-to-3d-sessions"
REFINE = f"{SESSIONS}/get-3d/refine/{CODE}"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    peer: int = 0
    """The other end's port: the same one for requests over the same connection."""
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Answer:
    """What is answered: ``body`` as it is, as JSON, or as what it returns for the Api when it is called."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """The connection ends after so many bytes of the body."""
    resets: bool = False
    """No answer: the connection is reset once the request has been read."""
    hangs: bool = False
    """No answer, or after ``cut_after`` no more of it, for as long as the server runs."""
    takes: bool = True
    """Whether a refine that is answered like this was taken."""
    only_from: bool = False
    """A storage without ``If-Range``: sends the rest of whatever it has."""
    drips: bytes = b""
    """After the body this comes again and again, for as long as the other end listens."""
    drips_head: bool = False
    """It comes instead of the head's end."""


def wait_until(condition: Callable[[], Any], within_s: float = 20.0) -> Any:
    """Return the first true value of ``condition``; fail when it does not come in time."""
    ends_at = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < ends_at, "it did not come in time"
        threading.Event().wait(0.01)
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, answer: Callable[[Seen], Answer], owner: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.owner = owner
        self.seen: list[Seen] = []
        self.ending = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without the polite end that would come before a reset

    def close(self) -> None:
        self.ending.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would hold each body back for 40 ms
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, parts.path, parts.query, headers, body, self.client_address[1])
        self.server.seen.append(seen)
        self._send(self.server.answer(seen))

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 -- the standard library's names

    def _send(self, answer: Answer) -> None:
        stays_silent = answer.hangs and answer.cut_after is None
        if stays_silent:
            self.server.ending.wait(60)
        if answer.resets or stays_silent:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        content = answer.body(self.server.owner) if callable(answer.body) else answer.body
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(answer.status)
        length = {} if answer.drips else {"Content-Length": str(len(content))}
        for name, value in {**length, **answer.headers}.items():
            self.send_header(name, value)
        (self.flush_headers if answer.drips_head else self.end_headers)()
        with contextlib.suppress(ConnectionError):  # who asked has ended meanwhile, or heard enough
            self.wfile.write(content[: answer.cut_after])
            while answer.drips and not self.server.ending.wait(0.001):
                self.wfile.write(answer.drips)
        if answer.hangs:
            self.server.ending.wait(60)
        if answer.cut_after is not None or answer.drips:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the standard library's name
        pass


class Storage:
    """Mesh files behind signed URLs, with ETag, Range and If-Range. ``script`` goes before, one answer a request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.script: list[Answer] = []
        self.signature = 1000
        self._server = _Server(self._answer, self)
        self.seen = self._server.seen
        self.url = self._server.url
        self.close = self._server.close

    def put(self, name: str, content: bytes, tag: str = '"1"') -> None:
        self.files[name], self.tags[name] = content, tag

    def signed(self, name: str) -> str:
        """Return a URL with a signature of its own; all of them hold until ``expire``."""
        return f"{self.url}/{ACCOUNT}/{CODE}/{name}?se=2030-01-01&sp=r&sr=b&sig={self._sign()}"

    def expire(self) -> None:
        """From now on the URLs that were given out are refused."""
        self.signature += 1

    def _sign(self) -> str:
        return f"s1gnature{self.signature}"

    def _answer(self, seen: Seen) -> Answer:
        scripted = self.script.pop(0) if self.script else Answer()
        if scripted.status != 200 or scripted.body or scripted.resets or scripted.hangs or scripted.drips:
            return scripted
        name = seen.path.rpartition("/")[2]
        if parse_qs(seen.query).get("sig") != [self._sign()]:
            return Answer(403, b"<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code></Error>")
        content, headers = self.files[name], {"ETag": self.tags[name], **scripted.headers}
        start = self._start(seen, self.tags[name], always=scripted.only_from)
        if start is None:
            return Answer(200, content, headers, scripted.cut_after)
        if start >= len(content):
            return Answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(206, content[start:], headers, scripted.cut_after)

    @staticmethod
    def _start(seen: Seen, tag: str, *, always: bool) -> int | None:
        wanted = seen.headers.get("range", "")
        if not wanted or (seen.headers.get("if-range", tag) != tag and not always):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))


class Api:
    """One session, as a script: what it shows ``before`` and ``after`` a refine was taken, and how POSTs are answered.

    The last answer of each list repeats. ``others`` answers further paths.
    """

    def __init__(self) -> None:
        self.before: list[Answer] = [session_2024("preview_done")]
        self.after: list[Answer] = [session_2024("training_refine"), session_2024("refine_done", "mesh.obj")]
        self.posts: list[Answer] = [refine_ack()]
        self.others: dict[str, list[Answer]] = {}
        self.taken = 0
        self.storage = Storage()
        self.storage.put("mesh.obj", TRIANGLE_OBJ)
        self._server = _Server(self._answer, self)
        self.seen = self._server.seen
        self.url = self._server.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close()
        self.storage.close()

    @property
    def refines(self) -> list[Seen]:
        """Every refine that arrived."""
        return [seen for seen in self.seen if seen.method == "POST" and seen.path == REFINE]

    @property
    def looks(self) -> list[Seen]:
        """Every reading of the session that arrived."""
        return [seen for seen in self.seen if seen.method == "GET" and seen.path == f"{SESSIONS}/{CODE}"]

    def _answer(self, seen: Seen) -> Answer:
        if seen.path in self.others:
            return _next(self.others[seen.path])
        if seen.method == "GET" and seen.path == f"{SESSIONS}/{CODE}":
            return _next(self.after if self.taken else self.before)
        if seen.method == "POST" and seen.path == REFINE:
            answer = _next(self.posts)
            self.taken += answer.takes
            return answer
        return Answer(404, {"error": "", "message": "Session not found", "statusCode": 404, "data": {}})


def _next(answers: list[Answer]) -> Answer:
    return answers.pop(0) if len(answers) > 1 else answers[0]


# The documents, as the API reference shows them.


def envelope(data: object, message: str = "Retrieved", status: int = 200) -> dict[str, Any]:
    return {"error": "", "message": message, "statusCode": status, "data": data}


def refine_ack(**changes: Any) -> Answer:
    """Return the queue record that answers a refine: numbers are strings, and a document is in a string."""
    task = json.dumps({"scenario": CODE, "customer_email": "account@mail.example", "image_url": "https://x.example/i"})
    record = {
        "scenario": CODE,
        "unique_trial_key": TRIAL_KEY,
        "status": "unprocessed",
        "complete_job_data": {
            "scenario": CODE,
            "job_priority": "2",
            "call": "dreamfusion",
            "start_time": "1689231769.6472576",
            "task_data": task,
            "id": f"job:dreamfusion:{CODE}_{TRIAL_KEY}",
        },
    }
    return Answer(200, envelope({**record, **changes}, "Generating Mesh"))


def refusal(status: int, message: str = "", **more: Any) -> Answer:
    """Return an answer that takes nothing."""
    return Answer(status, {"error": "", "message": message, "statusCode": status, "data": {}}, takes=False, **more)


def html(status: int, **more: Any) -> Answer:
    """Return a gateway's page."""
    return Answer(status, b"<html><body><h1>Gateway</h1></body></html>", takes=False, **more)


def session_2024(word: str, mesh: str = "", *, keys: tuple[str, ...] = ("mesh_url_obj",), **changes: Any) -> Answer:
    """Return a session in the form of 2024: ``mesh`` is a file of the storage, shown under ``keys``."""
    return Answer(body=lambda api: envelope({**_fields_2024(api, word), **_urls(api, mesh, keys), **changes}))


def session_2025(
    word: str, mesh: str = "", percent: float = 0, *, keys: tuple[str, ...] = ("mesh_url_obj",), **changes: Any
) -> Answer:
    """Return a session in the form of 2025."""
    return Answer(body=lambda api: envelope({**_fields_2025(word, percent), **_urls(api, mesh, keys), **changes}))


def session_mixed(status: str, session_status: str, mesh: str = "", **changes: Any) -> Answer:
    """Return a session of the time when both words stood side by side."""
    return session_2025(session_status, mesh, status=status, **changes)


def session_v3(word: str, mesh: str = "", *, in_list: bool = True, **changes: Any) -> Answer:
    """Return a session of v3: no envelope."""

    def body(api: Api) -> dict[str, Any]:
        urls = {"data": {"obj_url": api.storage.signed(mesh)}} if mesh else {}
        output = {"meshes": [urls] if urls else []} if in_list else {"mesh": urls}
        return {"_id": CODE, "session_code": CODE, "status": word, "type": "image_to_3d", "output": output, **changes}

    return Answer(body=body)


def _fields_2024(api: Api, word: str) -> dict[str, Any]:
    keys = ("mesh_url", "mesh_url_glb", "mesh_url_usdz", "mesh_url_zip", "mesh_url_obj", "preview_mesh_url_zip")
    preview = {"preview_mesh_url_glb": api.storage.signed("preview.glb"), "preview_mesh_url_usdz": ""}
    known = {"_id": "64b0035d1924dcd2252770ca", "session_code": CODE, "user_id": None, "is_deleted": False}
    return {**known, **dict.fromkeys(keys, ""), **preview, "percentage": 0, "status": word, "spins": []}


def _fields_2025(word: str, percent: float) -> dict[str, Any]:
    known = {"session_code": CODE, "geometry_model": "turbo", "scaled_bbox": [-1, -1, -1], "pivot_point": [0, 0, 0]}
    times = {"created_at": "2025-01-01T00:00:00.000Z", "updated_at": "2025-01-01T00:00:00.000Z"}
    return {**known, **times, "session_status": word, "percent_done": percent}


def _urls(api: Api, mesh: str, keys: tuple[str, ...]) -> dict[str, str]:
    return {key: api.storage.signed(mesh) for key in keys} if mesh else {}
