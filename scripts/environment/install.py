"""Making an environment: a venv, layers of pinned packages, and a stamp that is written when a layer is complete.

The stamp is taken away before anything is changed. An environment without one was interrupted, and is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

from . import libraries, pythons

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".environments"
PIP = ("-I", "-m", "pip", "-qq", "--disable-pip-version-check")
PINNED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")


class SetupError(Exception):
    """The environment cannot be made; the text says why and what to do."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Environment(NamedTuple):
    """A venv with layers of packages, each a file in requirements/."""

    name: str
    python: str
    layers: tuple[str, ...]
    imports_bpy: bool = False
    root: Path = ENVIRONMENTS

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def executable(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def ensure(self) -> Path:
        """The environment's Python. Makes or completes the environment first, once, however many ask for it.

        Raises SetupError: no such Python, pip failed, a shared library is missing.
        """
        if not self.is_ready():
            self.root.mkdir(parents=True, exist_ok=True)
            with _locked(self.root / f"{self.name}.lock", self.name):
                if not self.is_ready():
                    self._set_up()
        return self.executable

    def is_ready(self) -> bool:
        return self.executable.exists() and self._wanted().items() <= self._stamp().items()

    def _wanted(self) -> dict[str, str]:
        wanted = {layer: _hash(REQUIREMENTS / layer) for layer in self.layers}
        return {**wanted, "bpy": "imported"} if self.imports_bpy else wanted

    def _set_up(self) -> None:
        started = time.monotonic()
        stamp = self._usable_stamp()
        if not stamp:
            self._make_venv()
        for layer in self.layers:
            wanted = _hash(REQUIREMENTS / layer)
            if stamp.get(layer) != wanted:
                self._install(layer)
                stamp[layer] = wanted
                self._write_stamp(stamp)
        if self.imports_bpy:
            self._check_bpy()
            self._write_stamp({**stamp, "bpy": "imported"})
        say(f"{self.name}: ready after {time.monotonic() - started:.0f} s")

    def _usable_stamp(self) -> dict[str, str]:
        """Empty when the environment is to be made anew: interrupted, its Python gone, or its first layer changed."""
        first = self.layers[0]
        stamp = self._stamp() if self.executable.exists() else {}
        return stamp if stamp.get(first) == self._wanted()[first] else {}

    def _make_venv(self) -> None:
        base = pythons.find(self.python)
        if base is None:
            raise SetupError(
                f"{self.name} needs Python {self.python} with venv and ensurepip, "
                f"and none was found on PATH or in pyenv. Install it, for example: pyenv install {self.python}"
            )
        say(f"{self.name}: making the environment with Python {self.python}")
        self._stamp_file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        _run([base, "-I", "-m", "venv", str(self.folder)], f"The environment {self.name} could not be made")

    def _install(self, layer: str) -> None:
        say(f"{self.name}: installing {layer}")
        self._stamp_file.unlink(missing_ok=True)
        command = [str(self.executable), *PIP, "install", *PINNED, "-r", str(REQUIREMENTS / layer)]
        _run(command, f"pip could not install {layer}")

    def _check_bpy(self) -> None:
        problem = libraries.why_bpy_does_not_import(self.executable)
        if problem:
            raise SetupError(f"{self.name}: {problem}")

    @property
    def _stamp_file(self) -> Path:
        return self.folder / "complete.json"

    def _stamp(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._stamp_file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _write_stamp(self, stamp: dict[str, str]) -> None:
        part = self._stamp_file.with_suffix(".part")
        part.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        os.replace(part, self._stamp_file)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, stdout=sys.stderr.fileno(), check=False, close_fds=False)  # the lock goes along
    if done.returncode:
        raise SetupError(f"{failure} (exit code {done.returncode}); the reason stands above.")


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Held by one process at a time, and by the pip it started should that outlive it; a death gives it back."""
    with path.open("a") as handle:
        os.set_inheritable(handle.fileno(), True)
        if not _try_lock(handle.fileno()):
            say(f"{name}: waiting for another set-up of it")
            while not _try_lock(handle.fileno()):
                time.sleep(0.2)
        yield


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
