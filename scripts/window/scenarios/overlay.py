"""The overlay in the viewport and the pivot picker, as they look: OVERLAY_THEME (light or dark), OVERLAY_SCALE (1, 2).

Leaves /job/THEME-SCALE-NAME.png, and says how long drawing takes. The jobs are written into the journal as they stand;
nothing is sent.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import bpy
from mathutils import Euler

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from window import kit

EXTENSION = "bl_ext.user_default.csm_refine.csm_refine_addon"
THEME, SCALE = os.environ.get("OVERLAY_THEME", "dark"), float(os.environ.get("OVERLAY_SCALE", "1"))
FRAMES = 20
_context: Any = bpy.context
_operators: Any = bpy.ops
_types: Any = bpy.types
_spent: dict[str, list[float]] = {}


def part(name: str) -> Any:
    return importlib.import_module(f"{EXTENSION}.{name}")


def scenario() -> kit.Steps:
    yield from kit.first_draw()
    dress()
    furnish()
    open_bounds()
    yield from kit.enlarge_viewport()
    look()
    yield from kit.open_sidebar("CSM")
    watch_drawing()
    settings = _context.scene.csm_refine
    settings.service = "LOCAL"
    yield from shown("object")
    bpy.data.objects["Chair"].location.x -= 0.6
    _context.view_layer.update()
    yield from kit.redrawn()
    kit.picture(f"/job/{THEME}-{SCALE:g}-moved.png", kit.view().area)
    _operators.csm_refine.pick_pivot(point="LEFT_BOTTOM_BACK")
    yield from shown("typed")
    settings.bounds_mode, settings.pivot_mode = "AUTO", "AUTO"
    yield from shown("auto")
    settings.bounds_mode, settings.pivot_mode = "OBJECT", "OBJECT"
    keep(job("READY"))
    yield from shown("ready")
    keep(job("PLACED"))
    yield from shown("placed")
    trouble = part("blender.ui.overlay").trouble()
    if trouble or not _spent:
        raise RuntimeError(trouble or "nothing was drawn")
    settings.show_overlay = False
    yield from gone("switched off")
    settings.show_overlay = True
    yield from shown("again")
    kit.view().space.show_region_ui = False
    yield from gone("the sidebar closed")
    for name, spent in _spent.items():
        kit.say(f"{name} drawn {len(spent)} times, median {1000 * statistics.median(spent):.3f} ms")


def shown(name: str) -> kit.Steps:
    """Let the timer measure, and take the picture."""
    yield 0.7
    for _ in range(FRAMES):
        kit.view().main.tag_redraw()
        yield 0.02
    yield from kit.redrawn()
    kit.picture(f"/job/{THEME}-{SCALE:g}-{name}.png", kit.view().area)


def gone(why: str) -> kit.Steps:
    """Wait until a redraw draws nothing of ours. Raises TimeoutError."""

    def draws_nothing() -> bool:
        before = len(_spent["lines"])
        _operators.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
        return len(_spent["lines"]) == before

    yield 0.7
    yield from kit.until(draws_nothing, 5.0, f"nothing to be drawn with {why}")
    kit.say("nothing is drawn:", why)


def watch_drawing() -> None:
    """Note how long each of the two draw handlers takes, with all that it asks before it draws."""
    overlay = part("blender.ui.overlay")
    draw = overlay._guarded  # noqa: SLF001 -- what Blender calls

    def measured(name: str) -> None:
        began = time.perf_counter()
        draw(name)
        if overlay.is_drawn_in(bpy.context):
            _spent.setdefault(name, []).append(time.perf_counter() - began)

    overlay._guarded = measured  # noqa: SLF001


def dress() -> None:
    """Take the theme and the resolution scale."""
    presets = [Path(folder, "Blender_Light.xml") for folder in bpy.utils.preset_paths("interface_theme")]
    if THEME == "light":
        found = next(preset for preset in presets if preset.is_file())
        bpy.ops.script.execute_preset(filepath=str(found), menu_idname="USERPREF_MT_interface_theme_presets")
    _context.preferences.view.ui_scale = SCALE


def furnish() -> None:
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.delete()
    bpy.ops.mesh.primitive_monkey_add(size=1.5, location=(0.3, 0, 0.9))
    _context.object.name = "Chair"
    _context.object.rotation_euler = (math.radians(-20), math.radians(15), math.radians(-30))
    bpy.ops.object.shade_smooth()


def look() -> None:
    """From the front, a little from above, with the object left of the sidebar."""
    region = kit.view().space.region_3d
    region.view_rotation = Euler((math.radians(65), 0, math.radians(15))).to_quaternion()
    region.view_location = (0.9 * SCALE, 0.0, 0.6)
    region.view_distance = 7.5


def open_bounds() -> None:
    """Have the closed sub-panel open, as a click on its header would."""
    panel = _types.CSM_PT_bounds
    bpy.utils.unregister_class(panel)
    panel.bl_options = set()
    bpy.utils.register_class(panel)


def job(state: str) -> Any:
    """A finished job of the object; placed a little away from where it stands now."""
    models, readout = part("core.models"), part("blender.geometry.selection_bounds")
    measured = readout.current().measured
    origin = tuple(a + b for a, b in zip(measured.origin, (-1.7, 0.0, 0.3), strict=True))
    place = models.Placement(origin, measured.rotation, measured.box, "Chair")
    order = models.RefineRequest(f"SESSION_1689256797_000000{len(state)}", (1.5, 1.5, 1.5), (0.0, 0.0, 0.0))
    made = part("core.jobs.job_factory").new_job(order, models.CSM_BASE_URL, now=time.time(), placement=place)
    side = measured.box.size
    found = models.Box(measured.box.centre, (side[0] * 1.02, side[1], side[2]))
    report = models.MeshReport(967, 507, 1, (), found, 30_000)
    placed = {"placed_object": "Chair", "fit_error": 2e-8, "finished_at": time.time()} if state == "PLACED" else {}
    kind = models.JobState(state)
    return dataclasses.replace(made, state=kind, report=report, place_automatically=False, **placed)


def keep(made: Any) -> None:
    part("blender.jobs.job_monitor").current().add(made)


kit.play(scenario, limit_s=180.0)
