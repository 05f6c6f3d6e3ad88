"""A session code is typed wrong, typed right, pasted by the button, and by Ctrl V; what is wrong stands below."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from tests.window import hand
from window import kit

CODE = "SESSION_1689256797_6037625"
SIGNED = f"https://files.example/account/{CODE}/mesh.glb?sig=s1gnature"
_manager = bpy.context.window_manager


def scene() -> hand.Steps:
    yield from hand.open_tab()
    yield from hand.use_url(os.environ["SERVICE"])
    yield from hand.look("empty")
    yield from hand.type_into("session_code", "session 17")
    hand.check(hand.settings().session_code == "session 17", hand.settings().session_code)
    yield from hand.look("an_odd_form")
    yield from hand.click("csm_refine.refine(")
    hand.check(not hand.jobs(), "a wrong code made a job")
    yield from hand.type_into("session_code", CODE)
    hand.check(hand.settings().session_code == CODE, hand.settings().session_code)
    yield from kit.until(looked_up, 20, "the session to be looked up")
    yield from hand.look("typed")
    yield from hand.type_into("session_code", "x")
    _manager.clipboard = SIGNED
    yield from hand.click("csm_refine.paste_code", *hand.ICONS)
    hand.check(hand.settings().session_code == CODE, hand.settings().session_code)
    yield from hand.type_into("session_code", "x")
    _manager.clipboard = SIGNED
    spot = yield from hand.find("session_code")
    yield from hand.move(hand.sidebar().window, spot.x, spot.y)
    yield 0.1
    yield from hand.press("V", ctrl=True)
    yield hand.SETTLE_S
    hand.check(hand.settings().session_code == CODE, hand.settings().session_code)
    bpy.ops.wm.save_as_mainfile(filepath="/job/scene.blend", compress=False)  # the test searches it for the signature
    hand.check(CODE.encode() in Path("/job/scene.blend").read_bytes(), "the file does not have the code")
    yield from hand.look("pasted")
    _manager.clipboard = "no code at all"
    yield from hand.click("csm_refine.paste_code", *hand.ICONS)
    hand.check(CODE in hand.settings().session_code, "what is no code was pasted")
    yield from hand.look("nothing_to_paste")


def looked_up() -> bool:
    pump = hand.part("pump").current()
    found = pump.looking.session(CODE, hand.settings().service_url)
    return found is not None and bool(found.sessions)
