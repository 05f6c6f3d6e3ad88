"""How long the click on Refine takes: from the operator's call to its return, with the journal's sync to disk."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

from benchmark import sampling
from benchmark.sampling import Bench, Figure, milliseconds

GOAL_S = 0.02
CLICKS = 20
JOBS = 1000


def measure(bench: Bench) -> list[Figure]:
    figures = []
    for count in (0, JOBS):
        found = bench.sample(__file__, str(bench.archive), str(count), settings={"CSM_SERVICE": "local"})
        taken = sampling.median(found["seconds"])
        journal = f"a journal of {count:,} jobs" if count else "an empty journal"
        first, worst = milliseconds(found["seconds"][0]), milliseconds(max(found["seconds"]))
        how = f"median of {CLICKS}, the first one {first}, worst {worst}; "
        how += f"before, the first look at the journal took {milliseconds(found['opening'])}"
        figures.append(
            Figure(f"click to return, {journal}", milliseconds(taken), how, milliseconds(GOAL_S), taken <= GOAL_S)
        )
    return figures


def click(archive: str, jobs: int) -> dict[str, Any]:
    """Click for sessions that are all different, as no session is sent twice; nothing is sent: no worker runs."""
    import bpy

    from benchmark import installed

    installed.install(archive)
    fill_journal(jobs)
    pump = installed.part("blender.jobs.job_monitor")
    started = time.perf_counter()
    pump.current().refresh()  # an open panel has done that long before the click
    opening = time.perf_counter() - started
    operators: Any = bpy.ops
    seconds = []
    for number in range(CLICKS):
        code = f"SESSION_1689256797_{number:07d}"
        started = time.perf_counter()
        operators.csm_refine.refine(session_code=code)
        seconds.append(time.perf_counter() - started)
    if len(pump.current().jobs) != jobs + CLICKS:
        raise RuntimeError(f"{len(pump.current().jobs)} jobs are written down")
    return {"seconds": seconds, "opening": opening}


def fill_journal(count: int) -> None:
    """Write jobs of last year, all placed, as the product writes them."""
    from benchmark import installed

    journal, models = installed.part("core.jobs.job_store"), installed.part("core.models")
    orders, home = installed.part("core.jobs.job_factory"), installed.part("blender.data_location").home()
    box = models.Box((0.0, 0.0, 0.5), (1.0, 2.0, 1.0))
    placement = models.Placement(box=box, object_name="Chair")
    with journal.JobStore(home.journal) as kept:
        for number in range(count):
            request = models.RefineRequest(f"SESSION_1650000000_{number:07d}", (1.0, 1.0, 2.0), (0.0, -0.5, 0.0))
            job = orders.new_job(request, models.LOCAL, now=1650000000.0 + number, placement=placement)
            kept.add(dataclasses.replace(job, state=models.JobState.PLACED, placed_object="Chair refined"))


if __name__ == "__main__":
    sampling.answer(click(sys.argv[1], int(sys.argv[2])))
