"""Moves a job into another state, or adds one, as a Blender or a command line does, in a process that may be killed.

python -m tests.reliability.crash_driver JOURNAL JOB_ID STATE
python -m tests.reliability.crash_driver JOURNAL < a job as JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import Job, JobState
from tests.reliability.crash_ways import by_hand


def main(path: str, job_id: str = "", state: str = "") -> None:
    with JobStore(Path(path), busy_timeout_s=20.0) as journal:
        if job_id:
            journal.change(job_id, lambda job: by_hand(job, JobState(state)), again=True)
        else:
            journal.add(Job.from_json(json.load(sys.stdin)), again=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
