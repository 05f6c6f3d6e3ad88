"""Samples: each is a process of its own, with an empty user folder, that says what it measured as one line of JSON."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

SCRIPTS = Path(__file__).resolve().parents[1]
DEADLINE_S = 900.0


class Figure(NamedTuple):
    """One line of the table. `goal` is empty and `met` None where nothing was promised."""

    what: str
    value: str
    how: str
    goal: str = ""
    met: bool | None = None


class SampleFailed(Exception):
    """A measuring process failed; the text is the end of what it said."""


class Bench(NamedTuple):
    """What every measurement gets: a folder on a real disk (the journal is synced there), and the built extension."""

    folder: Path
    archive: Path

    @property
    def work(self) -> Path:
        """The folder of the next sample; emptied before each."""
        return self.folder / "work"

    def sample(
        self, measurement: str, *arguments: str, settings: Mapping[str, str] | None = None, afresh: bool = True
    ) -> dict[str, Any]:
        """Run a file of this package as a program and return what it measured; without `afresh` in the last folder.

        Raises SampleFailed.
        """
        work = self.work
        if afresh:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-P", measurement, *arguments],
            env=_environment(work, settings or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        if done.returncode:
            raise SampleFailed(f"exit code {done.returncode}: {done.stdout[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found


def _environment(work: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """No key, no settings of the user's, Python as it is: it keeps what it compiled."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CSM_", "PYTHON"))}
    folders = {"BLENDER_USER_RESOURCES": str(work / "user"), "CSM_REFINE_HOME": str(work / "home")}
    return {**kept, **folders, "PYTHONPATH": str(SCRIPTS), **settings}


def answer(found: Mapping[str, Any]) -> NoReturn:
    """Say what was measured and end the process at once, as one that used bpy has to."""
    print(json.dumps(found), flush=True)
    sys.stderr.flush()
    os._exit(0)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:,.0f} ms"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
