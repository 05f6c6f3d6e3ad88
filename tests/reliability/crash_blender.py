"""Plays Blender, as far as it keeps a worker: starts one, tells it how things stand, starts another where it dies.

    python -m tests.reliability.crash_blender HOME PROGRAM [KEY]

It ends when its stdin does. What PROGRAM is to the worker, a real Blender says of itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import crash_points, worker
from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.processes.background import detached

EACH_S = 0.05


def started(home: DataDir, program: str, key: str) -> subprocess.Popen[bytes]:
    with home.worker_log.open("ab") as log:
        process = worker.start(home, sys.executable, program, stdout=log, stderr=log, **detached())
    with contextlib.suppress(OSError):  # killed by now: the next turn starts another
        process.stdin.write(worker.control_line(True, {"": Secret(key)} if key else {}, 20.0))
        process.stdin.flush()
    return process


def main(folder: str, program: str, key: str = "") -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    home, process = DataDir(Path(folder)), None
    while not ended.wait(EACH_S):
        if process is None or process.poll() is not None:
            process = started(home, program, key)
            os.environ.pop(crash_points.VARIABLE, None)  # once is enough


if __name__ == "__main__":
    main(*sys.argv[1:])
