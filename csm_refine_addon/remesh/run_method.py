"""One rung of the ladder, as a process with a limit on its memory: ``main({"folder": path, "method": name})``.

Leaves ``METHOD.npz`` and ``METHOD.json``, the verdict, in the order's scratch folder.
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

from ..core import serialization
from ..core.errors import CsmError
from . import tuning
from .decimation import reduce_triangles
from .evaluate import evaluate_result
from .progress import Progress, Step, refusal, write_whole
from .quads import reduce_to_quads
from .refine_settings import RefineSettings, Symmetry, Topology
from .small_components import refine_with_small_components
from .source_reader import save, shape_of_source
from .surface import Surface
from .symmetry import cut_half, is_symmetric, mirror_plane, mirror_half


def main(request: Mapping[str, str]) -> int:
    """Try a method; 0 where a verdict was written, 8 where the mesh is not usable, else 1."""
    folder, method = Path(request["folder"]), request["method"]
    try:
        limit_memory(tuning.MEMORY_LIMIT)
        try_method(folder, method, int(request.get("try", 1)))
    except CsmError as error:
        write_whole(folder / "report.json", json.dumps(refusal(error)))
        return error.exit_code
    except Exception:  # noqa: BLE001 -- the top of the process: the ladder goes on, the log says why
        traceback.print_exc()
        return 1
    return 0


def try_method(folder: Path, method: str, number: int = 1) -> None:
    """Run one method, the ``number``-th that is tried, on the shape of the order's mesh; write down what came of it."""
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
    # What a lopsided one has on one side only is meant to go.
    wanted = mirror_half(cut_half(shape), mirror_plane(shape)) if mirror else shape
    verdict = dataclasses.asdict(evaluate_result(wanted, result, settings.topology, settings.budget))
    notes = [f"{dropped} small loose parts were dropped: there are not enough faces for all."] if dropped else []
    save(result, folder / "scratch" / f"{method}.npz")
    write_whole(folder / "scratch" / f"{method}.json", json.dumps({**verdict, "notes": notes}))
    progress.reached(100)


def apply_method(shape: Surface, method: str, settings: RefineSettings, *, mirror: bool) -> tuple[Surface, int]:
    """Return what a method makes of a shape, and how many small loose parts it had no faces for."""
    refine = importlib.import_module(f"{__package__}.methods.{method}").refine
    fewer = reduce_to_quads if settings.topology is Topology.QUADS else reduce_triangles
    if not mirror:
        return refine_with_small_components(refine, fewer, shape, settings.budget)
    half, dropped = refine_with_small_components(refine, fewer, cut_half(shape), max(settings.budget // 2, 1))
    return mirror_half(half, mirror_plane(shape)), dropped


def limit_memory(more: int) -> None:
    """Let this process take so many bytes more than it has now, where the system can hold it to that."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + more
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
