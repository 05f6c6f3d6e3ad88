"""How long *New Session from Selection* takes: the largest mesh, with its textures, is written out in the window."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from benchmark import large_mesh, sampling
from benchmark.sampling import Bench, Figure, milliseconds

GOAL_S = 0.1
CLICKS = 5


def measure(bench: Bench) -> list[Figure]:
    mesh = large_mesh.cached(bench.folder / "cache")
    found = bench.sample(__file__, str(bench.archive), str(mesh), settings={"CSM_SERVICE": "local"})
    taken, size = sampling.median(found["seconds"]), f"{found['bytes'] / 1e6:.0f} MB"
    first, worst = milliseconds(found["seconds"][0]), milliseconds(max(found["seconds"]))
    how = f"{large_mesh.TRIANGLES / 1e6:.1f} M triangles, three 2k textures: {size} to the system's cache of the disk; "
    how += f"median of {CLICKS}, the first one {first}, worst {worst}; measuring the object takes "
    how += f"{milliseconds(found['measuring'])} of it"
    return [
        Figure("click to return, the largest mesh", milliseconds(taken), how, milliseconds(GOAL_S), taken <= GOAL_S)
    ]


def click(archive: str, mesh: str) -> dict[str, Any]:
    """Click again and again; nothing is sent: no worker runs. What was written is deleted before the next click."""
    import bpy

    from benchmark import installed

    installed.install(archive)
    bpy.ops.import_scene.gltf(filepath=mesh)
    context: Any = bpy.context
    context.view_layer.objects.active.rotation_euler = (0.3, 0.2, 0.5)
    context.view_layer.update()
    pump, asking = installed.part("blender.jobs.job_monitor"), installed.part("blender.jobs.submit")
    pump.current().refresh()  # an open panel has done that long before the click
    started = time.perf_counter()
    asking.session_order(context)
    measuring = time.perf_counter() - started
    operators: Any = bpy.ops
    seconds, size = [], 0
    for _ in range(CLICKS):
        started = time.perf_counter()
        operators.csm_refine.create_session()
        seconds.append(time.perf_counter() - started)
        (source,) = [Path(job.source_blend) for job in pump.current().jobs.values() if Path(job.source_blend).is_file()]
        size = source.stat().st_size
        source.unlink()
    return {"seconds": seconds, "measuring": measuring, "bytes": size}


if __name__ == "__main__":
    sampling.answer(click(sys.argv[1], sys.argv[2]))
