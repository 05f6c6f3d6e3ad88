"""Tasks of a background Blender: prepare a mesh, and export the source of a new session."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import disk_errors, limits, serialization
from ..data_dir import DataDir
from ..errors import BlendTooNew, CsmError, MeshUnusable, PrepareFailed, StorageError
from ..models import LOCAL, Job, MeshReport
from .background import Wait, find_background_blender
from .local_service import works_with

LAST_WORDS_BYTES = 4096
NO_MEMORY = (b"alloc returns null", b"std::bad_alloc", b"MemoryError")
"""What Blender, its libraries and Python say before they end for want of memory."""
NO_ROOM = os.strerror(errno.ENOSPC).encode()
AT_A_TIME = threading.BoundedSemaphore(2)
"""Background Blenders of one process at the same time: each may take gigabytes."""


@dataclass(frozen=True, slots=True)
class BackgroundTasks:
    """Runs our modules in a background Blender; ``program`` is empty where it is to be found."""

    home: DataDir
    program: str
    pause: Wait

    def prepare(self, job: Job, mesh: Path) -> tuple[Path, MeshReport]:
        """Turn a checked mesh file into a .blend with one object; see ``meshes/prepare.py``.

        Raises MeshUnusable where the mesh is at fault, BlendTooNew where it was written by a newer Blender,
        PrepareFailed where Blender is at fault, Stopped.
        """
        folder = self.home.job_folder(job.id)
        blend, report = folder / "result.blend", folder / "report.json"
        report.unlink(missing_ok=True)
        request = {
            "mesh": str(mesh),
            "blend": str(blend),
            "report": str(report),
            "name": job.request.session_code,
            "placement": job.placement and dataclasses.asdict(job.placement),
            "fit": job.fit_to_box,
            "quads": job.wants_quads,
        }
        ended = self._run(job, "blender.background.prepare", request)
        try:
            return blend, serialization.decode(MeshReport, _outcome(report, ended), strict=True)
        except (TypeError, ValueError, LookupError, AttributeError):
            raise ended from None

    def export_source(self, job: Job) -> Path:
        """Turn the job's source .blend into a mesh file; see ``meshes/session_source.py``. Raises as :meth:`prepare`.

        That is a .blend where the local service works with the same Blender, else FBX, which keeps quads, too; another
        service gets a GLB.
        """
        folder = self.home.job_folder(job.id)
        mesh, report = folder / f"source_mesh{self._source_suffix(job)}", folder / "source.json"
        report.unlink(missing_ok=True)
        request = {
            "blend": job.source_blend,
            "objects": job.source_objects,
            "mesh": str(mesh),
            "report": str(report),
        }
        ended = self._run(job, "blender.background.session_source", request)
        _outcome(report, ended)
        return mesh

    def _source_suffix(self, job: Job) -> str:
        if job.service != LOCAL:
            return ".glb"
        return ".blend" if works_with(self.home, find_background_blender(self.program).program) else ".fbx"

    def _run(self, job: Job, module: str, request: Mapping[str, object]) -> CsmError:
        """Run a module, and return what is to be said where it wrote no report."""
        log = self.home.job_folder(job.id) / "blender.log"
        with AT_A_TIME:
            blender = find_background_blender(self.program)
            code = blender.run(module, request, log=log, pause=self.pause, limit_s=limits.current().prepare_s)
        if disk_errors.is_full(log.parent):
            return disk_errors.no_room()
        return _crash(code, log)


def _crash(code: int, log: Path) -> CsmError:
    """Return what a Blender most likely died of, by its exit code and its last words."""
    if sys.platform != "win32" and code == -signal.SIGXCPU:
        minutes = limits.current().processor_s / 60
        return PrepareFailed(
            f"The mesh took the background Blender more than {minutes:.0f} min of processor time.",
            f"Use a simpler mesh, or raise processor_s in {limits.VARIABLE}.",
        )
    if sys.platform != "win32" and code == -signal.SIGXFSZ:
        return PrepareFailed(
            f"The mesh made the background Blender write more than {limits.current().file_bytes >> 20} MB to one file.",
            f"Use a simpler mesh, or raise file_bytes in {limits.VARIABLE}.",
        )
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - LAST_WORDS_BYTES, 0))
        last_words = file.read()
    if NO_ROOM in last_words:
        return disk_errors.no_room()
    if any(words in last_words for words in NO_MEMORY):
        return limits.out_of_memory()
    return PrepareFailed(
        "The background Blender ended without a result; the mesh may be more than it can take.",
        "Retry, or import the mesh here; what Blender said is in blender.log in the job's folder.",
    )


def _outcome(report: Path, crash: CsmError) -> dict[str, Any]:
    """Return what a module reports, or raise its error; a module that wrote no report has crashed."""
    try:
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise crash from None
    if not isinstance(found, dict):
        raise crash
    if error := found.get("error"):
        if not isinstance(error, dict):
            raise crash
        kinds = {kind.code: kind for kind in (PrepareFailed, BlendTooNew, StorageError)}
        kind = kinds.get(str(error.get("code")), MeshUnusable)
        raise kind(str(error.get("message", "The mesh cannot be used.")), str(error.get("action", "")))
    return found
