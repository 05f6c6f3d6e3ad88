from __future__ import annotations

import subprocess
import sys

import bpy
import pytest

from csm_refine_addon.blender import registration
from csm_refine_addon.blender.jobs import job_monitor
from tests.support import left_behind

OURS_THAT_ARE_SLOW = ("csm_refine_addon.core.providers.client", "csm_refine_addon.core.jobs.job_store")
SLOW = ("requests", "urllib3", "bottle", "waitress", *OURS_THAT_ARE_SLOW)


@pytest.fixture(autouse=True)
def fresh_file():
    bpy.ops.wm.read_factory_settings()


def test_unregister_mirrors_register():
    """Nothing is left in Blender after unregister, and the second time is as the first."""
    before = left_behind.snapshot()
    registration.register()
    first = left_behind.snapshot()
    registration.unregister()
    assert left_behind.differences(before, left_behind.snapshot()) == {}
    registration.register()
    assert left_behind.differences(first, left_behind.snapshot()) == {}
    registration.unregister()
    assert left_behind.differences(before, left_behind.snapshot()) == {}


def test_without_a_window_there_is_no_timer():
    """In the background nobody looks at the panel, and a pending timer keeps some Blenders from ending."""
    registration.register()
    assert not bpy.app.timers.is_registered(job_monitor.tick)
    registration.unregister()


def test_names_are_those_of_the_interface():
    """Classes, operators, settings and the tab are named as scripts rely on."""
    registration.register()
    try:
        names = {kind.__name__ for kind in registration.CLASSES}
        assert all(
            name.startswith(("CSM_PT_", "CSM_OT_", "CSM_UL_", "CSM_MT_", "CSM_PG_", "CSM_AP_")) for name in names
        )
        panels = [kind for kind in registration.CLASSES if issubclass(kind, bpy.types.Panel)]
        assert {panel.bl_category for panel in panels} == {"CSM"}
        promised = {"refine", "wait", "stop", "retry", "place", "fit", "remove", "create_session", "check_service"}
        assert promised <= set(dir(bpy.ops.csm_refine))
        assert bpy.context.scene.csm_refine
    finally:
        registration.unregister()


def test_registering_brings_in_nothing_slow():
    """Enabling the extension imports no network library and opens no database; it starts no process."""
    code = (
        "import os, sys, bpy, csm_refine_addon; before = set(sys.modules); csm_refine_addon.register();"
        f"print(set({SLOW!r}) & (set(sys.modules) - before)); csm_refine_addon.unregister();"
        "sys.stdout.flush(); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
