"""The room in which a real Blender has a window: a folder with Debian's Blender, an X server and OpenGL in software.

Made by mmdebstrap, as root on Debian, from the mirror that apt is set up with; about a minute and 1.3 GB. It is kept
outside the repository, and once more as a tar, so that a machine that keeps only the tar has it again in seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class RoomError(Exception):
    """The room cannot be made here; the text says why and what to do."""


class Suite(NamedTuple):
    """A release of Debian, and what of it the room holds. Debian's Blender bundles no Python modules."""

    name: str
    blender: str
    packages: tuple[str, ...]

    @property
    def recipe(self) -> str:
        """Changes when the packages do, so that an old room is not taken for a new one."""
        return f"blender-{self.name}-{hashlib.sha256(' '.join(self.packages).encode()).hexdigest()[:8]}"


_PYTHON_MODULES = ("python3-requests", "python3-numpy", "python3-zstandard")
_SCREEN = ("xvfb", "libgl1-mesa-dri", "libegl1", "imagemagick")
SUITES = {
    "sid": Suite("sid", "5.2", ("blender", *_PYTHON_MODULES, "python3-cattr", *_SCREEN)),  # cattr: 5.2's extensions
    "trixie": Suite("trixie", "4.3", ("blender", *_PYTHON_MODULES, *_SCREEN)),
}
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "csm_refine"
PROJECT, JOB = "/project", "/job"
"""Where the room shows the repository, read-only, and the folder that a run works in."""

_BOOTSTRAP = (
    "--quiet",
    "--variant=apt",
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=Acquire::Check-Valid-Until "false"',  # a mirror may stand still
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
)
# What is mounted here is gone with the last process of the namespace: nothing is left behind on the machine.
_ENTER = """
mount --bind -o ro "$2" "$1$4" && mount --bind "$3" "$1$5" && mount -t tmpfs -o size=4g tmpfs "$1/tmp" || exit 125
room=$1
shift 5
exec chroot "$room" "$@"
"""


def ready(suite: Suite) -> Path:
    """Return the room's folder; made, or unpacked from its tar, if it is not there. Raises RoomError."""
    _require_root()
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / f"{suite.recipe}.lock"):
        folder = CACHE / suite.recipe
        if not folder.is_dir():
            part = CACHE / f"{suite.recipe}.part"
            shutil.rmtree(part, ignore_errors=True)
            _fill(suite, part)
            part.rename(folder)
    return folder


def command_inside(room: Path, project: Path, job: Path, command: list[str]) -> list[str]:
    """Return the command that runs another one in the room, in namespaces of its own.

    Every process in there ends with the first one, and that one with ours. Loopback is the machine's own.
    """
    namespaces = ["--mount", "--propagation", "private", "--pid", "--ipc", "--kill-child"]
    enter = ["sh", "-c", _ENTER, "sh", str(room), str(project), str(job), PROJECT, JOB]
    return ["unshare", *namespaces, f"--mount-proc={room}/proc", *enter, *command]


def _fill(suite: Suite, folder: Path) -> None:
    tar = CACHE / f"{suite.recipe}.tar.zst"
    folder.mkdir()
    if tar.is_file():
        _say(f"unpacking {tar.name}")
        _run(["tar", "--zstd", "-xf", str(tar), "-C", str(folder)], "The tar cannot be unpacked")
        return
    _say(f"making a room with Blender {suite.blender} out of Debian {suite.name}")
    packages = f"--include={','.join(suite.packages)}"
    _run(["mmdebstrap", *_BOOTSTRAP, packages, suite.name, str(folder), _mirror()], "mmdebstrap failed")
    for mount in (PROJECT, JOB):
        (folder / mount.lstrip("/")).mkdir()
    part = tar.with_suffix(".part")
    _run(["tar", "--zstd", "-cf", str(part), "-C", str(folder), "."], "The room cannot be packed")
    part.rename(tar)


def _require_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise RoomError("A Blender with a window is set up as root on Debian only. Run this there, as root.")
    tools = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "zstd": "zstd"}
    missing = [package for tool, package in tools.items() if not shutil.which(tool)]
    if missing:
        raise RoomError(f"Programs are missing on this machine:\n  apt-get install {' '.join(missing)}")


def _mirror() -> str:
    """Return the mirror of Debian that apt is set up with."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        said = ""
    sites = [line for line in said.split() if line.rstrip("/").endswith("/debian")]
    if not sites:
        raise RoomError("apt names no mirror of Debian here. Run this on Debian, with its mirror in apt's sources.")
    return sites[0]


def _run(command: list[str], failure: str) -> None:
    code = subprocess.run(command, stdout=sys.stderr.fileno(), check=False).returncode
    if code:
        raise RoomError(f"{failure} (exit code {code}); the reason stands above.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; the system takes it back when its holder dies."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
