"""How far a refine is: over several processes, from inside of loops, and never backwards."""

from __future__ import annotations

import importlib

import bpy
import numpy as np
import pytest

from csm_refine_addon.remesh import surface
from csm_refine_addon.remesh.progress import Progress, Step, read_step, turns
from tests.support import raw_shapes

from .conftest import wait_for


class Seen:
    """Each percent that a service could have read, in turn."""

    def __init__(self, path) -> None:
        self.path = path
        self.percents: list[int] = []

    def __call__(self) -> int:
        self.percents.append(int(self.path.read_text()))
        return self.percents[-1]


@pytest.fixture
def seen(tmp_path):
    return Seen(tmp_path / "progress")


def test_a_single_process_is_the_whole_way(seen):
    """What counts from 0 to 100 is told as it is."""
    progress = Progress(seen.path)
    for percent in (5, 50, 98):
        progress.reached(percent)
        assert seen() == percent


def test_a_second_rung_goes_on_and_leaves_room_for_the_end(seen):
    """A rung takes a share of what is left, whatever the ones before it took; the end takes the rest."""
    for _rung in range(4):
        progress = Progress(seen.path, share=0.7, end=60)
        for percent in (10, 60, 100):
            progress.reached(percent)
            seen()
    assert seen.percents == sorted(seen.percents)
    assert seen.percents[2] == 42
    assert seen.percents[3] > 42
    assert seen.percents[-1] <= 60
    finishing = Progress(seen.path)
    finishing.reached(50)
    assert 78 <= seen() <= 80
    finishing.reached(100)
    assert seen() == 100


def test_it_never_goes_back(seen):
    """What is said late or twice changes nothing, also where a process starts beyond its end."""
    progress = Progress(seen.path)
    progress.reached(80)
    progress.reached(20)
    Progress(seen.path, share=0.7, end=60).reached(100)
    assert seen() == 80


def test_loops_tell_from_inside_how_far_they_are(seen):
    """Turns fill the part of the stage that is theirs, one after the other, and the block's end is its last percent."""
    progress = Progress(seen.path)
    with progress.stage(20, 60):
        for _ in turns(4, 0.0, 0.5):
            seen()
        for _ in turns(2, 0.5, 1.0):
            seen()
    assert seen.percents == [20, 25, 30, 35, 40, 50]
    assert seen() == 60


def test_a_stage_that_fails_is_over(seen):
    """After an error the turns of others are not told to the stage that failed."""
    progress = Progress(seen.path)
    with pytest.raises(ValueError, match="broken"), progress.stage(20, 60):
        raise ValueError("broken")
    assert list(turns(3)) == [0, 1, 2]
    assert seen() == 20


def test_turns_need_no_listener():
    """A stage that is tried alone counts its turns and tells nobody."""
    assert list(turns(3)) == [0, 1, 2]


class Noting(Progress):
    """Keeps what it was told."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self.told: list[float] = []

    def reached(self, percent: float) -> None:
        self.told.append(percent)
        super().reached(percent)


@pytest.mark.parametrize("method", ["tris_1_collapse", "quads_1_quadriflow", "quads_3_subdivided"])
def test_a_method_tells_how_far_it_is(tmp_path, method):
    """What takes long in a method is told turn by turn, forwards."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    points, triangles = raw_shapes.sphere(24, 32)
    progress = Noting(tmp_path / "progress")
    refine = importlib.import_module(f"csm_refine_addon.remesh.methods.{method}").refine
    with progress.stage(0, 100):
        refine(surface.of_triangles(points, np.asarray(triangles)), 200)
    assert progress.told == sorted(progress.told)
    assert len(set(progress.told)) > 6


def test_the_step_and_its_tries_are_in_the_session(start_service, tmp_path):
    """A session names what its refine is doing, and for the how many-th time; one that waits is queued."""
    lines = "echo quads 2 > ../step; sleep 1000 & wait"
    program = tmp_path / "python_stalled"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    service = start_service("--blender", str(program), "--workers", "1")
    first, second = service.create(), service.create()
    for code in (first, second):
        service.order(code, topology="quads")
    found = wait_for(lambda: (seen := service.session(first))["step"] and seen)
    assert (found["step"], service.session(second)["step"]) == ({"id": "quads", "try": 2}, {"id": "queued", "try": 1})


def test_each_process_notes_its_step(tmp_path):
    """A method that is tried second says so from its beginning, the end of a refine what it writes."""
    progress = Progress(tmp_path / "progress")
    progress.begin(Step.QUADS, 2)
    assert read_step(tmp_path) == ("quads", 2)
    progress.begin(Step.WRITING)
    assert read_step(tmp_path) == ("writing", 1)
    assert read_step(tmp_path / "nothing") is None
