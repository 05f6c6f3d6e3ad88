"""A service as a process, and bytes sent to it as they are: what no HTTP library would send."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.repository import ROOT

DEADLINE_S = 30.0
COPYING = """#!/bin/sh
# Started like a Python with bpy; "refines" a mesh into itself.
folder=..
cp "$folder"/../original/mesh.* "$folder/mesh.glb"
echo '{"ok": true, "formats": ["glb"]}' > "$folder/report.json"
"""


class Answer(NamedTuple):
    """One answer off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """What an envelope says."""
        return json.loads(self.body)["message"]


class Running:
    """A service, its key, and the ports of API and files."""

    def __init__(self, folder: Path, url: str, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.url = url
        self.process = process
        self.key = (folder / "key").read_text()
        self.host = urlsplit(url).netloc
        self.port = urlsplit(url).port

    def head(self, method: str = "GET", path: str = "/local/info", **headers: str) -> bytes:
        """Line and headers of a request that would be good; underscores in names stand for dashes, "" takes out."""
        named = {"host": self.host, "x-api-key": self.key}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in named.items() if value]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")

    def send(self, data: bytes, port: int | None = None) -> list[Answer]:
        """All answers to these bytes, after which nothing more is sent."""
        with self.connection(port) as connection:
            with contextlib.suppress(ConnectionError):  # refused while we were sending
                connection.sendall(data)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            return list(read_answers(connection))

    def connection(self, port: int | None = None) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.port), timeout=DEADLINE_S)


def read_answers(connection: socket.socket) -> Iterator[Answer]:
    """Each answer until the other side closes; each has a Content-Length or is chunked, but for 304."""
    with connection.makefile("rb") as stream:
        while line := _line(stream):
            headers = dict(_headers(stream))
            chunks = b"".join(_chunks(stream)) if headers.get("transfer-encoding") == "chunked" else b""
            body = chunks or stream.read(int(headers.get("content-length", "0")))
            yield Answer(int(line.split()[1]), headers, body)


def _line(stream) -> bytes:
    try:
        return stream.readline().strip()
    except ConnectionError:
        return b""


def _chunks(stream) -> Iterator[bytes]:
    while size := int(_line(stream) or b"0", 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def _headers(stream) -> Iterator[tuple[str, str]]:
    while line := _line(stream):
        name, _, value = line.decode("latin-1").partition(":")
        yield name.lower(), value.strip()


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Running]:
    """A service whose refines are copies, on free ports, until the end of the block."""
    program = folder / "python_copying"
    program.write_text(COPYING)
    program.chmod(0o755)
    command = [sys.executable, "-m", "csm_refine_addon.service", "--port", "0", "--data", str(folder / "data")]
    with (
        (folder / "stderr.txt").open("ab") as errors,
        subprocess.Popen(
            [*command, "--blender", str(program), *options],
            cwd=ROOT, env=os.environ.copy(), stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as process,
    ):  # fmt: skip
        try:
            yield Running(folder / "data", process.stdout.readline().split()[-1], process)
        finally:
            process.terminate()
