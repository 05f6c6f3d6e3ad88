"""A home whose processes can be halted at a transition and killed, and what must be true of it afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psutil

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import crash_points
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.mesh_files import check
from csm_refine_addon.core.models import LOCAL, TERMINAL, Job, JobState, RefineRequest, Secret
from csm_refine_addon.core.processes.background import BLENDER_VARIABLE
from csm_refine_addon.core.processes.local_service import LocalService
from csm_refine_addon.core.providers import account_binding
from csm_refine_addon.core.providers.client import Client
from tests.support.api_server import TRIANGLE_OBJ, wait_until
from tests.support.repository import ROOT

ORPHANS_S = 5.0
"""So soon after a kill nothing may be left of what the killed process had started, on a machine with nothing else."""
ENDS_S = 120.0
RESTS = {*TERMINAL, JobState.READY}

# Started like a Python that has bpy: all of the product's own code runs, but for the work on the mesh.
QUICK_BLENDER = """#!{python}
import json, os, shutil, sys, threading, types
from pathlib import Path

HERE = Path(__file__).parent
def whole(path, content):
    part = Path(str(path) + ".part")
    part.write_bytes(content)
    part.replace(path)
def work(name):
    (HERE / f"{{name}}.pid").write_text(str(os.getpid()))
    threading.Event().wait(float((HERE / "pace").read_text()))
    while (HERE / f"{{name}}.hold").exists():
        threading.Event().wait(0.02)
    if (HERE / f"{{name}}.crash").exists():
        os.abort()
def prepare(request):
    work("prepare")
    ready = HERE / "ready.blend"
    whole(request["blend"], (ready if ready.exists() else Path(request["mesh"])).read_bytes())
    box = dict(centre=[0, 0, 0], size=[1, 1, 1])
    report = dict(triangles=1, vertices=3, materials=0, textures=[], box=box, size_bytes=60)
    whole(request["report"], json.dumps(report).encode())
    return 0
def refine(request):
    folder = Path(request["folder"])
    with (HERE / "runs").open("a") as runs:
        runs.write(f"{{folder.parent.name}} {{folder.name}}\\n")
    work("refine")
    whole(folder / "mesh.obj", Path(json.loads((folder / "order.json").read_text())["mesh"]).read_bytes())
    whole(folder / "report.json", json.dumps(dict(ok=True, formats=["obj"])).encode())
    return 0
for name, main in {{"blender.background.prepare": prepare, "remesh": refine}}.items():
    module = types.ModuleType(name)
    module.main = main
    sys.modules["csm_refine_addon." + name] = module
