"""The README's picture of the panel: two real jobs of the local service, one placed, one under way.

Nothing in it is staged but the scene: its jobs are made by the buttons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import bpy
from mathutils import Euler

from tests.window import ui_driver
from window import kit

_context: Any = bpy.context


def scene() -> ui_driver.Steps:
    furnish()
    yield from kit.enlarge_viewport()
    look()
    yield from ui_driver.open_tab()
    yield from ui_driver.choose_service("LOCAL")
    yield from refined("Monkey", lambda job: job.state == "PLACED")
    code = ui_driver.settings().session_code
    ui_driver.settings().session_code = ""
    yield from refined("Wheel", lambda job: job.remote is not None and (job.remote.percent or 0) >= 30)
    select("Monkey refined")
    ui_driver.settings().session_code = code
    yield from ui_driver.over_viewport()
    yield 0.8  # the timer measures what is selected, and the last message goes
    yield from kit.redrawn()
    ui_driver.picture("panel", kit.view().area)


def refined(name: str, is_shown: Callable[[Any], bool]) -> ui_driver.Steps:
    """Press New Session from Selection, and wait until its job is as the picture wants it."""
    select(name)
    yield 0.5
    known = {job.id for job in ui_driver.jobs()}
    yield from ui_driver.click("csm_refine.create_session")
    yield from kit.until(lambda: len(ui_driver.jobs()) > len(known), what="a job")
    yield from kit.until(lambda: is_shown(ui_driver.job()), 90.0, "the job")


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
