"""A job is sent; then Blender is quit by Ctrl Q, or killed (END), or waits for the result (nothing), in its file."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from tests.window import ui_driver
from window import kit

CODE = "SESSION_1689256797_6037625"
FILE = "/job/scene.blend"
END = os.environ["END"]


def scene() -> ui_driver.Steps:
    ui_driver.preferences().poll_first_s = 2.0
    if Path(FILE).exists():
        ui_driver.check(ui_driver.settings().service_url == os.environ["SERVICE"], "the service is not chosen any more")
        bpy.ops.wm.open_mainfile(filepath=FILE)
        yield 0.5
        yield from ui_driver.open_tab()
    else:
        yield from sent()
    yield from kit.until(ui_driver.jobs, what="the job")
    ui_driver.check(len(ui_driver.jobs()) == 1, f"{len(ui_driver.jobs())} jobs")
    yield from ui_driver.until_job("RUNNING")
    yield from ui_driver.look(f"before_{END or 'the_end'}")
    ui_driver.note("state", str(ui_driver.job().state))
    if END == "kill":
        ui_driver.kill_blender()
    if END == "quit":
        ui_driver.write_notes()
        yield from ui_driver.over_viewport()
        yield from ui_driver.press("Q", ctrl=True)
        yield from kit.until(lambda: False, 20.0, "Blender's end")
    ui_driver.tell(os.environ["SERVICE"], "finish")
    yield from ui_driver.until_job("PLACED")
    ui_driver.check("Cube refined" in bpy.data.objects, "the result is not there")
    yield from ui_driver.look("placed")


def sent() -> ui_driver.Steps:
    bpy.context.preferences.use_preferences_save = True  # as it is for everybody but our tests
    bpy.context.preferences.is_dirty = False  # to say so made it that
    yield from ui_driver.open_tab()
    yield from ui_driver.use_url(os.environ["SERVICE"])
    yield from ui_driver.type_into("session_code", CODE)
    bpy.ops.wm.save_as_mainfile(filepath=FILE)
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.confirm()
    yield from ui_driver.until_job("RUNNING")
    bpy.ops.wm.save_mainfile()
