"""The built zip, installed into the empty user folder of this Blender."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import sample_meshes

ENABLE_LIMIT_S = 1.0  # far above the 30 ms that scripts/bench.py measures; a slow machine is no fault
GONE_AFTER_S = 5.0  # for what is no child of that Blender any more


@pytest.fixture
def lifecycle(in_new_blender, archive):
    return in_new_blender("lifecycle", archive)


def test_enable_disable_enable(lifecycle):
    """Disabling takes back every handler, timer, property, class, operator, menu entry, key, thread and process."""
    assert lifecycle["left_in_between"] == {}
    assert lifecycle["timers_in_between"] == []
    assert lifecycle["second_time_differs"] == {}
    assert lifecycle["left_at_the_end"] == {}
    assert lifecycle["timers_at_the_end"] == []
    # The comparison is worth something only if it saw what was enabled.
    assert "+ Scene.csm_refine" in lifecycle["added"]["properties"]
    assert "+ csm_refine.refine" in lifecycle["added"]["operators"]
    # Blender does not wait for the network's libraries when it starts.
    assert not {"requests", "urllib3", "bottle", "waitress"} & set(lifecycle["new_modules"])
    assert lifecycle["seconds_to_enable"] < ENABLE_LIMIT_S


def test_headless_refine(in_new_blender, archive, tmp_path):
    """The installed extension refines with its own local service, places the mesh in the box, and leaves no process."""
    mesh = tmp_path / "mesh.glb"
    mesh.write_bytes(sample_meshes.glb())
    seen = in_new_blender("refine", archive, mesh, tmp_path)
    assert (seen["created"]["code"], seen["refined"]["code"]) == (0, 0), seen
    assert seen["refined"]["answer"]["fit_error"] < 1e-5
    for what in ("location", "rotation", "dimensions"):
        assert seen["placed"][what] == pytest.approx(seen["source"][what], abs=1e-5)
    assert seen["placed"]["polygons"] > 0
    assert (tmp_path / "refined.blend").stat().st_size > 0
    assert seen["left"] == {}
    assert seen["timers_left"] == []
    assert processes_about(tmp_path, GONE_AFTER_S) == []


def processes_about(folder: Path, deadline_s: float) -> list[str]:
    """The processes that were started with this folder in their environment or arguments and do not end in time."""
    ends = time.monotonic() + deadline_s
    while (found := _processes_now(str(folder).encode())) and time.monotonic() < ends:
        time.sleep(0.2)  # another process's end cannot be waited for
    return found


def _processes_now(text: bytes) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
            if arguments and text in arguments + (process / "environ").read_bytes():
                found.append(arguments.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it ended in between, or is not ours
            continue
    return found
