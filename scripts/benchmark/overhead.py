"""What a whole job takes beyond the service's own work: from the click to the placed mesh, with the local service."""

from __future__ import annotations

import sys
import threading
from datetime import datetime
from typing import Any

from benchmark import arrival, sampling
from benchmark.sampling import Bench, Figure

GOAL_S = 3.0
SAMPLES = 5


def measure(bench: Bench) -> list[Figure]:
    samples = [bench.sample(__file__, str(bench.archive), settings={"CSM_SERVICE": "local"}) for _ in range(SAMPLES)]
    overhead = [found["whole"] - found["service"] for found in samples]
    taken = sampling.median(overhead)
    steps = {name: sampling.median([found["steps"][name] for found in samples]) for name in samples[0]["steps"]}
    whole = sampling.median([found["whole"] for found in samples])
    how = f"median of {SAMPLES}, worst {max(overhead):.1f} s; a job of {whole:.1f} s; "
    how += ", ".join(f"{name} {seconds:.2f} s" for name, seconds in steps.items())
    return [Figure("overhead of a whole job", f"{taken:.2f} s", how, f"{GOAL_S:.0f} s", taken <= GOAL_S)]


def job(archive: str) -> dict[str, Any]:
    """Have the local service make a session, so that it runs; then click, and play the timer to the end."""
    import bpy

    from benchmark import installed

    installed.install(archive)
    operators: Any = bpy.ops
    pump = installed.part("blender.jobs.job_monitor")
    played = arrival.Played(pump)
    operators.csm_refine.create_session()
    code = follow(pump, played).request.session_code
    bpy.data.objects["Cube refined"].select_set(True)
    operators.csm_refine.refine(session_code=code)
    placed = follow(pump, played)
    home = installed.part("blender.data_location").home()
    with installed.part("core.jobs.job_store").JobStore(home.journal) as journal:
        reached = {state: at for at, state in journal.history(placed.id)}
    done_at = refine_ended_at(installed, home, code)
    service = done_at - placed.accepted_at
    steps = {
        "to be sent": reached["RUNNING"] - placed.created_at,
        "to see its end": reached["DOWNLOADING"] - done_at,
        "to download": reached["PREPARING"] - reached["DOWNLOADING"],
        "to prepare": reached["READY"] - reached["PREPARING"],
        "to place": placed.finished_at - reached["READY"],
    }
    return {"whole": placed.finished_at - placed.created_at, "service": service, "steps": steps}


def follow(pump: Any, played: arrival.Played) -> Any:
    """Play the timer until the newest job is placed, and return it."""
    newest = max(pump.current().jobs.values(), key=lambda job: job.created_at).id
    played.until(lambda: pump.current().jobs[newest].state in {"PLACED", "FAILED"}, arrival.LIMIT_S)
    job = pump.current().jobs[newest]
    if job.state != "PLACED":
        raise RuntimeError(f"{job.state}: {job.error}")
    return job


def refine_ended_at(installed: Any, home: Any, code: str) -> float:
    """Return when the service wrote the refine's end down, as its session says."""
    local = installed.part("core.processes.local_service").LocalService(home)
    address, key = local.find_or_start(threading.Event().wait)
    client = installed.part("core.providers.client").Client(address, key, is_online=lambda: True)
    return datetime.fromisoformat(client.read_session(code).updated_at).timestamp()


if __name__ == "__main__":
    sampling.answer(job(sys.argv[1]))
