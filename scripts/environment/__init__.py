"""An environment of its own for every script: made by the first run, found again by the next.

At the top of a script that needs Blender:

    sys.path.insert(0, dirname(abspath(__file__)))  # python -P leaves it out

    import environment

    environment.run_inside(__file__)
    import bpy

The script may be started with any Python from 3.8 on. `run_inside` returns only when the running Python is the
environment's; else it makes the environment, says what it does on stderr, and starts the script again in there with
the same arguments. Everything is installed with pinned versions and hashes under `.environments/` of the repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from . import pythons
from .bundle import bundled_wheels
from .install import Environment, SetupError, say

ROOT = Path(__file__).resolve().parents[2]
PYTHON_OF_BLENDER = {"4.2": "3.11", "4.5": "3.11", "5.2": "3.13"}
BLENDER_OF_PYTHON = {"3.13": "5.2", "3.11": "4.5"}
OLDEST_AND_NEWEST_BLENDER = ("4.2", "5.2")
HELP = {"-h", "--help"}

__all__ = [
    "BLENDER_OF_PYTHON",
    "HELP",
    "OLDEST_AND_NEWEST_BLENDER",
    "PYTHON_OF_BLENDER",
    "ROOT",
    "Environment",
    "SetupError",
    "blender",
    "bundled_wheels",
    "checks",
    "judge",
    "plain",
    "python_at_hand",
    "reliability",
    "run_inside",
    "say",
    "types",
]


def blender(version: str, tests: bool = False) -> Environment:
    """Blender as a Python module (`4.2`, `4.5` or `5.2`), on request with what the tests import."""
    layers = (f"blender-{version}.txt", *(["tests.txt"] if tests else []))
    return Environment(f"blender-{version}", PYTHON_OF_BLENDER[version], layers, imports_bpy=True)


def reliability(version: str) -> Environment:
    """The same environment as for the other tests, with what those of faults, crashes and hostile input import."""
    layers = (*blender(version, tests=True).layers, "reliability.txt")
    return blender(version)._replace(layers=layers)


def plain(python: str) -> Environment:
    """A CPython (`3.11` or `3.13`) with what the tests import, and no Blender."""
    return Environment(f"plain-{python}", python, ("tests.txt", "numpy.txt"))


def checks(python: str) -> Environment:
    """Linter and type checker."""
    return Environment(f"checks-{python}", python, ("checks.txt",))


def judge(python: str, tests: bool = False, more: bool = False) -> Environment:
    """What refined meshes are judged with, and no Blender; on request with the tests, or with tools to compare with."""
    layers = ("judge.txt", *(["tests.txt"] if tests else []), *(["judge-more.txt"] if more else []))
    return Environment(f"judge-{python}", python, layers)


def types(python: str, version: str) -> Environment:
    """Nothing but types, with those of this Blender; the stubs of two Blenders exclude each other."""
    return Environment(f"types-{version}-on-{python}", python, (f"fake-bpy-{version}.txt", "types.txt"))


def python_at_hand() -> str:
    """The version of the running Python if a Blender is made for it, else of one that this machine has.

    Raises SetupError when there is none.
    """
    running = pythons.version_of_running()
    if running in BLENDER_OF_PYTHON:
        return running
    for version in BLENDER_OF_PYTHON:
        if pythons.find(version):
            return version
    wanted = " or ".join(BLENDER_OF_PYTHON)
    raise SetupError(
        f"Blender needs Python {wanted}, and this is {running}. Install one of them, for example: pyenv install 3.13"
    )


def run_inside(script: str, environment: Environment | None = None) -> None:
    """Returns inside the environment (default: the Blender for the Python at hand); else starts the script there.

    Ends the process with the script's exit code, with 1 and a sentence when the environment cannot be made. ``--help``
    makes none: where it is not there yet, the script's docstring is printed.
    """
    if _is_inside(environment):
        return
    try:
        chosen = environment or blender(BLENDER_OF_PYTHON[python_at_hand()])
        if HELP & set(sys.argv[1:]) and not chosen.is_ready():
            print(sys.modules["__main__"].__doc__)
            sys.exit(0)
        python = chosen.ensure()
        if chosen.imports_bpy:
            bundled_wheels()
    except SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    _continue_as([str(python), "-P", script, *sys.argv[1:]])


def _is_inside(environment: Environment | None) -> bool:
    running = Path(sys.prefix).resolve()
    if environment is not None:
        return running == environment.folder.resolve()
    return running in [blender(version).folder.resolve() for version in PYTHON_OF_BLENDER]


def _continue_as(command: list[str]) -> NoReturn:
    if os.name == "posix":  # the same process goes on, so signals reach the script itself
        os.execv(command[0], command)  # noqa: S606 -- no shell is wanted
    sys.exit(subprocess.call(command))
