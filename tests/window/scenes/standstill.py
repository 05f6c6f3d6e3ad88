"""The largest mesh comes from a slow service, asked for by a click; how long does the window stand still meanwhile?

Notes by phase the heartbeat's longest gap in seconds, and the longest turn of the extension's own timer; what stood
still in Python is left in /job/stalls.txt. The viewport draws no meshes while it is measured, neither ours nor the
importer's: drawing 1.3 M triangles in software is neither's work.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import time
from collections.abc import Callable
from typing import Any

import bpy

from benchmark import heartbeat
from tests.window import hand
from window import kit

CODE = "SESSION_1689256797_6037625"
PLANTED_S, LIMIT_S, WATCH_S = 2.0, 300.0, 0.1
RESULT = "Cube refined"
_turns = [0.0]


def scene() -> hand.Steps:
    hand.preferences().network_timeout_s = 90
    hand.preferences().poll_first_s = 1.0
    yield from hand.open_tab()
    yield from hand.use_url(os.environ["SERVICE"])
    yield from hand.type_into("session_code", CODE)
    yield from hand.look("before")
    time_turns()
    yield from measured("planted", planted)
    yield from hand.click("csm_refine.refine(")
    yield from hand.cancel()  # a first dialog's shaders are compiled
    yield from measured("idle", idle)
    yield from measured("arrival", arrival)
    yield from measured("importer", imported)
    kit.view().space.show_object_viewport_mesh = True
    yield from hand.look("after")


def measured(name: str, act: Callable[[], hand.Steps]) -> hand.Steps:
    """Do something with a heartbeat beside it."""
    meter, is_on = heartbeat.Meter(), [True]
    last, long = [time.perf_counter()], []
    with (hand.JOB / "stalls.txt").open("a") as file:
        file.write(f"\n== {name}\n")
        file.flush()

        def beat() -> float | None:
            gap = time.perf_counter() - last[0]
            if gap > WATCH_S:
                long.append([round(gap, 3), str(hand.job().state) if hand.jobs() else "before the job"])
            meter.beat()
            last[0] = time.perf_counter()
            faulthandler.dump_traceback_later(WATCH_S, file=file)
            return heartbeat.EVERY_S if is_on[0] else None

        bpy.app.timers.register(beat, first_interval=heartbeat.EVERY_S, persistent=True)
        _turns[:] = [0.0]
        yield from act()
        is_on[0] = False
        faulthandler.cancel_dump_traceback_later()
        hand.note(name, {"gap": meter.gaps().longest, "turn": max(_turns), "long": long})
        yield 0.05
        faulthandler.cancel_dump_traceback_later()


def time_turns() -> None:
    """Put a stopwatch around the extension's timer."""
    tick: Any = importlib.import_module(hand.part("pump").__name__).tick

    def timed() -> float:
        started = time.perf_counter()
        pause: float = tick()
        _turns.append(time.perf_counter() - started)
        return pause

    bpy.app.timers.unregister(tick)
    bpy.app.timers.register(timed, persistent=True)


def planted() -> hand.Steps:
    yield 0.1
    time.sleep(PLANTED_S)
    yield 0.1


def idle() -> hand.Steps:
    """The window as it is, with a redraw of everything now and then."""
    for _ in range(10):
        yield from kit.redrawn()


def arrival() -> hand.Steps:
    """Click, confirm, go on working while the service takes its time, and have the result placed."""
    yield from hand.click("csm_refine.refine(")
    yield from hand.confirm()
    yield from kit.until(hand.jobs, what="a job")
    kit.view().space.show_object_viewport_mesh = False
    states: list[str] = []
    while not states or states[-1] != "PLACED":
        yield from kit.until(lambda: not states or hand.job().state != states[-1], LIMIT_S, f"a state after {states}")
        states.append(str(hand.job().state))
        hand.check(states[-1] != "FAILED", str(hand.job().error))
        kit.say(states[-1])
    hand.note("states", states)
    hand.check(RESULT in bpy.data.objects, "the result is not there")
    yield 1.0


def imported() -> hand.Steps:
    yield 0.1
    bpy.ops.import_scene.gltf(filepath="/job/mesh.glb")
    yield 1.0
