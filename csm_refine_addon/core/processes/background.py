"""Start our modules as processes: in a background Blender, in a Python that has ``bpy``, or in a plain one.

Such a process imports nothing from the current folder of ours or from its own, and what it is to do reaches it as JSON:
in a file, or as the first line on stdin. No argument holds a name, a path of the user's, or an address.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .. import disk_errors, import_paths, private_files
from ..errors import PrepareFailed
from . import libraries

Wait = Callable[[float], bool]
"""Waits at most so many seconds; True: stop, the process ends or the user follows no longer."""
KEY_VARIABLE = "CSM_API_KEY"


class Cancelled(Exception):
    """What was under way has been given up: the user follows no longer, or the process ends."""


BLENDER_VARIABLE = "CSM_REFINE_BLENDER"
PACKAGE = "csm_refine_addon"
PACKAGE_PARENT = Path(__file__).resolve().parents[3]
SCRATCH = "scratch"
REQUEST = "request.json"
_INHERITED = re.compile(
    r"PATH|HOME|LANG|LANGUAGE|LC_\w+|TZ|CSM_REFINE_LIMITS|BLENDER_SYSTEM_\w+|PYTHONHOME"
    r"|(?:LD|DYLD)_(?:LIBRARY|FRAMEWORK)_PATH|OMP_NUM_THREADS"
    r"|SYSTEM(?:ROOT|DRIVE)|WINDIR|COMSPEC|PATHEXT|USERPROFILE|(?:LOCAL)?APPDATA|PROGRAM(?:DATA|FILES)"
    r"|NUMBER_OF_PROCESSORS|PROCESSOR_ARCHITECTURE",
    re.IGNORECASE,
)
"""What programs need in order to run; the last two lines are Windows'. Anything else may hold a password."""


