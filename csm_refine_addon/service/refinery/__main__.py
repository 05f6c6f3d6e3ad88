"""``python -m csm_refine_addon.service.refinery FOLDER``: refine what the ``order.json`` in there asks for, by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ...core.processes.background import confined_environment, find_background_blender
from . import ladder


def main(folder: Path) -> int:
    """Run the ladder in this terminal; the exit code of the last step."""
    blender = find_background_blender()
    (folder / "scratch").mkdir(exist_ok=True)

    def run(module: str, arguments: Sequence[str], limit_s: float) -> int | None:
        command, environment = blender.command(module, *arguments), confined_environment(folder / "scratch")
        limit = None if limit_s == float("inf") else limit_s
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, env=environment, timeout=limit, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return None

    return ladder.refine(folder, run) or 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