exec(sys.argv[sys.argv.index("-c") + 1])
"""


class Harness:
    """A home folder with a stand-in for the background Blender; Blender, worker and service are started on demand."""

    def __init__(self, folder: Path, *, pace_s: float = 0.0, key: str = "", is_real: bool = False) -> None:
        self.home = DataDir(folder / "home").ensure()
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.program = sys.executable if is_real else str(self.tools / "python_quick")
        self._key = key
        self._blender: subprocess.Popen[bytes] | None = None
        self._service: subprocess.Popen[bytes] | None = None
        self._local = LocalService(self.home, blender=self.program)
        if not is_real:
            Path(self.program).write_text(QUICK_BLENDER.format(python=sys.executable))
            Path(self.program).chmod(0o755)
        (self.tools / "pace").write_text(str(pace_s))
        self.mesh = folder / "mesh.obj"
        self.mesh.write_bytes(TRIANGLE_OBJ)
        self.journal = JobStore(self.home.journal, busy_timeout_s=20.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """End everything, whatever happened."""
        self.journal.close()
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self._blender:
            self._close(self._blender)
        if self._service:
            self._service.wait(10)

    # --- who is there

    def open_blender(self, crash_at: str = "") -> None:
        """Start what plays Blender: no more than its worker is kept."""
        self._open(crash_at, "crash_blender", str(self.home.folder), self.program, self._key)

    def open_window(self, code: str, crash_at: str = "") -> None:
        """Start a real Blender, as far as it goes without a window, that refines a session and places the result."""
        self._open(crash_at, "crash_window", str(self.home.folder), "", "0", code)

    def _open(self, crash_at: str, module: str, *arguments: str) -> None:
        own = {"BLENDER_USER_RESOURCES": str(self.tools / "user"), BLENDER_VARIABLE: self.program}
        environment = {**os.environ, **own, crash_points.VARIABLE: crash_at}
        command = [sys.executable, "-m", f"tests.reliability.{module}", *arguments]
        self._blender = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def close_blender(self) -> None:
        """End it as a Blender ends: its worker follows by itself."""
        if self._blender:
            self._close(self._blender)
            self._blender = None

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def find(self, who: str) -> psutil.Process | None:
        """One of those that can be killed, where it is alive."""
        with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
            found = self._find(who)
            return found if found and is_alive(found) else None
        return None

    def _find(self, who: str) -> psutil.Process | None:
        if who == "Blender":
            return psutil.Process(self._blender.pid) if self._blender else None
        if who == "worker":
            return next(iter(psutil.Process(self._blender.pid).children()), None) if self._blender else None
        if who == "local service":
            return psutil.Process(json.loads((self.home.service / "endpoint.json").read_text())["pid"])
        parent = {"preparing Blender": "worker", "refining Blender": "local service"}[who]
        children = found.children() if (found := self.find(parent)) else []
        return next((child for child in children if self.program in child.cmdline()), None)

    def processes(self) -> dict[psutil.Process, str]:
        """Every process that works on this home, with its command."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                command = " ".join(process.cmdline())
                if str(self.home.folder) in command and is_alive(process):
                    found[process] = command
        return found

    def orphans(self) -> list[str]:
        """What is left beside Blender, its worker and the service, though there is nothing to do any more."""

        def left() -> list[str]:
            there = self.processes()
            known = {found.pid for who in ("Blender", "worker", "local service") if (found := self.find(who))}
            return [command for process, command in there.items() if process.pid not in known]

        with contextlib.suppress(AssertionError):
            wait_until(lambda: not left(), orphans_s())
            return []
        return left()

    # --- halting and killing

    def halted(self, who: str = "worker") -> psutil.Process:
        """A process, as soon as it stands still at its place."""

        def halted() -> psutil.Process | None:
            found = self.find(who)
            return found if found and found.status() == psutil.STATUS_STOPPED else None

        return wait_until(halted, ENDS_S)

    def kill(self, who: str) -> bool:
        """Kill -9; False where there is none."""
        victim = self.find(who)
        if victim is None:
            return False
        victim.send_signal(signal.SIGKILL)
        with contextlib.suppress(psutil.Error):
            wait_until(lambda: not is_alive(victim))
        return True

    def lapse(self) -> None:
        """Let a quarter of a minute pass for the leases of those who were killed."""
        with contextlib.closing(sqlite3.connect(self.home.journal, timeout=20)) as connection, connection:
            connection.execute("UPDATE leases SET until = 0")

    @contextlib.contextmanager
    def told(self, *names: str) -> Iterator[None]:
        """Tell the stand-in something for a while: ``refine.hold``, ``prepare.crash``."""
        for name in names:
            (self.tools / name).write_text("")
        yield
        for name in names:
            (self.tools / name).unlink(missing_ok=True)

    # --- jobs

    def session(self) -> str:
        """A session of the local service, made out of a mesh."""
        if self.find("local service") is None:
            self._serve()
        url, key = self._local.find_or_start(threading.Event().wait)
        client = Client(url, key, is_online=lambda: True, timeout_s=20.0)
        with contextlib.closing(client):
            return client.create_session(self.mesh).code

    def _serve(self) -> None:
        """Start the service as a worker does; ours to wait for."""
        options = ["--port", "0", "--data", str(self.home.service), "--until-unused", "--blender", self.program]
        self.home.service.mkdir(exist_ok=True)
        with (self.home.service / "service.log").open("ab") as log:
            command = [sys.executable, "-m", "csm_refine_addon.service", *options]
            if self._service:
                self._service.wait(10)
            self._service = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: (found := self.find("local service")) and found.pid == self._service.pid)

    def new_job(self, code: str, service: str = LOCAL, **options: Any) -> Job:
        account = account_binding.fingerprint(self.home.folder, service, Secret(self._key) if self._key else None)
        options = {"account": account, **options}
        return new_job(RefineRequest(code), service, now=time.time(), poll_s=(0.05, 0.1), **options)

    def wait_for(self, job: Job, condition: Callable[[Job], bool], within_s: float = ENDS_S) -> Job:
        return wait_until(lambda: condition(found := self.journal.get(job.id)) and found, within_s)

    def ended(self, job: Job) -> Job:
        return self.wait_for(job, lambda job: job.state in RESTS)

    # --- what must be true

    def posts(self, code: str) -> int:
        """How many refines of a session the service took: by its log, or by the refines that it began."""
        logs = "".join(path.read_text() for path in self.home.service.glob("requests.log*"))
        logged = len(re.findall(rf"POST '/image-to-3d-sessions/get-3d/refine/{code}' 200 ", logs))
        runs = (self.tools / "runs").read_text().splitlines() if (self.tools / "runs").exists() else []
        return max(logged, len({line for line in runs if line.startswith(f"{code} ")}))

    def require_whole(self) -> None:
        """The journal is intact, no job has gone, and what has a final name is complete."""
        with contextlib.closing(sqlite3.connect(self.home.journal, timeout=20)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not list(self.home.folder.glob("journal.corrupt-*"))
        files = [*self.home.folder.glob("jobs/*/*"), *self.home.folder.glob("service/sessions/*/*/*")]
        assert [path for path in files if not is_whole(path)] == []


def is_whole(path: Path) -> bool:
    """Tell whether a file is what its name says, from its first byte to its last."""
    if path.suffix in (".obj", ".glb", ".zip"):
        return check(path) == path.suffix[1:]
    if path.suffix == ".blend" and path.read_bytes() != TRIANGLE_OBJ:  # the stand-in copies
        content = path.read_bytes()
        return content.startswith(b"BLENDER") and b"ENDB" in content[-64:]
    if path.name == "report.json":
        return isinstance(json.loads(path.read_text()), dict)
    return True


def orphans_s() -> float:
    """Return ORPHANS_S on this machine as it is now: where others wait for its processors, all takes longer."""
    return ORPHANS_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def require_gone(process: psutil.Process) -> None:
    """See that a process has ended because the one that had started it was killed."""
    within_s, started = orphans_s(), time.monotonic()
    while is_alive(process):
        assert time.monotonic() - started < within_s, f"{process} outlived the one that had started it"
        threading.Event().wait(0.02)


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
