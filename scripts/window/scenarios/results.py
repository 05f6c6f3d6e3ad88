"""Pictures of a result in a window: at a glance, before and after, undone, its source gone, diagnostics, fetched again.

Leaves /job/*.png and the diagnostics as /job/diagnostics.zip. The jobs are real ones of the local service.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from window import kit

EXTENSION = "bl_ext.user_default.csm_refine.csm_refine_addon"
LOOK = os.environ.get("LOOK", "dark")
SCALE = float(os.environ.get("SCALE", "1"))
_context: Any = bpy.context
_operators: Any = bpy.ops


def module(name: str) -> Any:
    return importlib.import_module(f"{EXTENSION}.{name}")


def scenario() -> kit.Steps:
    yield from kit.first_draw()
    if LOOK == "light":
        utils: Any = bpy.utils
        folder = Path(utils.system_resource("SCRIPTS"), "presets", "interface_theme")
        menu = "USERPREF_MT_interface_theme_presets"
        bpy.ops.script.execute_preset(filepath=str(folder / "Blender_Light.xml"), menu_idname=menu)
    _context.preferences.view.ui_scale = SCALE
    furnish()
    _context.scene.csm_refine.service = "LOCAL"
    yield from kit.enlarge_viewport()
    yield from kit.open_sidebar("CSM")
    yield from placed()
    yield from shot("placed")
    yield from swapped()
    yield from undone()
    yield from diagnosed()
    yield from fetched()


def furnish() -> None:
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.delete()
    bpy.ops.mesh.primitive_monkey_add(size=1.5)
    monkey = _context.object
    monkey.name = "Monkey"
    material = bpy.data.materials.new("Fur")
    if material.node_tree is None:
        material.use_nodes = True
    image = bpy.data.images.new("Stripes", 512, 256)
    values = [float((number // 32) % 2) for number in range(512 * 256 * 4)]
    pixels: Any = image.pixels
    pixels.foreach_set(values)
    image.pack()
    tree: Any = material.node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    surface = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    tree.links.new(node.outputs["Color"], surface.inputs["Base Color"])
    monkey.data.materials.append(material)
    bpy.ops.ed.undo_push(message="Furnish")


def shot(name: str) -> kit.Steps:
    yield from kit.redrawn()
    yield 0.4
    yield from kit.redrawn()
    kit.picture(f"/job/{LOOK}_{SCALE:g}_{name}.png")


def only_job() -> Any:
    (job,) = module("blender.jobs.job_monitor").current().jobs.values()
    return job


def placed() -> kit.Steps:
    with kit.view().override():
        _operators.csm_refine.create_session()
    yield from kit.until(lambda: only_job().state == "PLACED", 120.0, "the placing")
    kit.say(only_job().report)
    yield 0.5


def swapped() -> kit.Steps:
    for name in ("source_shown", "result_shown"):
        with kit.view().override():
            _operators.csm_refine.swap("INVOKE_DEFAULT")
        yield from shot(name)
        kit.say(name, [(obj.name, obj.hide_get()) for obj in bpy.data.objects])


def undone() -> kit.Steps:
    for _ in range(6):
        with kit.view().override():
            bpy.ops.ed.undo()
        yield 0.1
        if "Monkey refined" not in bpy.data.objects:
            break
    yield from shot("undone")
    kit.say("selected after undo", [obj.name for obj in _context.selected_objects])
    with kit.view().override():
        _operators.csm_refine.place("INVOKE_DEFAULT")
    yield from shot("placed_again")
    bpy.data.objects.remove(bpy.data.objects["Monkey"])
    yield 0.5
    yield from shot("source_gone")


def diagnosed() -> kit.Steps:
    with kit.view().override():
        _operators.csm_refine.diagnostics("INVOKE_DEFAULT", job=only_job().id)
    yield from shot("diagnostics")
    press("RET")
    yield 0.5
    yield from shot("diagnostics_file")
    press("ESC")
    yield 0.5
    with kit.view().override():
        _operators.csm_refine.diagnostics(job=only_job().id, filepath="/job/diagnostics.zip")
    kit.say("written", Path("/job/diagnostics.zip").stat().st_size)


def press(key: str) -> None:
    window = _context.window_manager.windows[-1]
    for value in ("PRESS", "RELEASE"):
        window.event_simulate(type=key, value=value, x=window.width // 2, y=window.height // 2)


def fetched() -> kit.Steps:
    """The journal forgets the job, as another machine's never knew it; the session is still there."""
    keeper = module("blender.jobs.job_monitor").current()
    keeper.remove(only_job().id)
    result = bpy.data.objects["Monkey refined"]
    result.select_set(True)
    _context.view_layer.objects.active = result
    yield 0.5
    yield from shot("without_files")
    with kit.view().override():
        _operators.csm_refine.fetch_again("INVOKE_DEFAULT")
    yield from kit.until(lambda: only_job().state in {"PLACED", "FAILED"}, 60.0, "the result")
    kit.say(only_job().state, only_job().fit_error, only_job().placed_object, only_job().sent_at)
    yield 0.5
    yield from shot("fetched")


kit.play(scenario, limit_s=200.0)
