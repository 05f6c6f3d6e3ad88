"""A refine at a service that may charge: declined, confirmed, watched, placed, undone, redone, saved and read again."""

from __future__ import annotations

import os

import bpy

from tests.window import ui_driver
from window import kit

CODE = "SESSION_1689256797_6037625"
FILE = "/job/scene.blend"
RESULT = "Cube refined"


def scene() -> ui_driver.Steps:
    ui_driver.preferences().poll_first_s = 2.0
    yield from ui_driver.open_tab()
    yield from ui_driver.use_url(os.environ["SERVICE"])
    yield from ui_driver.type_into("session_code", CODE)
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.look("confirm")
    yield from ui_driver.cancel()
    ui_driver.check(not ui_driver.jobs(), "a declined refine made a job")
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.confirm()
    yield from kit.until(ui_driver.jobs, what="a job")
    yield from watched()
    yield from ui_driver.look("placed")
    yield from placed_and_taken_back()
    yield from compared()
    yield from saved_and_read()


def watched() -> ui_driver.Steps:
    """Note each state that the window hears of, with a picture of it."""
    states: list[str] = []
    while not states or states[-1] != "PLACED":
        yield from kit.until(lambda: not states or ui_driver.job().state != states[-1], 60, f"a state after {states}")
        states.append(str(ui_driver.job().state))
        ui_driver.check(states[-1] != "FAILED", str(ui_driver.job().error))
        ui_driver.picture(states[-1])
        if states[-1] == "RUNNING":
            yield from kit.until(lambda: ui_driver.job().remote and ui_driver.job().remote.percent, what="its progress")
            ui_driver.note("status_bar", ui_driver.part("status_bar").shown())
            yield from ui_driver.look("progress")
            ui_driver.tell(os.environ["SERVICE"], "finish")
    ui_driver.note("states", states)


def placed_and_taken_back() -> ui_driver.Steps:
    ui_driver.check(there(RESULT), "the result is not there")
    ui_driver.note("fit_error", ui_driver.job().fit_error)
    ui_driver.note("location", list(bpy.data.objects[RESULT].location))
    ui_driver.check(bpy.data.objects["Cube"].hide_get(), "the source is not hidden")
    yield from ui_driver.undo()
    ui_driver.check(not there(RESULT), "undo does not take the result back")
    ui_driver.check(not bpy.data.objects["Cube"].hide_get(), "undo does not show the source again")
    yield from ui_driver.look("undone")
    yield from ui_driver.redo()
    ui_driver.check(there(RESULT), "redo does not bring the result back")
    yield from ui_driver.look("redone")


def there(name: str) -> bool:
    return name in bpy.data.objects


def compared() -> ui_driver.Steps:
    yield from ui_driver.click("csm_refine.swap")
    ui_driver.check(not bpy.data.objects["Cube"].hide_get(), "the source is not shown")
    ui_driver.check(bpy.data.objects[RESULT].hide_get(), "the result is not hidden")
    yield from ui_driver.look("before")
    yield from ui_driver.click("csm_refine.swap")
    ui_driver.check(not bpy.data.objects[RESULT].hide_get(), "the result is not shown again")
    yield from ui_driver.look("after")


def saved_and_read() -> ui_driver.Steps:
    bpy.ops.wm.save_as_mainfile(filepath=FILE)
    bpy.data.objects[RESULT].name = "Renamed"
    yield from ui_driver.over_viewport()
    yield from ui_driver.press("S", ctrl=True)
    yield 1.0
    ui_driver.check(not bpy.data.is_dirty, "Ctrl S does not save")
    bpy.ops.wm.open_mainfile(filepath=FILE)
    yield 1.0
    ui_driver.check(there("Renamed"), "the result is not in the file")
    yield from ui_driver.open_tab()
    yield from kit.until(
        lambda: ui_driver.part("object_metadata").result_name(ui_driver.job()) == "Renamed", what="its mark"
    )
    yield from ui_driver.look("read_again")
