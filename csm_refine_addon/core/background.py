"""Command lines that start a background Blender, or a Python that has ``bpy``, on one of our modules."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import PrepareFailed

BLENDER_VARIABLE = "CSM_REFINE_BLENDER"
PACKAGE = "csm_refine_addon"
PACKAGE_PARENT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class BackgroundBlender:
    """What runs Blender without a window: a Blender program, or a Python that can import ``bpy``."""

    program: str
    is_blender: bool

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return the argv that calls ``main(arguments) -> int`` of ``csm_refine_addon.<module>`` inside Blender.

        A Blender runs with factory settings, offline. Both forms exit with what ``main`` returns.
        """
        code = (
            f"import sys; sys.path.insert(0, {str(PACKAGE_PARENT)!r}); import os; "
            f"from {PACKAGE}.{module} import main; rc = main(sys.argv[sys.argv.index('--') + 1:]); "
            "sys.stdout.flush(); sys.stderr.flush(); os._exit(rc)"
        )
        if self.is_blender:
            start = [self.program, "--background", "--factory-startup", "--offline-mode", "--python-exit-code", "9"]
            return [*start, "--python-expr", code, "--", *arguments]
        return [self.program, "-c", code, "--", *arguments]


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
    if importlib.util.find_spec("bpy") is not None:
        return BackgroundBlender(sys.executable, is_blender=False)
    found = shutil.which("blender")
    if found:
        return BackgroundBlender(found, is_blender=True)
    raise PrepareFailed(
        "No Blender was found to work with in the background.",
        f"Put blender on the PATH, or set {BLENDER_VARIABLE} to the Blender program.",
    )
