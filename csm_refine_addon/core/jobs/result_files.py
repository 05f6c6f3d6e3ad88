"""Other formats of a local result, linked next to the downloaded file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from .. import private_files
from ..data_dir import DataDir
from ..models import Secret

_RESULT = re.compile(r"/(SESSION_\d{1,20}_\d{1,20})/([a-z0-9]{1,32})/mesh\.[a-z]{1,8}", re.ASCII)
"""The URL path of a result of the local service; it equals the file's path in the sessions folder."""


def add_other_formats(url: Secret, data_dir: DataDir, mesh: Path) -> None:
    """Link the local service's other files of the result at ``url`` into the folder of ``mesh``, or copy them.

    Nothing is transferred: the service's folder is in the same data directory. Missing files are skipped.
    """
    found = _RESULT.fullmatch(urlsplit(url.reveal()).path)
    if not found:
        return
    for source in data_dir.service.joinpath("sessions", *found.groups()).glob("mesh.*"):
        target = mesh.with_name(source.name)
        if target == mesh or target.suffix == ".part":
            continue
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
            try:
                os.link(source, target)
            except OSError:  # a file system without hard links
                private_files.touch(target)
                shutil.copyfile(source, target)
