"""Disk space of the data folder: what jobs and local sessions hold, and deletion of what is not needed.

Not needed are: files of finished jobs that are older than :data:`KEEP_DAYS` or belong to a .blend file that is gone,
folders of jobs that are no longer listed, and local sessions without a job that are older than a day.

``python -m core.jobs.cleanup`` reads a request as a line of JSON, ``{"home", "blender", "delete"}``, and writes what
:func:`run` returns as a line of JSON, or ``{"error"}``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..data_dir import DataDir
from ..errors import CsmError, InputError, SessionUnknown, StorageError
from ..models import LOCAL, TERMINAL, Job, JobState
from ..private_files import OWN_UMASK
from ..processes.background import module_environment, python_command, request_line
from ..processes.local_service import LocalService
from ..providers.client import Client
from ..providers.client_factory import ClientFactory
from ..stdio import write
from . import state_machine
from .job_store import JobStore
from .runner import LEASE_S

MODULE = "core.jobs.cleanup"
DAY_S = 24 * 3600.0
KEEP_DAYS = 30
_OWNER = "cleanup"


@dataclasses.dataclass(frozen=True, slots=True)
class Space:
    """Bytes on disk, of which ``unneeded`` can be deleted, or ``deleted`` were."""

    jobs: int
    sessions: int
    unneeded: int
    deleted: int = 0


def run(data_dir: DataDir, store: JobStore, client: Callable[[], Client], *, delete: bool) -> Space:
    """Measure the data folder and, with ``delete``, delete what is not needed; ``client`` is the local service's.

    Raises CsmError if the local service does not start; it is needed only if a session is to be deleted.
    """
    now = time.time()
    sizes = {path: _size(path) for path in (*_folders(data_dir.jobs), *_folders(_sessions(data_dir)))}
    jobs = store.all()
    job_folders = [path for path in sizes if path.parent == data_dir.jobs and _is_unneeded(path, jobs, now)]
    sessions = [path for path in sizes if path.parent != data_dir.jobs and not _has_job(path, jobs, now)]
    if delete:
        for path in job_folders:
            _delete_job_folder(data_dir, store, path.name)
        for path in sessions:
            with contextlib.suppress(SessionUnknown, InputError):  # not the service's: left alone
                client().delete_session(path.name)
    unneeded = [*job_folders, *sessions]
    held = sum(size for path, size in sizes.items() if path.parent == data_dir.jobs)
    return Space(
        jobs=held,
        sessions=sum(sizes.values()) - held,
        unneeded=sum(sizes[path] for path in unneeded),
        deleted=sum(sizes[path] - _size(path) for path in unneeded) if delete else 0,
    )


def _is_unneeded(folder: Path, jobs: Iterable[Job], now: float) -> bool:
    job = next((job for job in jobs if job.id == folder.name), None)
    if job is None:
        return _age_s(folder, now) > DAY_S
    if job.state not in TERMINAL | {JobState.READY}:
        return False
    since = job.finished_at or job.answered_at or job.created_at
    has_result = job.state in (JobState.READY, JobState.PLACED)
    return now - since > KEEP_DAYS * DAY_S or (has_result and _is_gone(job.blend_file))


def _is_gone(blend_file: str) -> bool:
    """Return whether a .blend file was deleted; not so if its whole folder is missing, as of a drive that is away."""
    path = Path(blend_file)
    return bool(blend_file) and path.parent.is_dir() and not path.exists()


def _has_job(session: Path, jobs: Iterable[Job], now: float) -> bool:
    is_used = any(job.service == LOCAL and job.request.session_code == session.name for job in jobs)
    return is_used or _age_s(session, now) <= DAY_S


def _delete_job_folder(data_dir: DataDir, store: JobStore, job_id: str) -> None:
    """Delete a job's folder, unless the job was retried meanwhile or is being driven."""
    if not store.claim(job_id, _OWNER, time.time(), LEASE_S):
        return
    try:
        with contextlib.suppress(InputError):
            if not _is_unneeded(data_dir.jobs / job_id, [store.get(job_id)], time.time()):
                return
            store.change(job_id, lambda job: _without_files(job, time.time()))
        data_dir.delete_job_folder(job_id)
    finally:
        store.release(job_id, _OWNER)


def _without_files(job: Job, now: float) -> Job:
    """Return a job whose files are deleted: *Retry* downloads a result that was not placed."""
    is_ready = job.state is JobState.READY
    job = dataclasses.replace(job, mesh_path="", blend_path="", picture_path="")
    error = StorageError("The result's files were deleted to free disk space.", "Retry to download the result again.")
    return state_machine.failed(job, error, now) if is_ready else job


def _sessions(data_dir: DataDir) -> Path:
    return data_dir.service / "sessions"


def _folders(parent: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        yield from (Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False))


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder; 0 if there is none."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _age_s(folder: Path, now: float) -> float:
    try:
        return now - folder.stat().st_mtime
    except OSError:
        return 0.0


def start(data_dir: DataDir, python: str, blender: str, *, delete: bool, **options: Any) -> subprocess.Popen[bytes]:
    """Start this module as a process with its answer on stdout; ``options`` are Popen's. Raises OSError."""
    process = subprocess.Popen(
        python_command(python, MODULE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=data_dir.folder,
        env=module_environment(),
        **options,
    )
    if process.stdin:
        with contextlib.suppress(OSError), process.stdin as stdin:
            stdin.write(request_line({"home": str(data_dir.folder), "blender": blender, "delete": delete}))
    return process


def finish(process: subprocess.Popen[bytes]) -> Space:
    """Return the result of a process that :func:`start` started, at its end. Raises StorageError."""
    if process.stdout is None:
        raise AssertionError("stdout is a pipe")
    with process.stdout as stream:
        text = stream.read()
    process.wait()
    answer: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        answer = json.loads(text)
    if "deleted" not in answer:
        raise StorageError(answer.get("error") or "The clean-up ended without a result.", "Try again later.")
    return Space(**answer)


def main() -> int:
    """Handle the request on stdin and write the answer to stdout; return the exit code."""
    os.umask(OWN_UMASK)
    request = json.loads(sys.stdin.buffer.readline())
    data_dir = DataDir(Path(request["home"]))
    local_service = LocalService(data_dir, blender=request["blender"])
    wait = threading.Event().wait
    factory = ClientFactory(local_service, key_of=lambda _service: None, is_online=lambda: False, pause=wait)
    answer: dict[str, object]
    try:
        with JobStore(data_dir.journal) as store:
            space = run(data_dir, store, lambda: factory.client(LOCAL), delete=request["delete"])
        answer = dataclasses.asdict(space)
    except CsmError as error:
        answer = {"error": str(error)}
    finally:
        local_service.let_go()
    write(sys.stdout, json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
