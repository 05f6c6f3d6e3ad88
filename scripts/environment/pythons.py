"""Where on this machine is a Python of a given version that can make an environment?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

# A shim of pyenv answers with an error when its version is not chosen, Debian's python3 comes without ensurepip, and
# an environment's Python names the one it was made from.
PROBE = (
    "import sys, venv, ensurepip; "
    "print('%d.%d' % sys.version_info[:2], getattr(sys, '_base_executable', sys.executable))"
)


def version_of_running() -> str:
    return "{}.{}".format(*sys.version_info[:2])


def find(version: str) -> str | None:
    """The path of a Python of this version (`3.13`) with venv and ensurepip, or None."""
    for candidate in _candidates(version):
        answer = _probe(candidate)
        if answer and answer[0] == version:
            return answer[1]
    return None


def _candidates(version: str) -> Iterator[str]:
    if version_of_running() == version:
        yield sys.executable
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    for root in _pyenv_roots():
        for prefix in sorted(root.glob(f"versions/{version}.*"), key=_patch_number, reverse=True):
            yield str(prefix / "bin" / "python")
    if os.name == "nt":
        yield from _listed_by_py_launcher(version)


def _pyenv_roots() -> Iterator[Path]:
    if os.environ.get("PYENV_ROOT"):
        yield Path(os.environ["PYENV_ROOT"])
    yield Path.home() / ".pyenv"


def _patch_number(prefix: Path) -> int:
    patch = prefix.name.rpartition(".")[2]
    return int(patch) if patch.isdigit() else -1


def _listed_by_py_launcher(version: str) -> Iterator[str]:
    if shutil.which("py"):
        answer = _output(["py", f"-{version}", "-I", "-c", "import sys; print(sys.executable)"])
        if answer:
            yield answer


def _probe(python: str) -> tuple[str, str] | None:
    version, _, path = _output([python, "-I", "-c", PROBE]).partition(" ")
    return (version, path) if path else None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
