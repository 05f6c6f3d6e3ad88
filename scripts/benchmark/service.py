"""A service as fast as a service can be: it speaks the API of a refine, and its result is a file that is there already.

    python service.py [--mesh FILE | --zeros BYTES] [--refine-s SECONDS]

Prints its address. Runs as a process of its own, so that it takes no time from the Blender that is measured.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

API = "/image-to-3d-sessions/"
REFINE = API + "get-3d/refine/"
CODE = "SESSION_1689256797_6037625"
KEY = "0123456789abcdef0123456789abcdef"
BLOCK = bytes(1 << 20)


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """Run the service and give its address."""
    command = [sys.executable, "-P", __file__, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


class Handler(BaseHTTPRequestHandler):
    """One request. A refine is running for `refine_s` after its POST, whatever the session's code."""

    protocol_version = "HTTP/1.1"
    options: argparse.Namespace
    sent_at: dict[str, float] = {}  # noqa: RUF012 -- one service, one process

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        code = self.path.removeprefix(REFINE)
        self.sent_at[code] = time.monotonic()
        self._answer("Generating Mesh", {"scenario": code, "status": "unprocessed", "unique_trial_key": "benchmark"})

    def do_GET(self) -> None:
        if self.path.startswith("/mesh"):
            self._send_mesh()
        else:
            self._answer("Retrieved", self._session(self.path.removeprefix(API)))

    def _session(self, code: str) -> dict[str, Any]:
        sent_at = self.sent_at.get(code)
        status, url = "preview_done", ""
        if sent_at is not None:
            is_done = time.monotonic() - sent_at >= self.options.refine_s
            status = "refine_done" if is_done else "training_refine"
            url = f"http://{self.headers['Host']}/mesh?sig=benchmark" if is_done else ""
        return {"session_code": code, "status": status, "mesh_url_glb": url, "updated_at": str(sent_at)}

    def _answer(self, message: str, data: dict[str, Any]) -> None:
        body = json.dumps({"error": "", "message": message, "statusCode": 200, "data": data}).encode()
        self._begin("application/json", len(body))
        self.wfile.write(body)

    def _send_mesh(self) -> None:
        if self.options.mesh is not None:
            self._begin("model/gltf-binary", self.options.mesh.stat().st_size)
            with self.options.mesh.open("rb") as file:
                self.connection.sendfile(file)
            return
        head = empty_glb_head(self.options.zeros)
        self._begin("model/gltf-binary", self.options.zeros)
        self.wfile.write(head)
        left = self.options.zeros - len(head)
        while left:
            left -= self.wfile.write(BLOCK[:left])

    def _begin(self, kind: str, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def empty_glb_head(size: int) -> bytes:
    """Return how a sound GLB of so many bytes begins, with no mesh in it: all that follows is its buffer."""
    left = size - 12 - 8 - 8
    text = json.dumps({"asset": {"version": "2.0"}, "buffers": [{"byteLength": left - 1024}]}).encode().ljust(1024)
    header = struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON") + text
    return header + struct.pack("<I4s", left - 1024, b"BIN\0")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mesh", type=Path)
    parser.add_argument("--zeros", type=int, default=0)
    parser.add_argument("--refine-s", type=float, default=1.0)
    Handler.options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
