"""While a job runs, a render makes its result wait; and another file is opened, where it does not come."""

from __future__ import annotations

import os

import bpy

from tests.window import ui_driver
from window import kit

CODES = ("SESSION_1689256797_6037625", "SESSION_1689256797_6037626")
FILE, OTHER = "/job/first.blend", "/job/other.blend"
RESULT = "Cube refined"


def scene() -> ui_driver.Steps:
    ui_driver.preferences().poll_first_s = 2.0
    yield from ui_driver.open_tab()
    bpy.ops.wm.save_as_mainfile(filepath=OTHER)
    bpy.ops.wm.save_as_mainfile(filepath=FILE)
    yield from ui_driver.use_url(os.environ["SERVICE"])
    yield from sent(CODES[0])
    yield from rendered()
    ui_driver.tell(os.environ["SERVICE"], "again")
    yield from sent(CODES[1])
    yield from elsewhere()


def sent(code: str) -> ui_driver.Steps:
    count = len(ui_driver.jobs())
    yield from ui_driver.type_into("session_code", code)
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.confirm()
    yield from kit.until(lambda: len(ui_driver.jobs()) > count, what="a job")
    yield from ui_driver.until_job("RUNNING")


def rendered() -> ui_driver.Steps:
    """A render that takes as long as it is let; the result is ready before."""
    render = bpy.context.scene.render
    render.engine, render.resolution_x, render.resolution_y = "CYCLES", 320, 200
    cycles = bpy.context.scene.cycles
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = 100_000, False, False
    bpy.context.preferences.view.render_display_type = "NONE"
    yield from ui_driver.over_viewport()
    yield from ui_driver.press("F12")
    yield from kit.until(lambda: bpy.app.is_job_running("RENDER"), what="the render")
    ui_driver.tell(os.environ["SERVICE"], "finish")
    yield from ui_driver.until_job("READY")
    yield 1.0
    ui_driver.check(bpy.app.is_job_running("RENDER"), "the render is over too soon")
    ui_driver.check(RESULT not in bpy.data.objects, "it was placed into a render")
    yield from ui_driver.look("waits_for_the_render")
    ui_driver.note("waiting", list(ui_driver.part("job_monitor").current().waiting.values()))
    yield from stop_render()
    yield from ui_driver.until_job("PLACED")
    ui_driver.check(RESULT in bpy.data.objects, "it is not placed after the render")
    yield from ui_driver.look("placed_after_the_render")
    bpy.ops.wm.save_mainfile()


def stop_render() -> ui_driver.Steps:
    """Click along the status bar until the cross beside the render's progress is hit: a simulated Esc is not heard."""
    window = kit.view().window
    for x in range(window.width // 3, window.width * 7 // 10, 8):
        yield from ui_driver.move(window, x, 11)
        yield from ui_driver.press("LEFTMOUSE")
        yield 0.03
        if not bpy.app.is_job_running("RENDER"):
            return
    yield from kit.until(lambda: not bpy.app.is_job_running("RENDER"), what="the render's end")


def elsewhere() -> ui_driver.Steps:
    """The second result, which has a source of its own, is ready while another file is open."""
    job_id = ui_driver.job().id
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=OTHER)
    yield 1.0
    yield from ui_driver.open_tab()
    ui_driver.tell(os.environ["SERVICE"], "finish")
    yield from kit.until(lambda: state(job_id) == "READY", 60.0, "the result")
    yield 2.0
    ui_driver.check(state(job_id) == "READY", f"in the other file it became {state(job_id)}")
    ui_driver.check(RESULT not in bpy.data.objects, "it was placed in another file")
    yield from ui_driver.look("not_placed_in_another_file")
    bpy.ops.wm.open_mainfile(filepath=FILE)
    yield 1.0
    yield from ui_driver.open_tab()
    yield from kit.until(lambda: state(job_id) == "PLACED", what="the result in its own file")
    yield from ui_driver.look("placed_in_its_own_file")


def state(job_id: str) -> str:
    return str(ui_driver.part("job_monitor").current().jobs[job_id].state)
