"""A session code is typed wrong, typed right, pasted by the button, and by Ctrl V; what is wrong stands below."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from tests.window import ui_driver
from window import kit

CODE = "SESSION_1689256797_6037625"
SIGNED = f"https://files.example/account/{CODE}/mesh.glb?sig=s1gnature"
_manager = bpy.context.window_manager


def scene() -> ui_driver.Steps:
    yield from ui_driver.open_tab()
    yield from ui_driver.use_url(os.environ["SERVICE"])
    yield from ui_driver.look("empty")
    yield from ui_driver.type_into("session_code", "session 17")
    ui_driver.check(ui_driver.settings().session_code == "session 17", ui_driver.settings().session_code)
    yield from ui_driver.look("an_odd_form")
    yield from ui_driver.click("csm_refine.refine(")
    ui_driver.check(not ui_driver.jobs(), "a wrong code made a job")
    yield from ui_driver.type_into("session_code", CODE)
    ui_driver.check(ui_driver.settings().session_code == CODE, ui_driver.settings().session_code)
    yield from kit.until(looked_up, 20, "the session to be looked up")
    yield from ui_driver.look("typed")
    yield from ui_driver.type_into("session_code", "x")
    _manager.clipboard = SIGNED
    yield from ui_driver.click("csm_refine.paste_code", *ui_driver.ICONS)
    ui_driver.check(ui_driver.settings().session_code == CODE, ui_driver.settings().session_code)
    yield from ui_driver.type_into("session_code", "x")
    _manager.clipboard = SIGNED
    spot = yield from ui_driver.find("session_code")
    yield from ui_driver.move(ui_driver.sidebar().window, spot.x, spot.y)
    yield 0.1
    yield from ui_driver.press("V", ctrl=True)
    yield ui_driver.SETTLE_S
    ui_driver.check(ui_driver.settings().session_code == CODE, ui_driver.settings().session_code)
    bpy.ops.wm.save_as_mainfile(filepath="/job/scene.blend", compress=False)  # the test searches it for the signature
    ui_driver.check(CODE.encode() in Path("/job/scene.blend").read_bytes(), "the file does not have the code")
    yield from ui_driver.look("pasted")
    _manager.clipboard = "no code at all"
    yield from ui_driver.click("csm_refine.paste_code", *ui_driver.ICONS)
    ui_driver.check(CODE in ui_driver.settings().session_code, "what is no code was pasted")
    yield from ui_driver.look("nothing_to_paste")


def looked_up() -> bool:
    pump = ui_driver.part("job_monitor").current()
    found = pump.looking.session(CODE, ui_driver.settings().service_url)
    return found is not None and bool(found.sessions)
