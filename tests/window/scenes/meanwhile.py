"""While a job runs, a render makes its result wait; and another file is opened, where it does not come."""

from __future__ import annotations

import os

import bpy

from tests.window import hand
from window import kit

CODES = ("SESSION_1689256797_6037625", "SESSION_1689256797_6037626")
FILE, OTHER = "/job/first.blend", "/job/other.blend"
RESULT = "Cube refined"


def scene() -> hand.Steps:
    hand.preferences().poll_first_s = 2.0
    yield from hand.open_tab()
    bpy.ops.wm.save_as_mainfile(filepath=OTHER)
    bpy.ops.wm.save_as_mainfile(filepath=FILE)
    yield from hand.use_url(os.environ["SERVICE"])
    yield from sent(CODES[0])
    yield from rendered()
    hand.tell(os.environ["SERVICE"], "again")
    yield from sent(CODES[1])
    yield from elsewhere()


def sent(code: str) -> hand.Steps:
    count = len(hand.jobs())
    yield from hand.type_into("session_code", code)
    yield from hand.click("csm_refine.refine(")
    yield from hand.confirm()
    yield from kit.until(lambda: len(hand.jobs()) > count, what="a job")
    yield from hand.until_job("RUNNING")


def rendered() -> hand.Steps:
    """A render that takes as long as it is let; the result is ready before."""
    render = bpy.context.scene.render
    render.engine, render.resolution_x, render.resolution_y = "CYCLES", 320, 200
    cycles = bpy.context.scene.cycles
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = 100_000, False, False
    bpy.context.preferences.view.render_display_type = "NONE"
    yield from hand.over_viewport()
    yield from hand.press("F12")
    yield from kit.until(lambda: bpy.app.is_job_running("RENDER"), what="the render")
    hand.tell(os.environ["SERVICE"], "finish")
    yield from hand.until_job("READY")
    yield 1.0
    hand.check(bpy.app.is_job_running("RENDER"), "the render is over too soon")
    hand.check(RESULT not in bpy.data.objects, "it was placed into a render")
    yield from hand.look("waits_for_the_render")
    hand.note("waiting", list(hand.part("pump").current().waiting.values()))
    yield from stop_render()
    yield from hand.until_job("PLACED")
    hand.check(RESULT in bpy.data.objects, "it is not placed after the render")
    yield from hand.look("placed_after_the_render")
    bpy.ops.wm.save_mainfile()


def stop_render() -> hand.Steps:
    """Click along the status bar until the cross beside the render's progress is hit: a simulated Esc is not heard."""
    window = kit.view().window
    for x in range(window.width // 3, window.width * 7 // 10, 8):
        yield from hand.move(window, x, 11)
        yield from hand.press("LEFTMOUSE")
        yield 0.03
        if not bpy.app.is_job_running("RENDER"):
            return
    yield from kit.until(lambda: not bpy.app.is_job_running("RENDER"), what="the render's end")


def elsewhere() -> hand.Steps:
    """The second result, which has a source of its own, is ready while another file is open."""
    job_id = hand.job().id
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=OTHER)
    yield 1.0
    yield from hand.open_tab()
    hand.tell(os.environ["SERVICE"], "finish")
    yield from kit.until(lambda: state(job_id) == "READY", 60.0, "the result")
    yield 2.0
    hand.check(state(job_id) == "READY", f"in the other file it became {state(job_id)}")
    hand.check(RESULT not in bpy.data.objects, "it was placed in another file")
    yield from hand.look("not_placed_in_another_file")
    bpy.ops.wm.open_mainfile(filepath=FILE)
    yield 1.0
    yield from hand.open_tab()
    yield from kit.until(lambda: state(job_id) == "PLACED", what="the result in its own file")
    yield from hand.look("placed_in_its_own_file")


def state(job_id: str) -> str:
    return str(hand.part("pump").current().jobs[job_id].state)
