"""The repository as the tests see it."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "csm_refine_addon"


def files() -> list[Path]:
    """Every file that is, or with the next commit may become, part of the repository; relative to its root."""
    # The one who runs the tests need not be the one who owns the clone.
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [Path(name) for name in names if name and (ROOT / name).is_file()]
