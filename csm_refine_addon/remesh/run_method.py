"""Runs one method in a process with a memory limit: ``main({"folder": path, "method": name})``.

Writes the result ``METHOD.npz`` and its evaluation ``METHOD.json`` to the scratch folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from ..core import private_files, serialization
from ..core.errors import CsmError
from . import tuning
from .decimation import reduce_triangles
from .evaluate import evaluate_result
from .progress import Progress, Step, refusal
from .quads import reduce_to_quads
from .refine_settings import RefineSettings, Symmetry, Topology
from .small_components import refine_with_small_components
from .source_reader import save, shape_of_source
from .surface import Surface
from .symmetry import cut_half, is_symmetric, mirror_half, mirror_plane


def main(request: Mapping[str, str]) -> int:
    """Run a method; return 0 if its evaluation was written, 8 if the mesh is unusable, else 1."""
    folder, method = Path(request["folder"]), request["method"]
    try:
        limit_memory(tuning.MEMORY_LIMIT)
        try_method(folder, method, int(request.get("try", 1)))
    except CsmError as error:
        private_files.write_atomically(folder / "report.json", json.dumps(refusal(error)))
        return error.exit_code
    except Exception:  # noqa: BLE001 -- top of the process: the next method runs, the log has the traceback
        traceback.print_exc()
        return 1
    return 0


def try_method(folder: Path, method: str, number: int = 1) -> None:
    """Run one method, the ``number``-th in the chain, on the source shape; write the result and its evaluation."""
    progress = Progress(folder / "progress", share=tuning.METHOD_SHARE, end=tuning.METHODS_END)
    order = json.loads((folder / "order.json").read_text("utf-8"))
    settings = serialization.decode(RefineSettings, order.get("settings", {}))
    step = Step.QUADS if settings.topology is Topology.QUADS else Step.TRIANGLES
    progress.begin(Step.READING if number == 1 else step, number)
    progress.reached(2)
    shape = shape_of_source(folder, order, settings)
    mirror = settings.symmetry is Symmetry.ON or (settings.symmetry is Symmetry.AUTO and is_symmetric(shape))
    progress.begin(step, number)
    with progress.stage(8, 95):
        result, dropped = apply_method(shape, method, settings, mirror=mirror)
    # Geometry on one side only is removed on purpose, so the result is compared with the mirrored half.
    wanted = mirror_half(cut_half(shape), mirror_plane(shape)) if mirror else shape
    verdict = dataclasses.asdict(evaluate_result(wanted, result, settings.topology, settings.budget))
    notes = [f"{dropped} small loose parts were dropped: there are not enough faces for all."] if dropped else []
    save(result, folder / "scratch" / f"{method}.npz")
    private_files.write_atomically(folder / "scratch" / f"{method}.json", json.dumps({**verdict, "notes": notes}))
    progress.reached(100)


def apply_method(shape: Surface, method: str, settings: RefineSettings, *, mirror: bool) -> tuple[Surface, int]:
    """Return the result of a method, and how many small loose parts were dropped for lack of faces."""
    refine = importlib.import_module(f"{__package__}.methods.{method}").refine
    fewer = reduce_to_quads if settings.topology is Topology.QUADS else reduce_triangles
    if not mirror:
        return refine_with_small_components(refine, fewer, shape, settings.budget)
    half, dropped = refine_with_small_components(refine, fewer, cut_half(shape), max(settings.budget // 2, 1))
    return mirror_half(half, mirror_plane(shape)), dropped


def limit_memory(more: int) -> None:
    """Limit this process to ``more`` bytes beyond its current memory (Linux only)."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + more
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
