"""A real local service whose refines all stand still at once until they are let go, and what it was asked."""

from __future__ import annotations

import contextlib
import fcntl
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import requests

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import LOCAL, Job, RefineRequest
from csm_refine_addon.core.providers import csm_schema
from tests.support.api_server import SESSIONS, TRIANGLE_OBJ
from tests.support.repository import ROOT

# Started like a Python that has bpy, for a refine and to prepare a mesh; small, since so many of them wait at a time.
STAND_IN = """#!/bin/sh
value() {{ sed -n 's/.*"'"$1"'": "\\([^"]*\\)".*/\\1/p' request.json; }}
if grep -q '"blend"' request.json; then
    cp "$(value mesh)" "$(value blend)"
    echo '{{"triangles": 1, "vertices": 3, "materials": 0, "textures": [], "size_bytes": 60,
        "box": {{"centre": [0, 0, 0], "size": [1, 1, 1]}}}}' > "$(value report)"
else
    flock --shared "{gate}" true
    cp "$(value folder)"/../original/mesh.obj "$(value folder)/mesh.obj"
    echo '{{"ok": true, "formats": ["obj"]}}' > "$(value folder)/report.json"
fi
"""
REFINE = f"{SESSIONS}/get-3d/refine/"
LOGGED = re.compile(r"(\S+ \S+) INFO (GET|POST|PUT|DELETE) '(\S+)' 200 ")


class Refines:
    """The local service of a home, which takes so many refines at a time."""

    def __init__(self, home: DataDir, at_a_time: int) -> None:
        self.home = home
        self.program = home.folder / "python_waiting"
        self._gate = home.folder / "gate"
        self._gate.touch()
        self.program.write_text(STAND_IN.format(gate=self._gate))
        self.program.chmod(0o755)
        options = ["--port", "0", "--data", str(home.service), "--workers", str(at_a_time)]
        command = [sys.executable, "-m", "csm_refine_addon.service", *options, "--blender", str(self.program)]
        with (home.folder / "stderr.txt").open("ab") as errors:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._url = self.process.stdout.readline().split()[-1]
        self._http = requests.Session()
        self._http.headers["x-api-key"] = (home.service / "key").read_text()

    def close(self) -> None:
        self._http.close()
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()

    def session(self) -> str:
        answer = self._http.post(f"{self._url}/local/sessions", data=TRIANGLE_OBJ, timeout=30)
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]["session_code"]

    def order(self, code: str) -> csm_schema.Session:
        """Have a session refined, and return how it stands then."""
        answer = self._http.post(f"{self._url}{SESSIONS}/get-3d/refine/{code}", json={}, timeout=30)
        assert answer.status_code == 200, answer.text
        answer = self._http.get(f"{self._url}{SESSIONS}/{code}", timeout=30)
        return csm_schema.read_session(csm_schema.read_reply(answer.status_code, answer.content))

    def running(self) -> int:
        return self._http.get(f"{self._url}/local/info", timeout=30).json()["data"]["running"]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No refine ends before this does."""
        with self._gate.open("rb") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def log(self) -> list[tuple[float, str, str]]:
        """Every request that was answered with 200: when, its method and its path."""
        lines = (self.home.service / "requests.log").read_text().splitlines()
        found = [match.groups() for line in lines if (match := LOGGED.match(line))]
        return [(datetime.fromisoformat(at).timestamp(), *rest) for at, *rest in found]

    def posts(self) -> Counter[str]:
        """How many refines of each session the service took."""
        return Counter(path.rpartition("/")[2] for _at, _method, path in self.log() if path.startswith(REFINE))

    def asked(self, since: float, start: str) -> list[float]:
        """When addresses that begin so were asked."""
        return [at for at, _method, path in self.log() if at >= since and path.startswith(start)]


def ordered(service: Refines, code: str) -> Job:
    """A job as it is once its refine has been taken; nobody drives it yet."""
    now = time.time()
    return state_machine.baseline_read(new_job(RefineRequest(code), LOCAL, now=now), service.order(code), now)
