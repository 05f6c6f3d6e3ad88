"""The README's picture of the panel: two real jobs of the local service, one placed, one under way.

Leaves /job/panel.png. Nothing in it is staged but the scene: the buttons' own operators make the jobs.
"""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import bpy
from mathutils import Euler

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from window import kit

EXTENSION = "bl_ext.user_default.csm_refine.csm_refine_addon"
_context: Any = bpy.context
_operators: Any = bpy.ops


def scenario() -> kit.Steps:
    yield from kit.first_draw()
    furnish()
    _context.scene.csm_refine.service = "LOCAL"
    yield from kit.enlarge_viewport()
    look()
    yield from kit.open_sidebar("CSM")
    yield from refined("Monkey", lambda job: job.state == "PLACED")
    code = _context.scene.csm_refine.session_code
    yield from refined("Wheel", lambda job: job.remote is not None and (job.remote.percent or 0) >= 30)
    select("Monkey refined")
    _context.scene.csm_refine.session_code = code
    yield from kit.redrawn()
    yield 0.5  # the pump measures what is selected
    yield from kit.redrawn()
    kit.picture("/job/panel.png", kit.view().area)


def refined(name: str, shown: Any) -> kit.Steps:
    """Press New Session from Selection, and wait until its job is as the picture wants it."""
    select(name)
    pump = importlib.import_module(f"{EXTENSION}.blender.jobs.pump")
    known = set(pump.current().jobs)
    with kit.view().override():
        _operators.csm_refine.create_session()
    (job_id,) = set(pump.current().jobs) - known
    yield from kit.until(lambda: shown(pump.current().jobs[job_id]), 90.0, "the job")
    kit.say(job_id, pump.current().jobs[job_id].state)


def furnish() -> None:
    """A few things on a table; those to be refined heavy enough to be seen while they are."""
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.delete()
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 0, -0.06))
    named("Table").scale = (5.2, 3.2, 0.12)
    bpy.ops.mesh.primitive_torus_add(location=(-1.5, 0.6, 0.62), major_radius=0.45, minor_radius=0.17)
    named("Wheel").rotation_euler = (math.radians(80), 0, math.radians(35))
    smooth(levels=4)
    bpy.ops.mesh.primitive_cone_add(location=(1.7, 0.8, 0.5), radius1=0.4, depth=1.0)
    named("Cone")
    bpy.ops.mesh.primitive_ico_sphere_add(location=(-1.2, -0.9, 0.25), radius=0.25, subdivisions=3)
    named("Ball")
    bpy.ops.mesh.primitive_monkey_add(size=1.5, location=(0.3, -0.1, 0.72))
    named("Monkey").rotation_euler = (math.radians(-25), 0, math.radians(20))
    smooth(levels=2)


def smooth(levels: int) -> None:
    _context.object.modifiers.new("Smooth", "SUBSURF").levels = levels
    bpy.ops.object.shade_smooth()


def look() -> None:
    """From the front, a little from above, with the things left of the sidebar."""
    region = kit.view().space.region_3d
    region.view_rotation = Euler((math.radians(68), 0, math.radians(12))).to_quaternion()
    region.view_location = (0.75, 0.0, 0.2)
    region.view_distance = 7.4


def named(name: str) -> Any:
    _context.object.name = name
    return _context.object


def select(name: str) -> None:
    bpy.ops.object.select_all(action="DESELECT")
    chosen = bpy.data.objects[name]
    chosen.select_set(True)
    _context.view_layer.objects.active = chosen


kit.play(scenario)
