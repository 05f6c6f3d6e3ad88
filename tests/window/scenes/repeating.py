"""A value of the last operation is changed in *Adjust Last Operation*, before and after a result arrives."""

from __future__ import annotations

import os

import bpy

from tests.window import hand
from window import kit

CODE = "SESSION_1689256797_6037625"
RESULT = "Cube refined"
AWAITED_S = 1.5
"""Longer than the timer waits until it places again."""


def scene() -> hand.Steps:
    hand.preferences().poll_first_s = 2.0
    yield from hand.open_tab()
    yield from hand.use_url(os.environ["SERVICE"])
    yield from hand.type_into("session_code", CODE)
    yield from hand.click("csm_refine.refine(")
    yield from hand.confirm()
    yield from hand.until_job("RUNNING")
    yield from added()
    hand.tell(os.environ["SERVICE"], "finish")
    yield from hand.until_job("PLACED")
    hand.note("selected", sorted(obj.name for obj in bpy.context.view_layer.objects.selected))
    yield from hand.look("placed")
    yield from adjusted()
    yield from hand.look("repeated")
    hand.note("sides", len(bpy.data.objects["Circle"].data.vertices))
    yield from hand.undo()
    hand.check(RESULT not in bpy.data.objects, "undo does not take the result back")
    yield AWAITED_S
    hand.check(RESULT not in bpy.data.objects, "what the user took back came again")
    yield from hand.look("undone")
    yield from hand.click("csm_refine.place(")
    yield from kit.until(lambda: RESULT in bpy.data.objects, what="the result, placed from its row")


def added() -> hand.Steps:
    """Add a circle as a menu does."""
    place = hand.viewport()
    with bpy.context.temp_override(window=place.window, area=place.area, region=place.region):
        bpy.ops.mesh.primitive_circle_add("INVOKE_DEFAULT", True, vertices=8)
    yield hand.SETTLE_S


FIRST_FIELD = (221, -51)
"""From where the mouse is when F9 is pressed to the first value, at resolution scale 1."""


def adjusted() -> hand.Steps:
    """Type another value into *Adjust Last Operation*, twice."""
    first = bpy.data.objects[RESULT].session_uid
    yield from hand.over_viewport()
    yield from hand.press("F9")
    yield hand.SETTLE_S
    place = hand.viewport()
    x, y = (at + far * hand.scale() for at, far in zip(hand.middle(place), FIRST_FIELD, strict=True))
    for sides in (9, 12):
        yield from hand.click_at(place, x, y)
        yield from hand.press("A", ctrl=True)
        yield from hand.type_text(str(sides))
        yield from hand.press("RET")
        yield hand.SETTLE_S
        hand.check(len(bpy.data.objects["Circle"].data.vertices) == sides, "the operation is not repeated")
    yield from kit.until(lambda: RESULT in bpy.data.objects, what="the result, placed again")
    hand.check(bpy.data.objects[RESULT].session_uid != first, "the operation was not repeated from before the placing")
    yield from hand.press("ESC")
    yield hand.SETTLE_S
