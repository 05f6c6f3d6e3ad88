"""The command line in a process of its own, in a Python without bpy, with a home, a service and a key of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import RefineRequest
from csm_refine_addon.core.providers import csm_schema
from tests.support.api_server import CODE, KEY
from tests.support.repository import ROOT

WITHOUT_BPY = """
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name == "bpy" else find_spec(name, *more)
"""
"""A sitecustomize.py under which a Python has no bpy, though it may be installed."""
PREVIEW_SESSION, RUNNING_SESSION = (
    csm_schema.read_session(csm_schema.Reply(200, "", {"session_code": CODE, "status": word}))
    for word in ("preview_done", "training_refine")
)


@dataclasses.dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        """The JSON object: the only line of stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class Terminal:
    """Runs commands with a home, a service and a key of their own."""

    def __init__(self, folder: Path, api) -> None:
        self.api = api
        self.home = DataDir(folder / "home")
        self.folder = folder
        self.started: list[subprocess.Popen] = []
        (folder / "python").mkdir()
        (folder / "python" / "sitecustomize.py").write_text(WITHOUT_BPY)
        names = ("HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        self.environment = {
            **kept,
            "PATH": "",
            "PYTHONPATH": os.pathsep.join([str(folder / "python"), str(ROOT)]),
            "CSM_REFINE_HOME": str(self.home.folder),
            "CSM_API_KEY": KEY,
            "CSM_SERVICE": api.url,
        }

    def start(
        self, *arguments: str, before: tuple[str, ...] = (), stderr: Any = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen:
        """Start a command; ``before`` is a program that starts it in its own way."""
        process = subprocess.Popen(
            [*before, sys.executable, "-W", "error", "-m", "csm_refine_addon.cli", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**self.environment, **environment},
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            with process:  # closes its pipes
                process.kill()

    def run(self, *arguments: str, **options: Any) -> Done:
        return ended(self.start(*arguments, **options))

    def add(self, **options):
        """Write a job down that is followed with short pauses, as the panel's settings allow."""
        with JobStore(self.home.journal) as journal:
            asked = new_job(
                RefineRequest(CODE, (2.0, 1.0, 0.5)), self.api.url, now=time.time(), poll_s=(0.05, 0.1), **options
            )
            return journal.add(asked, again=True)

    def job(self, job_id: str = ""):
        with JobStore(self.home.journal) as journal:
            return journal.get(job_id) if job_id else journal.all()[-1]

    def all(self):
        with JobStore(self.home.journal) as journal:
            return journal.all()

    def change(self, job, step):
        with JobStore(self.home.journal) as journal:
            return journal.change(job.id, lambda job: step(job, time.time()))


def ended(process: subprocess.Popen) -> Done:
    out, err = process.communicate(timeout=60)
    err = err or ""
    assert KEY not in out + err
    assert "Traceback" not in err
    return Done(process.returncode, out, err)
