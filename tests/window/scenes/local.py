"""The local service, by its buttons: a session out of the selection, then one for each selected object, all placed."""

from __future__ import annotations

from typing import Any

import bpy

from tests.window import hand
from window import kit

_context: Any = bpy.context


def scene() -> hand.Steps:
    yield from hand.open_tab()
    yield from hand.choose_service("LOCAL")
    yield from hand.click("csm_refine.create_session")
    yield from kit.until(hand.jobs, what="a job")
    yield from hand.look("begun")
    said: set[str] = set()
    yield from kit.until(lambda: heard(said) or hand.job().state in {"PLACED", "FAILED"}, 90.0, "its end")
    hand.check(hand.job().state == "PLACED", str(hand.job().error))
    yield from hand.look("placed")
    hand.note("status_bar", sorted(said))
    hand.note("code", hand.settings().session_code)
    hand.note("cube", sides(bpy.data.objects["Cube refined"]))
    yield from each()
    yield from quads()


def sides(obj: bpy.types.Object) -> list[int]:
    """Vertices, quads and other faces of an object."""
    mesh: Any = obj.data
    quads = sum(len(polygon.vertices) == 4 for polygon in mesh.polygons)
    return [len(mesh.vertices), quads, len(mesh.polygons) - quads]


def heard(said: set[str]) -> bool:
    said.add(hand.part("status_bar").shown())
    return False


def each() -> hand.Steps:
    """Two objects, two jobs, which are not placed before the button says so."""
    hand.preferences().place_automatically = False
    bpy.ops.object.select_all(action="DESELECT")
    bpy.ops.mesh.primitive_cone_add(location=(-3, 0, 1))
    bpy.ops.mesh.primitive_torus_add(location=(0, 4, 0))
    bpy.data.objects["Cone"].select_set(True)
    yield 0.6
    yield from hand.look("two_selected")
    yield from hand.click("csm_refine.refine_each", hand.LEFT)
    yield from hand.look("refine_each")
    yield from hand.confirm()
    yield from kit.until(lambda: len(hand.jobs()) == 3, 30.0, "two more jobs")
    yield from hand.look("batch")
    yield from kit.until(lambda: all(job.state == "READY" for job in hand.jobs()[1:]), 120.0, "both to be ready")
    yield from hand.look("ready")
    yield from hand.click("csm_refine.place_all", hand.LEFT)
    yield from kit.until(lambda: all(job.state == "PLACED" for job in hand.jobs()), what="both to be placed")
    hand.check({"Cone refined", "Torus refined"} <= set(bpy.data.objects.keys()), "the results are not there")
    yield from hand.look("all_placed")


def quads() -> hand.Steps:
    """A heavy mesh becomes quads: chosen by clicks, placed, with its picture in the details."""
    hand.preferences().place_automatically = True
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.delete()
    bpy.ops.mesh.primitive_uv_sphere_add(location=(0, 0, 1))
    for name in ("Basis", "Wide"):
        _context.object.shape_key_add(name=name)
    yield 0.8
    yield from hand.look("what_is_lost")
    bpy.ops.object.delete()
    bpy.ops.mesh.primitive_monkey_add(size=2, location=(0, 0, 1))
    _context.object.modifiers.new("Smooth", "SUBSURF").levels = 3
    yield 0.6
    hand.forget_places()
    yield from hand.open_local()
    yield from hand.choose("local.topology", "q")
    hand.check(hand.settings().local.topology == "QUADS", hand.settings().local.topology)
    yield from hand.choose("local.detail", "l")
    yield from hand.look("quads_chosen")
    yield from hand.click("csm_refine.create_session")
    yield from kit.until(lambda: len(hand.jobs()) == 4, what="a job")
    yield from kit.until(lambda: bool(hand.job().remote and hand.job().remote.percent), 60.0, "its progress")
    yield from hand.look("quads_under_way")
    yield from kit.until(lambda: hand.job().state in {"PLACED", "FAILED"}, 150.0, "its end")
    hand.check(hand.job().state == "PLACED", str(hand.job().error))
    yield from hand.look("quads_placed")
    for _ in range(3):
        yield from hand.scrolled(hand.sidebar(), to_top=False)
    yield from hand.look("quads_picture")
    yield from hand.find("csm_refine.open_picture", columns=(hand.LEFT,))
    hand.note("suzanne", sides(bpy.data.objects["Suzanne refined"]))
    hand.note("picture", hand.job().picture_path)
