"""How long enabling the installed extension holds up Blender's start."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmark import sampling
from benchmark.sampling import Bench, Figure, milliseconds

GOAL_S = 0.03
SAMPLES = 10


def measure(bench: Bench) -> list[Figure]:
    first = bench.sample(__file__, str(bench.archive))
    samples = [bench.sample(__file__, afresh=False) for _ in range(SAMPLES)]
    taken = [found["seconds"] for found in samples]
    imported = any(found["requests"] for found in [first, *samples])
    how = f"from its zip, in {SAMPLES} processes; median, worst {milliseconds(max(taken))}; "
    how += f"right after the install, while Python compiles it, {milliseconds(first['seconds'])}"
    median = sampling.median(taken)
    return [
        Figure("enabling the add-on", milliseconds(median), how, milliseconds(GOAL_S), median <= GOAL_S),
        Figure("does that import requests", "yes" if imported else "no", "by sys.modules", "no", not imported),
    ]


def enable(archive: str = "") -> dict[str, Any]:
    """Enable the extension; with an archive, right after installing it."""
    from benchmark import installed

    if archive:
        installed.install(archive, enable=False)
    known = set(sys.modules)
    seconds = timed(installed.enable)
    return {"seconds": seconds, "requests": "requests" in set(sys.modules) - known}


def timed(act: Any) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    sampling.answer(enable(*sys.argv[1:]))
