"""The local service, by its buttons: a session out of the selection, then one for each selected object, all placed."""

from __future__ import annotations

from typing import Any

import bpy

from tests.window import ui_driver
from window import kit

_context: Any = bpy.context


def scene() -> ui_driver.Steps:
    yield from ui_driver.open_tab()
    yield from ui_driver.choose_service("LOCAL")
    yield from ui_driver.click("csm_refine.create_session")
    yield from kit.until(ui_driver.jobs, what="a job")
    yield from ui_driver.look("begun")
    said: set[str] = set()
    yield from kit.until(lambda: heard(said) or ui_driver.job().state in {"PLACED", "FAILED"}, 90.0, "its end")
    ui_driver.check(ui_driver.job().state == "PLACED", str(ui_driver.job().error))
    yield from ui_driver.look("placed")
    ui_driver.note("status_bar", sorted(said))
    ui_driver.note("code", ui_driver.settings().session_code)
    ui_driver.note("cube", sides(bpy.data.objects["Cube refined"]))
    yield from each()
    yield from quads()


def sides(obj: bpy.types.Object) -> list[int]:
    """Vertices, quads and other faces of an object."""
    mesh: Any = obj.data
    quads = sum(len(polygon.vertices) == 4 for polygon in mesh.polygons)
    return [len(mesh.vertices), quads, len(mesh.polygons) - quads]


def heard(said: set[str]) -> bool:
    said.add(ui_driver.part("status_bar").shown())
    return False


def each() -> ui_driver.Steps:
    """Two objects, two jobs, which are not placed before the button says so."""
    ui_driver.preferences().place_automatically = False
    bpy.ops.object.select_all(action="DESELECT")
    bpy.ops.mesh.primitive_cone_add(location=(-3, 0, 1))
    bpy.ops.mesh.primitive_torus_add(location=(0, 4, 0))
    bpy.data.objects["Cone"].select_set(True)
    yield 0.6
    yield from ui_driver.look("two_selected")
    yield from ui_driver.click("csm_refine.refine_each", ui_driver.LEFT)
    yield from ui_driver.look("refine_each")
    yield from ui_driver.confirm()
    yield from kit.until(lambda: len(ui_driver.jobs()) == 3, 30.0, "two more jobs")
    yield from ui_driver.look("batch")
    yield from kit.until(lambda: all(job.state == "READY" for job in ui_driver.jobs()[1:]), 120.0, "both to be ready")
    yield from ui_driver.look("ready")
    yield from ui_driver.click("csm_refine.place_all", ui_driver.LEFT)
    yield from kit.until(lambda: all(job.state == "PLACED" for job in ui_driver.jobs()), what="both to be placed")
    ui_driver.check({"Cone refined", "Torus refined"} <= set(bpy.data.objects.keys()), "the results are not there")
    yield from ui_driver.look("all_placed")


def quads() -> ui_driver.Steps:
    """A heavy mesh becomes quads: chosen by clicks, placed, with its picture in the details."""
    ui_driver.preferences().place_automatically = True
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.delete()
    bpy.ops.mesh.primitive_uv_sphere_add(location=(0, 0, 1))
    for name in ("Basis", "Wide"):
        _context.object.shape_key_add(name=name)
    yield 0.8
    yield from ui_driver.look("what_is_lost")
    bpy.ops.object.delete()
    bpy.ops.mesh.primitive_monkey_add(size=2, location=(0, 0, 1))
    _context.object.modifiers.new("Smooth", "SUBSURF").levels = 3
    yield 0.6
    ui_driver.forget_places()
    yield from ui_driver.open_local()
    yield from ui_driver.choose("local.topology", "q")
    ui_driver.check(ui_driver.settings().local.topology == "QUADS", ui_driver.settings().local.topology)
    yield from ui_driver.choose("local.detail", "l")
    yield from ui_driver.look("quads_chosen")
    yield from ui_driver.click("csm_refine.create_session")
    yield from kit.until(lambda: len(ui_driver.jobs()) == 4, what="a job")
    yield from kit.until(lambda: bool(ui_driver.job().remote and ui_driver.job().remote.percent), 60.0, "its progress")
    yield from ui_driver.look("quads_under_way")
    yield from kit.until(lambda: ui_driver.job().state in {"PLACED", "FAILED"}, 150.0, "its end")
    ui_driver.check(ui_driver.job().state == "PLACED", str(ui_driver.job().error))
    yield from ui_driver.look("quads_placed")
    for _ in range(3):
        yield from ui_driver.scrolled(ui_driver.sidebar(), to_top=False)
    yield from ui_driver.look("quads_picture")
    yield from ui_driver.find("csm_refine.open_picture", columns=(ui_driver.LEFT,))
    ui_driver.note("suzanne", sides(bpy.data.objects["Suzanne refined"]))
    ui_driver.note("picture", ui_driver.job().picture_path)
