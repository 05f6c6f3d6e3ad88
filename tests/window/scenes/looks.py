"""The main states in the light and the dark theme, at resolution scale 1 and 2: asked for, failed, placed."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from tests.window import hand

CODES = ("SESSION_1689256797_6037625", "SESSION_1689256797_6037626")
THEMES = {"dark": "Blender_Dark.xml", "light": "Blender_Light.xml"}
_context = bpy.context


def scene() -> hand.Steps:
    hand.preferences().poll_first_s = 1.0
    yield from hand.open_tab()
    yield from hand.use_url(os.environ["SERVICE"])
    hand.tell(os.environ["SERVICE"], "finish")
    for code, end in zip(CODES, ("PLACED", "FAILED"), strict=True):
        bpy.ops.csm_refine.refine(session_code=code)
        yield from hand.until_job(end)
    yield from hand.type_into("session_code", CODES[0])
    yield from hand.open_bounds()
    hand.settings().bounds_mode = hand.settings().pivot_mode = "TYPED"
    for theme, file in THEMES.items():
        for scale in (1, 2):
            folder = Path(bpy.utils.system_resource("SCRIPTS"), "presets", "interface_theme")
            if (folder / file).is_file():
                bpy.ops.script.execute_preset(
                    filepath=str(folder / file), menu_idname="USERPREF_MT_interface_theme_presets"
                )
            _context.preferences.view.ui_scale = scale
            yield from hand.over_viewport()
            yield 0.5
            yield from states(f"{theme} {scale}")


def states(look: str) -> hand.Steps:
    """Take a picture of the upper part, and one of each job's details."""
    kept = _context.window_manager.csm_refine
    yield from hand.scrolled(hand.sidebar(), to_top=True)
    yield from hand.look(f"{look} asked")
    for number, row in enumerate(kept.jobs):
        kept.active = number
        job = hand.part("pump").current().jobs[row.name]
        for _ in range(3 * round(hand.scale())):
            yield from hand.scrolled(hand.sidebar(), to_top=False)
        yield from hand.look(f"{look} {job.state}")
