"""A value of the last operation is changed in *Adjust Last Operation*, before and after a result arrives."""

from __future__ import annotations

import os

import bpy

from tests.window import ui_driver
from window import kit

CODE = "SESSION_1689256797_6037625"
RESULT = "Cube refined"
AWAITED_S = 1.5
"""Longer than the timer waits until it places again."""


def scene() -> ui_driver.Steps:
    ui_driver.preferences().poll_first_s = 2.0
    yield from ui_driver.open_tab()
    yield from ui_driver.use_url(os.environ["SERVICE"])
    yield from ui_driver.type_into("session_code", CODE)
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.confirm()
    yield from ui_driver.until_job("RUNNING")
    yield from added()
    ui_driver.tell(os.environ["SERVICE"], "finish")
    yield from ui_driver.until_job("PLACED")
    ui_driver.note("selected", sorted(obj.name for obj in bpy.context.view_layer.objects.selected))
    yield from ui_driver.look("placed")
    yield from adjusted()
    yield from ui_driver.look("repeated")
    ui_driver.note("sides", len(bpy.data.objects["Circle"].data.vertices))
    yield from ui_driver.undo()
    ui_driver.check(RESULT not in bpy.data.objects, "undo does not take the result back")
    yield AWAITED_S
    ui_driver.check(RESULT not in bpy.data.objects, "what the user took back came again")
    yield from ui_driver.look("undone")
    yield from ui_driver.click("csm_refine.place(")
    yield from kit.until(lambda: RESULT in bpy.data.objects, what="the result, placed from its row")


def added() -> ui_driver.Steps:
    """Add a circle as a menu does."""
    place = ui_driver.viewport()
    with bpy.context.temp_override(window=place.window, area=place.area, region=place.region):
        bpy.ops.mesh.primitive_circle_add("INVOKE_DEFAULT", True, vertices=8)
    yield ui_driver.SETTLE_S


FIRST_FIELD = (221, -51)
"""From where the mouse is when F9 is pressed to the first value, at resolution scale 1."""


def adjusted() -> ui_driver.Steps:
    """Type another value into *Adjust Last Operation*, twice."""
    first = bpy.data.objects[RESULT].session_uid
    yield from ui_driver.over_viewport()
    yield from ui_driver.press("F9")
    yield ui_driver.SETTLE_S
    place = ui_driver.viewport()
    x, y = (at + far * ui_driver.scale() for at, far in zip(ui_driver.middle(place), FIRST_FIELD, strict=True))
    for sides in (9, 12):
        yield from ui_driver.click_at(place, x, y)
        yield from ui_driver.press("A", ctrl=True)
        yield from ui_driver.type_text(str(sides))
        yield from ui_driver.press("RET")
        yield ui_driver.SETTLE_S
        ui_driver.check(len(bpy.data.objects["Circle"].data.vertices) == sides, "the operation is not repeated")
    yield from kit.until(lambda: RESULT in bpy.data.objects, what="the result, placed again")
    ui_driver.check(
        bpy.data.objects[RESULT].session_uid != first, "the operation was not repeated from before the placing"
    )
    yield from ui_driver.press("ESC")
    yield ui_driver.SETTLE_S
