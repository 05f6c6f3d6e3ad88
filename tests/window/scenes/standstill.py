"""The largest mesh comes from a slow service, asked for by a click; how long does the window stand still meanwhile?

Notes by phase the heartbeat's longest gap in seconds, and the longest turn of the extension's own timer, and whether
the result is the very object that was brought in parts; what stood still in Python is left in /job/stalls.txt. The
viewport draws no meshes while it is measured, neither ours nor the importer's: drawing 1.3 M triangles in software is
neither's work.
"""

from __future__ import annotations

import os

import bpy

from tests.window import ui_driver
from window import kit, standstill

CODE = "SESSION_1689256797_6037625"
LIMIT_S = 300.0
RESULT = "Cube refined"


def scene() -> ui_driver.Steps:
    ui_driver.preferences().network_timeout_s = 90
    ui_driver.preferences().poll_first_s = 1.0
    yield from ui_driver.open_tab()
    yield from ui_driver.use_url(os.environ["SERVICE"])
    yield from ui_driver.type_into("session_code", CODE)
    yield from ui_driver.look("before")
    watch, found = standstill.Stopwatch(ui_driver.part("job_monitor"), ui_driver.JOB / "stalls.txt", stage), {}
    yield from watch.measured("planted", standstill.planted(), found)
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.cancel()  # a first dialog's shaders are compiled
    yield from watch.measured("idle", standstill.idle(), found)
    yield from watch.measured("arrival", arrival(), found)
    yield from watch.measured("importer", standstill.imported("/job/mesh.glb"), found)
    for name, seen in found.items():
        ui_driver.note(name, seen._asdict())
    kit.view().space.show_object_viewport_mesh = True
    yield from ui_driver.look("after")


def stage() -> str:
    return str(ui_driver.job().state) if ui_driver.jobs() else "before the job"


def arrival() -> ui_driver.Steps:
    """Click, confirm, go on working while the service takes its time, and have the result placed."""
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.confirm()
    yield from kit.until(ui_driver.jobs, what="a job")
    kit.view().space.show_object_viewport_mesh = False
    states: list[str] = []
    in_parts: set[int] = set()

    def has_moved() -> bool:
        in_parts.update(under_way())
        return not states or ui_driver.job().state != states[-1]

    while not states or states[-1] != "PLACED":
        yield from kit.until(has_moved, LIMIT_S, f"a state after {states}")
        states.append(str(ui_driver.job().state))
        ui_driver.check(states[-1] != "FAILED", str(ui_driver.job().error))
        kit.say(states[-1])
    ui_driver.note("states", states)
    ui_driver.check(RESULT in bpy.data.objects, "the result is not there")
    ui_driver.note("came in parts", bpy.data.objects[RESULT].session_uid in in_parts)
    yield standstill.AFTERWARDS_S


def under_way() -> set[int]:
    """The objects of which some parts are in the file by now; the last part goes with the placing."""
    return {delivery._uid for delivery in ui_driver.part("job_monitor").current()._deliveries._under_way.values()}
