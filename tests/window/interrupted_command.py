"""What a Blender without a window runs: the command line as scripts/refine.py starts it, and a signal in its middle."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from csm_refine_addon.cli import exit_process, main
from csm_refine_addon.core.data_dir import resolve_data_dir
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import JobState


def press() -> None:
    """Interrupt this process once its job is followed."""
    with JobStore(resolve_data_dir().journal) as journal:
        while not any(job.state is JobState.RUNNING for job in journal.all()):
            time.sleep(0.05)
    os.kill(os.getpid(), signal.Signals[os.environ["SIGNAL"]])


resolve_data_dir().ensure()
threading.Thread(target=press, daemon=True).start()
exit_process(main(sys.argv[sys.argv.index("--") + 1 :]))
