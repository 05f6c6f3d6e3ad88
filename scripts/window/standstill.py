"""Inside Blender: how long does the main thread stand still meanwhile, and how much of it is our timer?"""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from benchmark import heartbeat

from . import kit

PLANTED_S, AFTERWARDS_S, WATCH_S = 2.0, 1.0, 0.1


class Long(NamedTuple):
    """A gap of more than WATCH_S, and what was going on when it ended."""

    gap: float
    meanwhile: str


class Standstill(NamedTuple):
    """The longest gap between two beats, the longest turn of the extension's timer (seconds), and the long gaps."""

    gap: float
    turn: float
    long: list[Long]


class Stopwatch:
    """Watches the heartbeat and the extension's timer, which it takes the place of."""

    def __init__(self, pump: Any, stacks: Path, meanwhile: Callable[[], str] = str) -> None:
        """``pump`` is the module with the timer's ``tick``; what stood still in Python is written to ``stacks``."""
        self._stacks = stacks
        self._meanwhile = meanwhile
        self._turns: list[float] = []
        tick = pump.tick
        if bpy.app.timers.is_registered(tick):
            bpy.app.timers.unregister(tick)
        pump.tick = lambda: self._timed(tick)
        pump.wake()

    def _timed(self, tick: Callable[[], float | None]) -> float | None:
        started = time.perf_counter()
        pause = tick()
        self._turns.append(time.perf_counter() - started)
        return pause

    def measured(self, name: str, steps: kit.Steps, found: dict[str, Standstill]) -> kit.Steps:
        """Take steps with a heartbeat beside them, and put what it saw into ``found``."""
        meter, is_on = heartbeat.Meter(), [True]
        long: list[Long] = []
        self._turns = [0.0]
        with self._stacks.open("a") as file:
            file.write(f"\n== {name}\n")
            file.flush()

            def beat() -> float | None:
                gap = meter.beat()
                if gap > WATCH_S:
                    long.append(Long(gap, self._meanwhile()))
                faulthandler.dump_traceback_later(WATCH_S, file=file)
                return heartbeat.EVERY_S if is_on[0] else None

            bpy.app.timers.register(beat, first_interval=heartbeat.EVERY_S, persistent=True)
            yield from steps
            is_on[0] = False
            found[name] = Standstill(meter.gaps().longest, max(self._turns), long)
            yield kit.TURN_S
            faulthandler.cancel_dump_traceback_later()
        kit.say(name, found[name])


def planted() -> kit.Steps:
    """A standstill of PLANTED_S: proof that the meter sees one."""
    yield 0.1
    time.sleep(PLANTED_S)
    yield 0.1


def idle() -> kit.Steps:
    """The window as it is, with a redraw of everything every now and then."""
    for _ in range(10):
        yield from kit.redrawn()


def imported(mesh: str) -> kit.Steps:
    """Blender's own importer."""
    yield 0.1
    bpy.ops.import_scene.gltf(filepath=mesh)
    yield AFTERWARDS_S
