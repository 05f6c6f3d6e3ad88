"""Real services as processes, spoken to over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.support import sample_meshes

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


class Service:
    """A running service, and its API with the key."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, key: str = "") -> None:
        self.process = process
        self.folder = folder
        self.first_line = process.stdout.readline()
        self.url = self.first_line.split()[-1] if self.first_line else ""
        self.key = key or (folder / "key").read_text()

    def ask(self, method, path, **options):
        headers = {"x-api-key": self.key, **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def create(self, mesh: bytes | None = None) -> str:
        answer = self.ask("POST", "/local/sessions", data=mesh or sample_meshes.glb())
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]["session_code"]

    def session(self, code: str) -> dict:
        return self.ask("GET", f"/image-to-3d-sessions/{code}").json()["data"]

    def order(self, code: str, **body):
        return self.ask("POST", f"/image-to-3d-sessions/get-3d/refine/{code}", json=body)

    def refined(self, code: str) -> dict:
        """The session once its refine has ended."""
        return wait_for(lambda: (found := self.session(code))["status"] != "training_refine" and found)

    def refine(self, code: str, **body) -> dict:
        assert self.order(code, **body).status_code == 200
        return self.refined(code)

    def log(self) -> str:
        return (self.folder / "requests.log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End the service and return how long that took."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(10)
        self.process.stdout.close()
        return time.monotonic() - started


def wait_for(condition, deadline_s: float = DEADLINE_S):
    """What ``condition`` returns as soon as that is true."""
    pause, ends_at = threading.Event(), time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < ends_at, "the condition did not come true in time"
        pause.wait(0.05)
    return found


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "csm_refine_addon.service", "--port", "0", "--data", str(folder), *options]


def run_to_end(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A service that is expected to refuse to start."""
    return subprocess.run(command(folder, *options), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def start_service(tmp_path):
    """Starts services that end with the test."""
    started = []

    def start(*options: str, folder: Path | None = None, key: str = "", variables=None, root: Path = ROOT) -> Service:
        folder = folder or tmp_path / "data"
        environment = {**os.environ, **(variables or {})}
        with (tmp_path / "stderr.txt").open("ab") as errors:
            process = subprocess.Popen(
                command(folder, *options), cwd=root, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        started.append(process)
        return Service(process, folder, key)

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A service that refines with this Python's Blender; shared, since each session in it stands alone."""
    folder = tmp_path_factory.mktemp("service")
    with (folder / "stderr.txt").open("ab") as errors:
        process = subprocess.Popen(command(folder / "data"), cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
    running = Service(process, folder / "data")
    yield running
    running.stop()


@pytest.fixture
def stalled_blender(tmp_path):
    """A program that takes a refine and never ends; it notes its process id in the refine's folder."""
    return _program(tmp_path / "python_stalled", "echo $$ > ../pid; sleep 1000 & wait")


@pytest.fixture
def waiting_blender(tmp_path):
    """A program that takes a refine and ends it well as soon as ``go`` is there, beside the program."""
    report = json.dumps({"ok": True, "formats": ["glb"], "method": "cleaned", "notes": []})
    lines = f"echo $$ > ../pid; until [ -e {tmp_path / 'go'} ]; do sleep 0.05; done; echo '{report}' > ../report.json"
    return _program(tmp_path / "python_waiting", lines)


@pytest.fixture
def crashing_blender(tmp_path):
    """A program that dies of a segmentation fault, as Blender may."""
    return _program(tmp_path / "python_crashing", "kill -SEGV $$")


def _program(path: Path, line: str) -> str:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


def started_process(service: Service, code: str) -> int:
    """The process id of the stalled program that works on a session."""
    folder = service.folder / "sessions" / code
    return wait_for(lambda: next((int(text) for path in folder.glob("*/pid") if (text := path.read_text())), 0))


@contextlib.contextmanager
def no_room(pid: int):
    """A running process can write no file in this block, as on a full disk: Linux lets others set its limits."""
    import resource

    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def endpoint(folder: Path) -> dict:
    return json.loads((folder / "endpoint.json").read_text())
