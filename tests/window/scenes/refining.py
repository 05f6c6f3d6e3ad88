"""A refine at a service that may charge: declined, confirmed, watched, placed, undone, redone, saved and read again."""

from __future__ import annotations

import os

import bpy

from tests.window import hand
from window import kit

CODE = "SESSION_1689256797_6037625"
FILE = "/job/scene.blend"
RESULT = "Cube refined"


def scene() -> hand.Steps:
    hand.preferences().poll_first_s = 2.0
    yield from hand.open_tab()
    yield from hand.use_url(os.environ["SERVICE"])
    yield from hand.type_into("session_code", CODE)
    yield from hand.click("csm_refine.refine(")
    yield from hand.look("confirm")
    yield from hand.cancel()
    hand.check(not hand.jobs(), "a declined refine made a job")
    yield from hand.click("csm_refine.refine(")
    yield from hand.confirm()
    yield from kit.until(hand.jobs, what="a job")
    yield from watched()
    yield from hand.look("placed")
    yield from placed_and_taken_back()
    yield from compared()
    yield from saved_and_read()


def watched() -> hand.Steps:
    """Note each state that the window hears of, with a picture of it."""
    states: list[str] = []
    while not states or states[-1] != "PLACED":
        yield from kit.until(lambda: not states or hand.job().state != states[-1], 60, f"a state after {states}")
        states.append(str(hand.job().state))
        hand.check(states[-1] != "FAILED", str(hand.job().error))
        hand.picture(states[-1])
        if states[-1] == "RUNNING":
            yield from kit.until(lambda: hand.job().remote and hand.job().remote.percent, what="its progress")
            hand.note("status_bar", hand.part("status_bar").shown())
            yield from hand.look("progress")
            hand.tell(os.environ["SERVICE"], "finish")
    hand.note("states", states)


def placed_and_taken_back() -> hand.Steps:
    hand.check(there(RESULT), "the result is not there")
    hand.note("fit_error", hand.job().fit_error)
    hand.note("location", list(bpy.data.objects[RESULT].location))
    hand.check(bpy.data.objects["Cube"].hide_get(), "the source is not hidden")
    yield from hand.undo()
    hand.check(not there(RESULT), "undo does not take the result back")
    hand.check(not bpy.data.objects["Cube"].hide_get(), "undo does not show the source again")
    yield from hand.look("undone")
    yield from hand.redo()
    hand.check(there(RESULT), "redo does not bring the result back")
    yield from hand.look("redone")


def there(name: str) -> bool:
    return name in bpy.data.objects


def compared() -> hand.Steps:
    yield from hand.click("csm_refine.swap")
    hand.check(not bpy.data.objects["Cube"].hide_get(), "the source is not shown")
    hand.check(bpy.data.objects[RESULT].hide_get(), "the result is not hidden")
    yield from hand.look("before")
    yield from hand.click("csm_refine.swap")
    hand.check(not bpy.data.objects[RESULT].hide_get(), "the result is not shown again")
    yield from hand.look("after")


def saved_and_read() -> hand.Steps:
    bpy.ops.wm.save_as_mainfile(filepath=FILE)
    bpy.data.objects[RESULT].name = "Renamed"
    yield from hand.over_viewport()
    yield from hand.press("S", ctrl=True)
    yield 1.0
    hand.check(not bpy.data.is_dirty, "Ctrl S does not save")
    bpy.ops.wm.open_mainfile(filepath=FILE)
    yield 1.0
    hand.check(there("Renamed"), "the result is not in the file")
    yield from hand.open_tab()
    yield from kit.until(lambda: hand.part("marks").result_name(hand.job()) == "Renamed", what="its mark")
    yield from hand.look("read_again")
