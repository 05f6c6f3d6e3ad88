"""Which folders and files others could get at."""

from __future__ import annotations

import stat
from pathlib import Path


def not_private(folder: Path) -> list[str]:
    """Return the folders that have not mode 0700 and the files that have not 0600, ``folder`` included."""
    found = []
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600):
            found.append(f"{stat.filemode(mode)} {path}")
    return found
