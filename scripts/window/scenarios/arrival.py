"""The largest mesh arrives in a window, with the panel open: how long does the main thread stand still?

It arrives twice: while the viewport does not draw meshes, so that what is left is ours, and while it does. Then comes
Blender's own importer. Wants CSM_SERVICE, CSM_API_KEY, the mesh in /job/mesh.glb. Leaves in /job/arrival.json, by
phase, the heartbeat's longest gap and the longest turn of the extension's timer, in seconds.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from window import kit, standstill

EXTENSION = "bl_ext.user_default.csm_refine"
MESH, FOUND = Path("/job/mesh.glb"), Path("/job/arrival.json")
CODES = ("SESSION_1689256797_0000001", "SESSION_1689256797_0000002")
_context: Any = bpy.context
_data: Any = bpy.data
_operators: Any = bpy.ops
_found: dict[str, standstill.Standstill] = {}


def scenario() -> kit.Steps:
    yield from kit.first_draw()
    watch = standstill.Stopwatch(pump(), FOUND.with_name("stalls.txt"))
    yield from kit.open_sidebar("CSM")
    _context.preferences.addons[EXTENSION].preferences.poll_first_s = 1.0
    yield from watch.measured("planted", standstill.planted(), _found)
    yield from watch.measured("idle", standstill.idle(), _found)
    cube = bpy.data.objects["Cube"]
    cube.rotation_euler = (0.3, 0.2, 0.5)
    for name, code, is_drawn in (("not drawn", CODES[0], False), ("drawn", CODES[1], True)):
        select(cube)
        yield from watch.measured(name, arrival(code, is_drawn=is_drawn), _found)
        kit.view().space.show_object_viewport_mesh = True
        bpy.data.objects.remove(bpy.data.objects["Cube refined"])
        _data.orphans_purge(do_recursive=True)
        yield from kit.redrawn()
    yield from watch.measured("importer", standstill.imported(str(MESH)), _found)
    FOUND.write_text(json.dumps({name: seen._asdict() for name, seen in _found.items()}), encoding="utf-8")


def pump() -> Any:
    return importlib.import_module(f"{EXTENSION}.csm_refine_addon.blender.jobs.pump")


def arrival(code: str, *, is_drawn: bool) -> kit.Steps:
    with kit.view().override():
        _operators.csm_refine.refine(session_code=code)
    kit.view().space.show_object_viewport_mesh = is_drawn
    (job_id,) = (job.id for job in pump().current().jobs.values() if job.request.session_code == code)
    ended = {"PLACED", "FAILED"}
    yield from kit.until(lambda: pump().current().jobs[job_id].state in ended, 240.0, "the end of the job")
    job = pump().current().jobs[job_id]
    if job.state != "PLACED":
        raise RuntimeError(f"{job.state}: {job.error}")
    yield standstill.AFTERWARDS_S


def select(chosen: Any) -> None:
    chosen.hide_set(False)
    for other in list(_context.view_layer.objects.selected):
        other.select_set(False)
    chosen.select_set(True)
    _context.view_layer.objects.active = chosen


kit.play(scenario, limit_s=400.0)
