"""All tools on one mesh: each in a folder of its own, run, and judged."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.raw_meshes import RAW

from .judge import Judge
from .running import Outcome, run as run_commands
from .solids import Solid, read_polygons, read_solid
from .tools import TOOLS, Task, Tool


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one tool made of one mesh; ``measures`` is empty where it failed."""

    mesh: Path
    label: str
    """The mesh's name in pages and files."""
    triangles: int
    faces: int
    tool: str
    outcome: Outcome
    measures: dict[str, Any]
    folder: Path

    @property
    def title(self) -> str:
        return TOOLS[self.tool].title


def own_meshes(folder: Path) -> list[Path]:
    """Make the project's raw meshes."""
    folder.mkdir(parents=True, exist_ok=True)
    return [maker(folder) for maker in RAW.values()]


def labelled(meshes: Sequence[Path]) -> dict[str, Path]:
    """Return the meshes by a name of each one's own: the file's, and a number where another has that already."""
    found: dict[str, Path] = {}
    for mesh in meshes:
        names = (mesh.stem if number == 1 else f"{mesh.stem}_{number}" for number in count(1))
        found[next(name for name in names if name not in found)] = mesh
    return found


def run(label: str, mesh: Path, faces: list[int], tools: list[str], folder: Path, blender: Path) -> Iterator[Entry]:
    """Run the tools one after the other, so that they do not take each other's time."""
    source = read_solid(mesh)
    judge = Judge(source)
    corners = source.corners.reshape(-1, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)
    width, height, depth = (high - low).tolist()
    for wanted in faces:
        for name in tools:
            place = folder / label / f"{name}_{wanted}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            task = Task(mesh, wanted, place, (width, height, depth), blender, Path(sys.executable))
            outcome, measures = _one(judge, TOOLS[name], task, (low + high) / 2)
            print(f"  {wanted:>6} {name:<15} {outcome.seconds:6.1f} s  {outcome.failure}", file=sys.stderr, flush=True)
            yield Entry(mesh, label, len(source.corners), wanted, name, outcome, measures, place)


def placed(tool: Tool, result: Solid, centre: np.ndarray[Any, Any]) -> Solid:
    """Return the result where the source lies."""
    return dataclasses.replace(result, corners=result.corners + centre) if tool.is_centred else result


def _one(judge: Judge, tool: Tool, task: Task, centre: np.ndarray[Any, Any]) -> tuple[Outcome, dict[str, Any]]:
    outcome = run_commands(tool.steps(task), task.folder / "log.txt")
    if outcome.failure:
        return outcome, {}
    result = placed(tool, read_solid(task.folder / tool.result), centre)
    if not np.isfinite(result.corners).all():
        return outcome._replace(failure="vertices that are no numbers"), {}
    return outcome, judge.judge(result, read_polygons(task.folder / tool.polygons))
