"""Shared libraries that Blender takes from the system, and the Debian packages that have them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE_OF_LIBRARY = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libXext.so.6": "libxext6",
    "libGL.so.1": "libgl1",
    "libXxf86vm.so.1": "libxxf86vm1",  # Blender 4.2
    "libgomp.so.1": "libgomp1",  # Blender 4.2
    "libEGL.so.1": "libegl1 libgl1-mesa-dri",
}
# The last line of a process that used bpy: a normal end may crash or hang (4.2, 4.5).
LEAVE = "import os; os._exit(0)"
# Without libEGL a render with Workbench or EEVEE ends the process (134) instead of raising; so it is asked for here.
TRY_EGL = "import ctypes; ctypes.CDLL('libEGL.so.1')"
FIND_BPY = "import importlib.util; print(importlib.util.find_spec('bpy').origin)"


def why_bpy_does_not_import(python: Path) -> str:
    """Empty when this Python imports bpy and finds all libraries; else a sentence with what to install."""
    attempt = "import bpy" + (f"; {TRY_EGL}" if sys.platform == "linux" else "")
    code, text = _run([str(python), "-I", "-c", f"{attempt}; {LEAVE}"])
    if code == 0:
        return ""
    missing = missing_in_ldd(_ldd_of_bpy(python)) + missing_in_import_error(text)
    if not missing:
        return f"`import bpy` failed (exit code {code}): {text.strip() or 'it said nothing'}"
    if "libEGL.so.1" not in missing and _run([str(python), "-I", "-c", TRY_EGL])[0]:
        missing.append("libEGL.so.1")
    return what_to_install(missing)


def missing_in_ldd(output: str) -> list[str]:
    return sorted(set(re.findall(r"^\s*(\S+) => not found", output, flags=re.MULTILINE)))


def missing_in_import_error(text: str) -> list[str]:
    return sorted(set(re.findall(r"(\S+): cannot open shared object file", text)))


def what_to_install(missing: list[str]) -> str:
    """The sentence for these libraries, with one `apt-get install` line for those whose package is known."""
    names = list(dict.fromkeys(missing))
    packages = [PACKAGE_OF_LIBRARY[name] for name in names if name in PACKAGE_OF_LIBRARY]
    sentence = f"shared libraries are missing on this machine: {', '.join(names)}."
    unknown = [name for name in names if name not in PACKAGE_OF_LIBRARY]
    if unknown:
        sentence += f" Look for the package that has {', '.join(unknown)}."
    if packages:
        sentence += f" On Debian or Ubuntu, as root:\n  apt-get install {' '.join(packages)}"
    return sentence


def _ldd_of_bpy(python: Path) -> str:
    ldd = shutil.which("ldd")
    code, origin = _run([str(python), "-I", "-c", FIND_BPY])
    return _run([ldd, origin.strip()])[1] if ldd and code == 0 else ""


def _run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")
