"""A Blender with the add-on whose user does one thing after the other, drawn by a seed; its timer is turned by hand.

    python -m tests.reliability.crash_window HOME SEED SECONDS CODE ...

With no seconds it refines the first session, once. After its time it goes on turning, until its stdin ends; then it
says on stdout what it sees, as a line of JSON.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import bpy

from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.blender.scene import object_metadata
from csm_refine_addon.core.errors import CsmError
from csm_refine_addon.core.models import JobState as S
from tests.reliability.crash_line import DONE

ADDON = "csm_refine_addon"
ACTIONS = ("refine", "refine", "refine", "stop", "retry", "remove", "place", "wait", "wait", "wait")
SUITS = {
    "stop": (S.RUNNING, S.SUBMITTING, S.PREPARED, S.PREPARING),
    "retry": (S.STOPPED, S.FAILED),
    "place": (S.READY,),
}


def enable() -> None:
    bpy.ops.wm.read_factory_settings()
    bpy.ops.preferences.addon_enable(module=ADDON)
    bpy.context.preferences.addons[ADDON].preferences.service = "LOCAL"


def turn() -> None:
    """Take turns until one did more than import something."""
    while job_monitor.tick() == job_monitor.AT_ONCE_S:
        pass
    assert "mistake" not in job_monitor.current().trouble, job_monitor.current().trouble


def act(chance: random.Random, codes: list[str]) -> str:
    """Do one thing; what the add-on refuses is no mistake."""
    action = chance.choice(ACTIONS)
    jobs = [job.id for job in job_monitor.current().jobs.values() if job.state in SUITS.get(action, tuple(S))]
    try:
        if action == "refine":
            bpy.ops.csm_refine.refine(session_code=chance.choice(codes))
        elif action != "wait" and jobs:
            getattr(bpy.ops.csm_refine, action)(job=chance.choice(jobs))
    except RuntimeError as error:  # an operator's report of an error
        return f"{action}: {error}"
    return action


def seen() -> dict:
    keeper = job_monitor.current()
    placed = [job for job in keeper.jobs.values() if job.state is S.PLACED]
    here = [job.id for job in placed if object_metadata.find_result(job)]
    return {"states": {job.id: job.state for job in keeper.jobs.values()}, "placed here": here}


def main(home: str, seed: str, seconds: str, *codes: str) -> None:
    os.environ["CSM_REFINE_HOME"] = home
    chance, asked, done = random.Random(seed), threading.Event(), Counter()  # noqa: S311 -- to be repeated
    threading.Thread(target=lambda: (sys.stdin.read(), asked.set()), daemon=True).start()
    enable()
    job_monitor.current().press()
    if not float(seconds):
        bpy.ops.csm_refine.refine(session_code=codes[0])
    ends_at, next_at = time.monotonic() + float(seconds), 0.0
    while not asked.wait(0.05):
        turn()
        if time.monotonic() >= ends_at:
            Path(home, DONE.format(seed)).touch()
        elif next_at <= time.monotonic():
            done[act(chance, list(codes)).partition(":")[0]] += 1
            next_at = time.monotonic() + chance.uniform(0.0, 0.6)
    turn()
    while job_monitor.current()._locked_since:  # somebody was writing: what it knows is what it read before
        turn()
    print(json.dumps({**seen(), "did": done}))


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # says where it stands
    code = 1
    try:
        main(*sys.argv[1:])
        code = 0
    except BaseException:  # noqa: BLE001 -- the top of a program
        traceback.print_exc()
    finally:
        with contextlib.suppress(CsmError):
            job_monitor.current().close()
        sys.stdout.flush()
        os._exit(code)
