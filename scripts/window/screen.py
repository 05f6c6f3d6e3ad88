"""Run in the room, by the Python there: an X server, the extension installed, Blender with a window, a clean end."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMED_OUT = 124
CRASH = Path(tempfile.gettempdir(), "blender.crash.txt")
"""Where Blender writes how it crashed."""
X_SERVER, BLENDER = "/usr/bin/Xvfb", "/usr/bin/blender"


@contextmanager
def x_server(size: tuple[int, int], log: Path) -> Iterator[str]:
    """Give the name of a display that nobody else has."""
    reader, writer = os.pipe()
    width, height = size
    screen = ["-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"]
    with log.open("wb") as said:
        server = subprocess.Popen(
            [X_SERVER, "-displayfd", str(writer), *screen], stdout=said, stderr=said, pass_fds=[writer]
        )
    os.close(writer)
    try:
        with os.fdopen(reader) as answer:
            yield f":{answer.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def install(archive: str, *, enable: bool) -> None:
    command = [BLENDER, "--command", "extension", "install-file", "--repo", "user_default"]
    subprocess.run([*command, *(["--enable"] if enable else []), archive], check=True, stdout=subprocess.DEVNULL)


def show(options: argparse.Namespace) -> int:
    """Blender's exit code; 9 where the scenario raised when it was read, 3 where it raised later."""
    place = ["--window-geometry", "0", "0", *map(str, options.size)]
    start = [BLENDER, "--gpu-backend", "opengl", "--python-exit-code", "9", *place]
    if options.simulate:
        start.append("--enable-event-simulate")
    try:
        code = subprocess.run([*start, "--python", options.scenario], timeout=options.limit, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"The scenario was not done within {options.limit:.0f} s.", file=sys.stderr, flush=True)
        return TIMED_OUT
    if CRASH.is_file():
        said = CRASH.read_text(encoding="utf-8", errors="replace")
        print(said[said.find("# backtrace") :], file=sys.stderr, flush=True)
    return code


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario")
    parser.add_argument("--archive", help="what is installed before; nothing: the user folder is as it is")
    parser.add_argument("--disabled", action="store_true", help="install, but leave enabling to the scenario")
    parser.add_argument("--size", type=int, nargs=2, required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--simulate", action="store_true")
    options = parser.parse_args()
    if options.archive:
        install(options.archive, enable=not options.disabled)
    with x_server(tuple(options.size), Path("/job/xvfb.log")) as display:
        os.environ["DISPLAY"] = display
        os.environ["STARTED_AT"] = str(time.time())
        return show(options)


if __name__ == "__main__":
    sys.exit(main())