@dataclass(frozen=True, slots=True)
class BackgroundBlender:
    """What runs Blender without a window: a Blender program, or a Python that can import ``bpy``."""

    program: str
    is_blender: bool

    def command(self, module: str, request: Path) -> list[str]:
        """Return the argv that calls ``main(request) -> int`` of ``csm_refine_addon.<module>`` inside Blender.

        ``request`` is a file with the JSON object that ``main`` gets. A Blender runs with factory settings, offline.
        Both forms exit with what ``main`` returns, and end when the other end of their stdin is closed, where that is
        a pipe: see :mod:`.process_limits`.
        """
        folders = [] if self.is_blender else _folder_of_bpy(self.program)
        code = (
            f"import sys; sys.path.insert(0, {str(PACKAGE_PARENT)!r}); sys.path += {folders!r}; "
            f"from {PACKAGE}.core import import_paths; import_paths.leave_current_folder_out(); "
            f"from {PACKAGE}.core.processes import process_limits; process_limits.enter({PACKAGE!r}, {module!r})"
        )
        if self.is_blender:
            start = [self.program, "--background", "--factory-startup", "--offline-mode", "--disable-autoexec"]
            return [*start, "--python-exit-code", "9", "--python-expr", code, "--", str(request)]
        return [self.program, "-P", "-c", code, "--", str(request)]

    def start(
        self, module: str, request: Mapping[str, object], scratch: Path, output: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a module in the folder ``scratch``, which is there, and whose files it may use as it likes.

        Its stdin stays open: nothing is written to it, and its end tells the child that we are gone. Raises OSError.
        """
        file = scratch.absolute() / REQUEST
        private_files.write_text(file, json.dumps(request))
        return subprocess.Popen(
            self.command(module, file),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env=confined_environment(scratch),
            umask=private_files.OWN_UMASK,
            **detached(),
        )

    def run(self, module: str, request: Mapping[str, object], *, log: Path, pause: Wait, limit_s: float) -> int:
        """Run a module to its end and return its exit code.

        Its output goes to ``log``; it works in a folder ``scratch`` beside that, which is gone afterwards. Raises
        Stopped where ``pause`` says stop, PrepareFailed where it cannot be started or is not done within ``limit_s``
        seconds, OSError where the disk takes no files; it never outlives this call.
        """
        scratch = log.absolute().with_name(SCRATCH)
        try:
            return _wait(self._started(module, request, log, scratch), pause, limit_s)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _started(self, module: str, request: Mapping[str, object], log: Path, scratch: Path) -> subprocess.Popen[bytes]:
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            private_files.make_folder(scratch)
            with open(log, "wb", opener=private_files.opener) as output:
                return self.start(module, request, scratch, output)
        except OSError as error:
            if error.errno in disk_errors.OF_DISK:
                raise
            raise PrepareFailed(
                f"The background Blender {self.program} cannot be started: {error.strerror or error}.",
                f"Set {BLENDER_VARIABLE} to the Blender program.",
            ) from error


def _wait(process: subprocess.Popen[bytes], pause: Wait, limit_s: float) -> int:
    ends_at = time.monotonic() + limit_s
    try:
        while (code := process.poll()) is None:
            if time.monotonic() > ends_at:
                raise PrepareFailed(
                    f"The background Blender was not done within {limit_s / 60:.0f} min.", "Retry, or import it here."
                )
            if pause(0.05):
                raise Cancelled
        return code
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()


def confined_environment(scratch: Path) -> dict[str, str]:
    """Return the environment for a Blender that works on foreign meshes: what it needs to run, nothing else of ours.

    What it writes on its own account goes to ``scratch``, where there are neither add-ons nor settings of the user's.
    """
    kept = {name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)}
    folders = ("BLENDER_USER_RESOURCES", "TMPDIR", "TEMP", "TMP")
    return {**kept, **dict.fromkeys(folders, str(scratch))}


def clean_environment() -> dict[str, str]:
    """Return the environment for a child of ours that asks services: without the key."""
    return {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}


def python_command(python: str, module: str) -> list[str]:
    """Return the argv that runs ``csm_refine_addon.<module>`` in a plain Python; see :func:`request_line`."""
    return [python, "-P", "-m", f"{PACKAGE}.{module}"]


def request_line(request: Mapping[str, object]) -> bytes:
    """Return what a module in a plain Python is to do, as the first line that it reads from stdin."""
    return json.dumps(request).encode() + b"\n"


def module_environment() -> dict[str, str]:
    """Return the environment in which a plain Python finds this package and the libraries that we use."""
    folders = [str(PACKAGE_PARENT), *libraries.folders(), *_given_folders()]
    return {**clean_environment(), "PYTHONPATH": os.pathsep.join(folders)}


def _given_folders() -> list[str]:
    """Return what ``PYTHONPATH`` adds to our own path, which may be where ``bpy`` and ``requests`` are."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    ours = import_paths.without_current_folder()
    return [path for path in given if os.path.isabs(path) and path in ours]


def _folder_of_bpy(program: str) -> list[str]:
    """Return where our own Python has ``bpy`` from, for a child that does not get our ``PYTHONPATH``."""
    folder = import_paths.folder_of("bpy") if program == sys.executable else ""
    return [folder] if folder else []


def detached() -> dict[str, Any]:
    """Return the Popen arguments of a process that a Ctrl-C in our terminal does not reach, without a window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def find_background_blender(binary_path: str = "") -> BackgroundBlender:
    """Return the Blender to prepare and refine with.

    ``binary_path`` is ``bpy.app.binary_path`` of the Blender that asks, where there is one. Else
    ``CSM_REFINE_BLENDER``, else this Python where it has ``bpy``, else ``blender`` on the PATH.
    Raises PrepareFailed where none is to be had.
    """
    program = binary_path or os.environ.get(BLENDER_VARIABLE, "")
    if program:
        is_python = Path(program).stem.lower().startswith("python")
        return BackgroundBlender(program, is_blender=not is_python)
    if "bpy" in sys.modules or import_paths.folder_of("bpy"):
        return BackgroundBlender(sys.executable, is_blender=False)
    found = shutil.which("blender")
    if found and os.path.isabs(found):  # else it lies in the current folder, where Windows looks first
        return BackgroundBlender(found, is_blender=True)
    raise PrepareFailed(
        "No Blender was found to work with in the background.",
        f"Put blender on the PATH, or set {BLENDER_VARIABLE} to the Blender program.",
    )
