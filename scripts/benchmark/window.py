"""The largest mesh arrives once more, in a real Blender with a window, where the extension's own timer runs."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from benchmark import arrival, large_mesh, service
from benchmark.sampling import SCRIPTS, Bench, Figure, SampleFailed, milliseconds
from window import blender, room

SUITE = "sid"
SCENARIO = SCRIPTS / "window/scenarios/arrival.py"
LIMIT_S = 420.0


def blender_there() -> str:
    width, height = blender.SIZE
    suite = room.SUITES[SUITE]
    return f"Blender {suite.blender} with a window of {width} x {height}, Debian {suite.name}, OpenGL in software"


def measure(bench: Bench) -> list[Figure]:
    found = _arrived(bench)
    turn, idle = found["not drawn"]["turn"], found["idle"]["gap"]
    gap, drawn, imported = found["not drawn"]["gap"], found["drawn"]["gap"], found["importer"]["gap"]
    limit = arrival.GOAL_S
    return [
        Figure(
            "longest turn of the extension's timer",
            milliseconds(turn),
            f"while the mesh arrives; one run; around a planted block of {arrival.PLANTED_S:.0f} s the heartbeat's "
            f"longest gap is {milliseconds(found['planted']['gap'])}",
            f"under {milliseconds(limit)}",
            turn < limit,
        ),
        Figure(
            "longest gap, the viewport's meshes hidden",
            milliseconds(gap),
            f"that turn and one redraw of the window in software, which else takes {milliseconds(idle)}",
        ),
        Figure("longest gap, the mesh drawn", milliseconds(drawn), "Blender's first drawing of it, in software"),
        Figure("Blender's own importer, the mesh drawn", milliseconds(imported), "longest gap; one run"),
        Figure(
            "how many times shorter",
            f"{imported / turn:.0f}",
            "importer by turn",
            f"at least {arrival.GOAL_FACTOR}",
            imported / turn >= arrival.GOAL_FACTOR,
        ),
    ]


def _arrived(bench: Bench) -> dict[str, Any]:
    mesh = large_mesh.cached(bench.folder / "cache")
    job = bench.folder / "window"
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir(parents=True)
    os.link(mesh, job / "mesh.glb")
    with service.running("--mesh", str(mesh)) as address:
        settings = {"CSM_SERVICE": address, "CSM_API_KEY": service.KEY}
        code = blender.run(SCENARIO, job, suite=SUITE, limit_s=LIMIT_S, settings=settings)
    if code:
        raise SampleFailed(f"exit code {code}")
    found: dict[str, Any] = json.loads((job / "arrival.json").read_text(encoding="utf-8"))
    return found
