"""A command line whose user gives one command after the other, drawn by a seed, in one process.

    python -m tests.reliability.crash_line HOME SEED SECONDS CODE ...

When its stdin ends it says on stdout what `jobs` lists, as a line of JSON.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from csm_refine_addon import cli

DONE = "done_{}"
"""A file in the home folder, by seed: whoever it belongs to does nothing more by itself."""
ACTIONS = ("submit", "submit", "wait", "stop", "fetch", "jobs", "status")


def said(*arguments: str) -> dict:
    """Run a command and return what it says."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = cli.main([*arguments, "--json"])
    document = json.loads(output.getvalue().splitlines()[-1])
    assert code != 1, document  # a mistake of ours
    return document


def main(home: str, seed: str, seconds: str, *codes: str) -> None:
    os.environ.update(CSM_REFINE_HOME=home, CSM_SERVICE="local")
    chance, done = random.Random(seed), Counter()  # noqa: S311 -- to be repeated
    ends_at = time.monotonic() + float(seconds)
    while time.monotonic() < ends_at:
        action, jobs = chance.choice(ACTIONS), [job["job"] for job in said("jobs")["jobs"]]
        done[action] += 1
        if action == "submit":
            said("submit", chance.choice(codes))
        elif action == "wait" and jobs:
            said("wait", chance.choice(jobs), "--timeout", "2")
        elif action in ("stop", "fetch", "status") and jobs:
            said(action, chance.choice(jobs))
    Path(home, DONE.format(seed)).touch()
    sys.stdin.read()
    print(json.dumps({"states": {job["job"]: job["state"] for job in said("jobs")["jobs"]}, "did": done}))


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # says where it stands
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # bpy may have come in
