"""A Blender with the add-on and a job that runs, on a small disk of its own that becomes full or read-only.

    python -m tests.reliability.disk_window HOME SERVICE full|read-only

Its timer is turned by hand. Says on stdout, as a line of JSON, what the panel said within ten seconds, and after the
disk took files again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import bpy

from csm_refine_addon.blender.jobs import job_monitor
from tests.reliability.faults_machine import SmallDisk
from tests.support import panel
from tests.support.strict_layout import draw, texts

WITHIN_S = 10.0


def turns(until, within_s: float) -> bool:
    """Turn the timer until something is so; whether it came to be."""
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        job_monitor.tick()
        if until():
            return True
        time.sleep(0.05)
    return False


def said() -> str:
    return " ".join(texts(draw(bpy.types.CSM_PT_refine)))


def main(home: Path, service: str, fault: str) -> None:
    disk = SmallDisk(home)
    os.environ.update(CSM_REFINE_HOME=str(home), CSM_API_KEY=panel.KEY)
    bpy.ops.wm.read_factory_settings()
    bpy.ops.preferences.addon_enable(module=panel.ADDON)
    panel.preferences().service, panel.preferences().service_url = "URL", service
    bpy.ops.csm_refine.refine(session_code=panel.CODE)
    monitor = job_monitor.current()
    assert turns(lambda: any(job.polls > 2 for job in monitor.jobs.values()), 60.0), monitor.jobs
    disk.fill() if fault == "full" else disk.cover(home)
    word = "is full" if fault == "full" else "cannot be written"
    found = turns(lambda: word in said(), WITHIN_S)
    result = {"found": found, "said": said(), "well": None}
    if fault == "full":
        disk.free()
        result["well"] = turns(lambda: word not in said(), WITHIN_S)
    sys.__stdout__.write("\n" + json.dumps(result) + "\n")
    sys.__stdout__.flush()
    monitor.close()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
