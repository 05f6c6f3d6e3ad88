"""``python -m csm_refine_addon.remesh FOLDER``: run the refine of ``FOLDER/order.json`` from a terminal."""

from ..core import import_paths  # before all others

import_paths.leave_current_folder_out()

import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Mapping  # noqa: E402
from pathlib import Path  # noqa: E402

from ..core.processes.background import SCRATCH, find_background_blender  # noqa: E402
from . import fallback  # noqa: E402


def main(folder: Path) -> int:
    """Run the fallback chain in this terminal and return the exit code of the last process."""
    blender = find_background_blender()
    (folder / SCRATCH).mkdir(exist_ok=True)

    def run(module: str, request: Mapping[str, str], limit_s: float) -> int | None:
        with blender.start(module, request, folder / SCRATCH, sys.stdout.buffer) as process:
            try:
                return process.wait(None if limit_s == float("inf") else limit_s)
            except subprocess.TimeoutExpired:
                return None
            finally:
                process.kill()

    return fallback.refine(folder, run) or 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
