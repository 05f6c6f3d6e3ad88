"""A job is sent; then Blender is quit by Ctrl Q, or killed (END), or waits for the result (nothing), in its file."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from tests.window import hand
from window import kit

CODE = "SESSION_1689256797_6037625"
FILE = "/job/scene.blend"
END = os.environ["END"]


def scene() -> hand.Steps:
    hand.preferences().poll_first_s = 2.0
    if Path(FILE).exists():
        hand.check(hand.settings().service_url == os.environ["SERVICE"], "the service is not chosen any more")
        bpy.ops.wm.open_mainfile(filepath=FILE)
        yield 0.5
        yield from hand.open_tab()
    else:
        yield from sent()
    yield from kit.until(hand.jobs, what="the job")
    hand.check(len(hand.jobs()) == 1, f"{len(hand.jobs())} jobs")
    yield from hand.until_job("RUNNING")
    yield from hand.look(f"before_{END or 'the_end'}")
    hand.note("state", str(hand.job().state))
    if END == "kill":
        hand.kill_blender()
    if END == "quit":
        hand.write_notes()
        yield from hand.over_viewport()
        yield from hand.press("Q", ctrl=True)
        yield from kit.until(lambda: False, 20.0, "Blender's end")
    hand.tell(os.environ["SERVICE"], "finish")
    yield from hand.until_job("PLACED")
    hand.check("Cube refined" in bpy.data.objects, "the result is not there")
    yield from hand.look("placed")


def sent() -> hand.Steps:
    bpy.context.preferences.use_preferences_save = True  # as it is for everybody but our tests
    bpy.context.preferences.is_dirty = False  # to say so made it that
    yield from hand.open_tab()
    yield from hand.use_url(os.environ["SERVICE"])
    yield from hand.type_into("session_code", CODE)
    bpy.ops.wm.save_as_mainfile(filepath=FILE)
    yield from hand.click("csm_refine.refine(")
    yield from hand.confirm()
    yield from hand.until_job("RUNNING")
    bpy.ops.wm.save_mainfile()
