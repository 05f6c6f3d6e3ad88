"""Clean Up measures, asks, and deletes after Enter only; the window goes on meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import bpy

from tests.window import ui_driver
from window import kit

DAY_S = 24 * 3600.0


def old_folder() -> Path:
    """What a job left that is no longer listed."""
    home: Any = ui_driver.part("data_location").home()
    folder = home.ensure().job_folder("cafe0001")
    (folder / "mesh.glb").write_bytes(b"x" * 3_000_000)
    os.utime(folder, (time.time() - 2 * DAY_S,) * 2)
    return Path(folder)


def press_button() -> None:
    place = ui_driver.viewport()
    with bpy.context.temp_override(window=place.window, area=place.area, region=place.region):
        operators: Any = bpy.ops
        operators.csm_refine.clean_up("INVOKE_DEFAULT")


def scene() -> ui_driver.Steps:
    yield from ui_driver.open_tab()
    folder = old_folder()
    press_button()
    yield 5.0
    yield from ui_driver.look("asks")
    yield from ui_driver.cancel()
    yield 2.0
    ui_driver.check(folder.exists(), "it was deleted without a yes")
    press_button()
    yield 5.0
    yield from ui_driver.confirm()
    yield from kit.until(lambda: not folder.exists(), what="the old folder to go")
    yield from ui_driver.look("deleted")
