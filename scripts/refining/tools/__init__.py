"""What is compared: each tool a list of steps, each step a program of its own. A tool is added by an entry in TOOLS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LADDER = """\
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("csm_refine_addon.remesh", run_name="__main__", alter_sys=True)
"""
TEXTURE = 1024


class Task(NamedTuple):
    """One mesh to be brought to so many faces, in a folder of its own; ``size`` is that of its box, API axes."""

    mesh: Path
    faces: int
    folder: Path
    size: tuple[float, float, float]
    blender: Path
    """A Python with bpy."""
    python: Path
    """A Python with the tools of the optional group."""


class Tool(NamedTuple):
    """A tool's name in the table, how its steps are started, and what it leaves."""

    title: str
    steps: Callable[[Task], list[list[str]]]
    result: str = "result.glb"
    polygons: str = "result.obj"
    is_centred: bool = False
    """Whether the result's origin is the middle of its box; else it lies where the source does."""
    is_optional: bool = False


def _ours(topology: str) -> Callable[[Task], list[list[str]]]:
    def steps(task: Task) -> list[list[str]]:
        (task.folder / "scratch").mkdir()
        order: dict[str, Any] = {
            "code": "SESSION_1700000000_0000001",
            "mesh": str(task.mesh),
            "scaled_bbox": task.size,
            "pivot_point": (0.0, 0.0, 0.0),
            "settings": {"topology": topology, "faces": task.faces, "texture_resolution": TEXTURE},
        }
        (task.folder / "order.json").write_text(json.dumps(order), "utf-8")
        return [[str(task.blender), "-P", "-c", LADDER, str(ROOT), str(task.folder)]]

    return steps


def _in_blender(task: Task, method: str, mesh: str | Path, *more: str) -> list[str]:
    numbers = ["--faces", str(task.faces), "--texture", str(TEXTURE)]
    script = str(HERE / "in_blender.py")
    return [str(task.blender), "-P", script, method, str(mesh), str(task.mesh), str(task.folder), *numbers, *more]


def _in_python(task: Task, method: str, mesh: str | Path) -> list[str]:
    output = str(task.folder / f"{method}.obj")
    return [str(task.python), "-P", str(HERE / "in_python.py"), method, str(mesh), output, str(task.faces)]


def _blenders(method: str) -> Callable[[Task], list[list[str]]]:
    return lambda task: [_in_blender(task, method, task.mesh)]


def _others(method: str) -> Callable[[Task], list[list[str]]]:
    """Its mesh gets its texture from Blender, in the same way as Blender's own."""
    return lambda task: [
        _in_python(task, method, task.mesh),
        _in_blender(task, "as_it_is", task.folder / f"{method}.obj"),
    ]


def _unwrapped_by_xatlas(task: Task) -> list[list[str]]:
    return [
        _in_blender(task, "collapse", task.mesh, "--bare"),
        _in_python(task, "xatlas", task.folder / "result.obj"),
        _in_blender(task, "as_it_is", task.folder / "xatlas.obj", "--keep-uvs"),
    ]


TOOLS = {
    "tris": Tool("ours, `tris`", _ours("tris"), "mesh.glb", "mesh.obj", is_centred=True),
    "quads": Tool("ours, `quads`", _ours("quads"), "mesh.glb", "mesh.obj", is_centred=True),
    "collapse": Tool("Blender: collapse", _blenders("collapse")),
    "collapse-quads": Tool("Blender: collapse, tris to quads", _blenders("collapse_quads")),
    "quadriflow": Tool("Blender: voxel remesh, QuadriFlow", _blenders("quadriflow")),
    "instant-meshes": Tool("Instant Meshes", _others("instant_meshes"), is_optional=True),
    "pymeshlab": Tool("pymeshlab: collapse", _others("pymeshlab"), is_optional=True),
    "xatlas": Tool("Blender: collapse; xatlas", _unwrapped_by_xatlas, is_optional=True),
}
