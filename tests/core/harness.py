"""What drives a job in these tests: a journal in a folder, a clock that moves when one waits, a Blender that copies."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.jobs.runner import JobRunner
from csm_refine_addon.core.models import Box, Job, JobState, MeshReport, RefineRequest, Secret
from csm_refine_addon.core.providers.client import Client
from tests.support.api_server import CODE, KEY, Api

REPORT = MeshReport(1, 3, 0, (), Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), 60)
NOON = 1_700_000_000.0


FAKE_BLENDER = """#!{python}
import json, shutil, sys
request = json.load(open(sys.argv[-1]))
shutil.copyfile(request["mesh"], request["blend"])
box = dict(centre=[0, 0, 0], size=[1, 1, 1])
report = dict(triangles=1, vertices=3, materials=0, textures=[], box=box, size_bytes=60)
open(request["report"], "w").write(json.dumps(report))
"""


def copying_blender(folder: Path) -> Path:
    """Return a program that is started like Blender, and gives each mesh back as it is."""
    program = folder / "blender"
    program.write_text(FAKE_BLENDER.format(python=sys.executable))
    program.chmod(0o755)
    return program


class Clock:
    """Time that goes on only when one waits for it. ``each`` is called in every pause."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now
        self.pauses: list[float] = []
        self.stopped = False
        self.each: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> bool:
        assert seconds >= 0
        self.now += seconds
        self.pauses.append(seconds)
        self.each()
        return self.stopped


class CopyingWorkshop:
    """A workshop for meshes that need no work. ``errors`` are raised first, one for each mesh."""

    def __init__(self, home: DataDir) -> None:
        self.home = home
        self.errors: list[Exception] = []
        self.prepared: list[bytes] = []

    def prepare(self, job: Job, mesh: Path) -> tuple[Path, MeshReport]:
        self.prepared.append(mesh.read_bytes())
        if self.errors:
            raise self.errors.pop(0)
        blend = self.home.job_folder(job.id) / "result.blend"
        shutil.copyfile(mesh, blend)
        return blend, REPORT

    def export_source(self, job: Job) -> Path:
        return Path(shutil.copyfile(job.source_blend, self.home.job_folder(job.id) / "source.glb"))


class Harness:
    """A home folder with its journal, and engines that drive its jobs against one served API."""

    def __init__(self, folder: Path, api: Api) -> None:
        self.api = api
        self.home = DataDir(folder)
        self.clock = Clock()
        self.journal = JobStore(self.home.journal)
        self.workshop = CopyingWorkshop(self.home)
        self.online = True
        self.client = Client(api.url, Secret(KEY), is_online=lambda: self.online, timeout_s=20.0)
        self.states: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()
        self.journal.close()

    def add(self, service: str = "", **options) -> Job:
        request = RefineRequest(CODE, (2.0, 1.0, 0.5), (0.0, -0.5, 0.0))
        return self.journal.add(new_job(request, service or self.api.url, now=self.clock(), **options))

    def engine(self, **options) -> JobRunner:
        return JobRunner(
            store=self.journal,
            data_dir=self.home,
            client_for=lambda service: self.client,
            blender_tasks=self.workshop,
            wait=self.clock.pause,
            clock=self.clock,
            jitter=lambda: 0.5,
            on_change=self._note,
            **options,
        )

    def drive(self, job: Job | None = None, **options) -> Job:
        """Drive a new job, or the given one, until it rests."""
        return self.engine().drive((job or self.add()).id, **options)

    def _note(self, job: Job) -> None:
        if not self.states or self.states[-1] != job.state:
            self.states.append(str(job.state))


def assert_ready(house: Harness, job: Job, posts: int = 1) -> None:
    """The job has come to its end without trouble, with so many refines sent and taken."""
    assert (job.state, job.error, job.trouble) == (JobState.READY, None, "")
    assert len(house.api.refines) == house.api.taken == posts
    assert Path(job.blend_path).read_bytes() == house.api.storage.files["mesh.obj"]
