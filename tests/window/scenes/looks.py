"""The main states in the light and the dark theme, at resolution scale 1 and 2: asked for, failed, placed."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from tests.window import ui_driver

CODES = ("SESSION_1689256797_6037625", "SESSION_1689256797_6037626")
THEMES = {"dark": "Blender_Dark.xml", "light": "Blender_Light.xml"}
_context = bpy.context


def scene() -> ui_driver.Steps:
    ui_driver.preferences().poll_first_s = 1.0
    yield from ui_driver.open_tab()
    yield from ui_driver.use_url(os.environ["SERVICE"])
    ui_driver.tell(os.environ["SERVICE"], "finish")
    for code, end in zip(CODES, ("PLACED", "FAILED"), strict=True):
        bpy.ops.csm_refine.refine(session_code=code)
        yield from ui_driver.until_job(end)
    yield from ui_driver.type_into("session_code", CODES[0])
    yield from ui_driver.open_bounds()
    ui_driver.settings().bounds_mode = ui_driver.settings().pivot_mode = "TYPED"
    for theme, file in THEMES.items():
        for scale in (1, 2):
            folder = Path(bpy.utils.system_resource("SCRIPTS"), "presets", "interface_theme")
            if (folder / file).is_file():
                bpy.ops.script.execute_preset(
                    filepath=str(folder / file), menu_idname="USERPREF_MT_interface_theme_presets"
                )
            _context.preferences.view.ui_scale = scale
            yield from ui_driver.over_viewport()
            yield 0.5
            yield from states(f"{theme} {scale}")


def states(look: str) -> ui_driver.Steps:
    """Take a picture of the upper part, and one of each job's details."""
    kept = _context.window_manager.csm_refine
    yield from ui_driver.scrolled(ui_driver.sidebar(), to_top=True)
    yield from ui_driver.look(f"{look} asked")
    for number, row in enumerate(kept.jobs):
        kept.active = number
        job = ui_driver.part("job_monitor").current().jobs[row.name]
        for _ in range(3 * round(ui_driver.scale())):
            yield from ui_driver.scrolled(ui_driver.sidebar(), to_top=False)
        yield from ui_driver.look(f"{look} {job.state}")
