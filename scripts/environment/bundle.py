"""The wheels that go into the extension: downloaded once, told by their hashes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

from .install import PINNED, REQUIREMENTS, SetupError, say

WHEELS = Path(__file__).resolve().parents[2] / "wheels"
PINS = REQUIREMENTS / "bundled.txt"
NO_PIP = (
    "No Python with pip was found to download the wheels of bottle and waitress with. "
    "Run python3 scripts/wheels.py with a Python that has pip."
)
# Without a network pip's defaults take more than a minute to say so.
_OPTIONS = ("-qq", "--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "10")


def bundled_wheels() -> list[Path]:
    """The wheels of requirements/bundled.txt in wheels/, downloaded with pip where they are not there yet.

    Raises SetupError when there is no pip, or pip fails, or wheels/ cannot be written.
    """
    wheels = complete_wheels()
    if not wheels:
        say("downloading the wheels that the extension brings along")
        _download(_pip())
        wheels = complete_wheels()
    return wheels


def complete_wheels() -> list[Path]:
    """Every pinned wheel in wheels/, or an empty list when one is missing."""
    pins = PINS.read_text(encoding="utf-8")
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", pins))
    wheels = [path for path in sorted(WHEELS.glob("*.whl")) if hashlib.sha256(path.read_bytes()).hexdigest() in hashes]
    return wheels if len(wheels) == len(re.findall(r"^\S+==", pins, flags=re.MULTILINE)) else []


def _download(pip: list[str]) -> None:
    """Have pip download into a folder beside, so that no process finds half a file in wheels/."""
    try:
        WHEELS.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WHEELS) as folder:
            command = [*pip, "download", *_OPTIONS, *PINNED, "--dest", folder, "-r", str(PINS)]
            if subprocess.call(command, stdout=sys.stderr.fileno()):
                raise SetupError("pip could not download the bundled wheels; the reason stands above.")
            for wheel in Path(folder).glob("*.whl"):
                os.replace(wheel, WHEELS / wheel.name)
    except OSError as error:
        raise SetupError(f"The wheels cannot be written to {WHEELS}: {error.strerror or error}.") from error


def _pip() -> list[str]:
    """The command of the first pip that works; pure Python wheels are the same for every Python."""
    for command in _pips():
        if subprocess.call([*command, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            return command
    raise SetupError(NO_PIP)


def _pips() -> Iterator[list[str]]:
    found = (shutil.which(name) for name in ("python3", "python"))
    for python in dict.fromkeys(path for path in (sys.executable, *found) if path):
        yield [python, "-I", "-m", "pip"]
    # Blender's own Python has pip only inside ensurepip, as a wheel, which runs as it is.
    spec = importlib.util.find_spec("ensurepip")
    for wheel in sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl")) if spec and spec.origin else ():
        yield [sys.executable, "-I", str(wheel / "pip")]
