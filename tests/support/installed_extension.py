"""Run by a Python that can import bpy, with an empty user folder: installs the built zip and tries it.

    installed_extension.py lifecycle ARCHIVE           enable, disable, enable, disable, and what was left in between
    installed_extension.py refine ARCHIVE MESH FOLDER  one headless refine with the local service, then disable

Says what it saw as one JSON object, the last line of stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support import left_behind
from tests.support.left_behind import differences, snapshot

REPOSITORY = "user_default"
EXTENSION = f"bl_ext.{REPOSITORY}.csm_refine"
GONE_AFTER_S = 30.0  # the local service stays a while for the next command
SIZE = (0.8, 1.7, 0.5)


def lifecycle(archive: str) -> dict[str, object]:
    install(archive, enable=False)
    fresh, modules = snapshot(), set(sys.modules)
    seconds = enable()
    new_modules = {name.partition(".")[0] for name in set(sys.modules) - modules}
    first, functions = snapshot(), left_behind.functions_of(EXTENSION)
    disable()
    between, timers = snapshot(), left_behind.timers_of(functions)
    enable()
    second, functions = snapshot(), left_behind.functions_of(EXTENSION)
    disable()
    return {
        "seconds_to_enable": seconds,
        "new_modules": sorted(new_modules),
        "added": differences(fresh, first),
        "left_in_between": differences(fresh, between),
        "timers_in_between": timers,
        "second_time_differs": differences(first, second),
        "left_at_the_end": differences(fresh, snapshot()),
        "timers_at_the_end": left_behind.timers_of(functions),
    }


def refine(archive: str, mesh: str, folder: str) -> dict[str, object]:
    """A new session out of a mesh, refined into a turned and moved box, by the installed extension's command line."""
    fresh = snapshot()
    install(archive, enable=True)
    name = add_box()
    output = str(Path(folder, "refined.blend"))
    created = command("create", mesh, "--service", "local")
    refined = command(
        *("refine", created["answer"]["session"], "--service", "local"), *("--object", name), *("--output", output)
    )
    functions = left_behind.functions_of(EXTENSION)
    disable()
    return {
        "created": created,
        "refined": refined,
        "placed": described(refined["answer"].get("object")),
        "source": described(name),
        "left": differences(fresh, left_behind.without_children(GONE_AFTER_S)),
        "timers_left": left_behind.timers_of(functions),
    }


def install(archive: str, enable: bool) -> None:
    bpy.ops.extensions.package_install_files(filepath=archive, repo=REPOSITORY, enable_on_install=enable)


def enable() -> float:
    started = time.perf_counter()
    bpy.ops.preferences.addon_enable(module=EXTENSION)
    return time.perf_counter() - started


def disable() -> None:
    bpy.ops.preferences.addon_disable(module=EXTENSION)


def add_box() -> str:
    bpy.ops.mesh.primitive_cube_add(size=1, location=(3.0, -2.0, 1.5), rotation=(0.3, 0.5, 1.1))
    box = bpy.context.object
    box.scale = SIZE
    bpy.context.view_layer.update()
    return str(box.name)


def command(*arguments: str) -> dict[str, object]:
    """Exit code and JSON answer of the extension's command line, run in this process; its progress goes to stderr."""
    import contextlib
    import importlib
    import io

    cli = importlib.import_module(f"{EXTENSION}.csm_refine_addon.cli")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = cli.main([*arguments, "--json"])
    return {"code": code, "answer": json.loads(said.getvalue().strip().splitlines()[-1])}


def described(name: str | None) -> dict[str, object] | None:
    found = bpy.data.objects.get(name or "")
    if found is None:
        return None
    bpy.context.view_layer.update()
    location, rotation, _ = found.matrix_world.decompose()
    return {
        "location": list(location),
        "rotation": list(rotation.to_matrix().to_euler()),
        "dimensions": list(found.dimensions),
        "polygons": len(found.data.polygons),
    }


if __name__ == "__main__":
    seen = {"lifecycle": lifecycle, "refine": refine}[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(seen), flush=True)
    os._exit(0)
