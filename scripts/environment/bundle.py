"""The wheels that go into the extension: downloaded once, told by their hashes."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from .install import PINNED, PIP, REQUIREMENTS, SetupError, say

WHEELS = Path(__file__).resolve().parents[2] / "wheels"
PINS = REQUIREMENTS / "bundled.txt"


def bundled_wheels(python: Path) -> list[Path]:
    """The wheels of requirements/bundled.txt in wheels/, downloaded by this Python's pip where they are not there yet.

    Raises SetupError when pip fails.
    """
    wheels = _complete()
    if not wheels:
        say("downloading the wheels that the extension brings along")
        command = [str(python), *PIP, "download", *PINNED, "--dest", str(WHEELS), "-r", str(PINS)]
        if subprocess.call(command):
            raise SetupError("pip could not download the bundled wheels; the reason stands above.")
        wheels = _complete()
    return wheels


def _complete() -> list[Path]:
    """Every pinned wheel, or an empty list when one is missing."""
    pins = PINS.read_text(encoding="utf-8")
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", pins))
    wheels = [path for path in sorted(WHEELS.glob("*.whl")) if hashlib.sha256(path.read_bytes()).hexdigest() in hashes]
    return wheels if len(wheels) == len(re.findall(r"^\S+==", pins, flags=re.MULTILINE)) else []
