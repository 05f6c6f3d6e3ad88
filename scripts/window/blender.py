"""Starts a Blender that has a window, with the built extension installed, and plays a scenario in it.

    python3 scripts/window/blender.py [--suite sid|trixie] SCENARIO.py

A scenario is a script for Blender's `--python` that uses `window.kit`; see scripts/window/scenarios.
"""

from __future__ import annotations

import argparse
import enum
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import environment

    environment.run_inside(__file__)

import build
import environment
from window import room

SIZE = (1024, 640)
"""Small: software draws a viewport of this size in 80 ms, one of 1600 x 900 in 165."""
_INSIDE = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LIBGL_ALWAYS_SOFTWARE": "1",
    "BLENDER_USER_RESOURCES": f"{room.JOB}/user",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Installs(enum.Enum):
    """What is done to the user folder before Blender's window opens."""

    ENABLED = "the extension is installed and enabled"
    DISABLED = "the extension is installed"
    NOTHING = "it stays as the last Blender left it"


def run(  # noqa: PLR0913 -- all but two have a good default
    scenario: Path,
    folder: Path,
    *,
    suite: str = "sid",
    size: tuple[int, int] = SIZE,
    limit_s: float = 120.0,
    simulate: bool = True,
    settings: Mapping[str, str] | None = None,
    installs: Installs = Installs.ENABLED,
) -> int:
    """Play a scenario of this repository and return Blender's exit code; what it writes into /job is in ``folder``.

    The extension is installed into the folder's user folder, which is empty at first, and built unless its zip lies in
    the folder. With ``simulate`` Blender takes events from `Window.event_simulate` and none from outside.
    ``settings`` are environment variables for the scenario.
    Ends with 124 where it is not done after ``limit_s``. Raises room.RoomError.
    """
    place = room.ready(room.SUITES[suite])
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / build.archive_name()
    if not archive.is_file():
        archive = build.build(folder)
    inside = f"{room.PROJECT}/{scenario.resolve().relative_to(environment.ROOT)}"
    screen = ["python3", f"{room.PROJECT}/scripts/window/screen.py", inside]
    screen += [] if installs is Installs.NOTHING else ["--archive", f"{room.JOB}/{archive.name}"]
    screen += ["--disabled"] if installs is Installs.DISABLED else []
    screen += ["--size", *map(str, size), "--limit", str(limit_s), *(["--simulate"] if simulate else [])]
    command = room.command_inside(place, environment.ROOT, folder, screen)
    path = {"PATH": f"{_INSIDE['PATH']}:{os.environ['PATH']}"}
    return subprocess.run(command, env={**_INSIDE, **path, **(settings or {})}, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", type=Path)
    parser.add_argument("--suite", choices=list(room.SUITES), default="sid", help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where the scenario leaves what it writes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="csm_refine_window_") as scratch:
        try:
            return run(options.scenario, options.folder or Path(scratch), suite=options.suite)
        except room.RoomError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
