"""The longest gap of a heartbeat: how long the main thread stood still."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

EVERY_S = 0.01


class Gaps(NamedTuple):
    """What a heartbeat saw, in seconds; the pause between two beats counts as part of the gap."""

    longest: float
    median: float
    beats: int

    def __str__(self) -> str:
        return f"{self.longest * 1000:.0f} ms"


class Meter:
    """Told of every beat; keeps the gaps."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._gaps: list[float] = []
        self._last = clock()

    def beat(self) -> float:
        """Note a beat, and return the gap before it."""
        now = self._clock()
        gap = now - self._last
        self._gaps.append(gap)
        self._last = now
        return gap

    def gaps(self) -> Gaps:
        self.beat()  # the gap that is still open counts, too
        ordered = sorted(self._gaps)
        return Gaps(ordered[-1], ordered[len(ordered) // 2], len(ordered))


def planted_block(seconds: float) -> float:
    """Plant a block between two beats and return the longest gap: proof that the meter sees a standstill."""
    meter = Meter()
    for pause in (EVERY_S, seconds, EVERY_S):
        time.sleep(pause)
        meter.beat()
    return meter.gaps().longest
