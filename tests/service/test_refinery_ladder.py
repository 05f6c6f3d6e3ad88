"""The ladder: real processes on hard meshes, and what is taken when rungs fail."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bpy
import numpy as np
import pytest
import trimesh

from csm_refine_addon.core.mesh_files import MeshKind
from csm_refine_addon.service.losses import losses
from csm_refine_addon.service.refinery import ladder, tuning
from csm_refine_addon.service.refinery.methods import rungs_for
from csm_refine_addon.service.refinery.settings import Topology
from tests.support import raw_meshes

ROOT = Path(__file__).resolve().parents[2]
CODE = "SESSION_1700000000_0000001"
UNREADABLE = {"one_vertex"}
LARGE = {"two_million_triangles"}
EVERY = sorted(set(raw_meshes.HARD) - UNREADABLE - LARGE)
FEW = ["armature_and_shape_keys", "several_materials", "single_triangle"]
"""What Blenders differ in is reading and writing; what our code does with a hard shape is the same in each."""
HARD = EVERY if bpy.app.version >= (5, 0) else FEW
AT_ONCE = 2


def ordered(folder: Path, mesh: Path, **settings) -> Path:
    """An order's folder."""
    (folder / "scratch").mkdir(parents=True)
    order = {"code": CODE, "mesh": str(mesh), "settings": {"faces": 400, "texture_resolution": 128, **settings}}
    (folder / "order.json").write_text(json.dumps(order))
    return folder


def report_of(folder: Path) -> dict:
    report = folder / "report.json"
    return json.loads(report.read_text()) if report.exists() else {}


def refined(folder: Path) -> tuple[int, dict]:
    """The exit code of the refinery's own program, and its report."""
    command = [sys.executable, "-m", "csm_refine_addon.service.refinery", str(folder)]
    with (folder / "log.txt").open("wb") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=240, check=False).returncode
    return code, report_of(folder)


@pytest.fixture(scope="module")
def hard(tmp_path_factory) -> dict[str, tuple[Path, int, str]]:
    """The folder, exit code and log of each hard mesh. A crash is the code of all that came after it."""
    top = tmp_path_factory.mktemp("hard")
    folders = [ordered(top / name, raw_meshes.HARD[name](top), topology="tris") for name in HARD]
    found = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for outcome in threads.map(_refined_many, (folders[n::AT_ONCE] for n in range(AT_ONCE))):
            found.update(outcome)
    return found


def _refined_many(folders: list[Path]) -> dict[str, tuple[Path, int, str]]:
    command = [sys.executable, str(Path(__file__).with_name("refining_many.py")), *map(str, folders)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    codes = dict(line.split() for line in ended.stdout.splitlines())
    return {folder.name: (folder, int(codes.get(folder.name, ended.returncode)), ended.stderr) for folder in folders}


@pytest.mark.parametrize("name", HARD)
def test_no_readable_mesh_fails(hard, name):
    """Whatever can be read comes back as a mesh with faces, UVs inside the square, and a report of how."""
    folder, code, log = hard[name]
    report = report_of(folder)
    assert (code, report.get("ok")) == (0, True), log
    result = trimesh.load(folder / "mesh.glb", force="mesh")
    assert len(result.faces)
    assert np.isfinite(result.vertices).all()
    if report["method"] != ladder.CLEANED:
        assert report["faces"] <= 400 * (1 + tuning.FACES_OFF)
        assert result.visual.uv.min() >= 0
        assert result.visual.uv.max() <= 1


def test_the_loss_of_bones_and_shape_keys_is_said_before(tmp_path):
    """A session's creation names what a refine cannot keep, and nothing where there is nothing to lose."""
    said = losses(raw_meshes.armature_and_shape_keys(tmp_path), MeshKind.GLB)
    assert ["armature" in said[0], "shape keys" in said[1], len(said)] == [True, True, 2]
    assert losses(raw_meshes.no_colour(tmp_path), MeshKind.GLB) == ()


def test_what_cannot_be_read_says_so(tmp_path):
    """A mesh without an area ends with the sentence, not with a rung that failed."""
    code, report = refined(ordered(tmp_path / "run", raw_meshes.one_vertex(tmp_path), topology="quads"))
    assert code == ladder.UNUSABLE
    assert report["error"]["message"]


def ladder_with(folder: Path, *, trying, finishing=lambda _choice: 0) -> tuple[int | None, list[str]]:
    """Climb with steps that end as told instead of processes; the code, and what was chosen to be finished in turn."""
    choices = []

    def run(module, arguments, _limit_s):
        if module.endswith("trying"):
            return trying(arguments[1])
        choices.append(json.loads((folder / "order.json").read_text())["choice"])
        (folder / "report.json").write_text('{"ok": true}')
        return finishing(choices[-1])

    return ladder.refine(folder, run), choices


def verdict(folder: Path, method: str, score: float, *faults: str) -> int:
    (folder / "scratch" / f"{method}.json").write_text(json.dumps({"score": score, "faults": faults}))
    return 0


def test_a_good_rung_ends_the_climb(tmp_path):
    """No further method is tried once one is good."""
    folder, tried = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads"), []
    code, choices = ladder_with(folder, trying=lambda method: tried.append(method) or verdict(folder, method, 5.0))
    assert (code, tried, choices) == (0, rungs_for(Topology.QUADS)[:1], rungs_for(Topology.QUADS)[:1])


def test_the_best_of_the_faulty_is_taken_and_the_report_says_why(tmp_path):
    """Where none is good the best score wins, among those that are not worse than the cleaned mesh."""
    folder = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads")
    first, second, third = rungs_for(Topology.QUADS)
    scores = {first: (1.0, "parts are lost"), second: (9.0, "too few quads"), third: (7.0, "another number of faces")}
    code, choices = ladder_with(folder, trying=lambda method: verdict(folder, method, *scores[method]))
    assert (code, choices) == (0, [third])
    notes = json.loads((folder / "order.json").read_text())["notes"]
    assert any(first in note and "parts are lost" in note for note in notes)
    assert any(third in note and "another number of faces" in note for note in notes)


def test_crashes_and_late_rungs_leave_the_cleaned_mesh(tmp_path):
    """A rung that dies of a signal or is late is only one that failed; at last the cleaned mesh is taken."""
    folder = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads")
    ends = dict(zip(rungs_for(Topology.QUADS), (-11, None, 1), strict=True))
    code, choices = ladder_with(folder, trying=ends.__getitem__)
    assert (code, choices) == (0, [""])
    attempts = json.loads((folder / "report.json").read_text())["attempts"]
    assert [attempt["faults"] for attempt in attempts] == [["ended with -11"], [ladder.NO_TIME], ["ended with 1"]]


def test_a_result_that_cannot_be_dressed_gives_way_to_the_next(tmp_path):
    """Where UV layout or baking fails, the next best is finished, at last the cleaned mesh."""
    folder = ordered(tmp_path / "run", tmp_path / "mesh", topology="tris")
    first = rungs_for(Topology.TRIS)[0]
    code, choices = ladder_with(
        folder, trying=lambda method: verdict(folder, method, 1.0), finishing=lambda choice: -6 if choice else 0
    )
    assert (code, choices) == (0, [first, ""])


@pytest.mark.parametrize("whole_s", [4.0, 100.0, 3600.0])
@pytest.mark.parametrize("score", [None, 5.0])
def test_however_long_the_rungs_take_the_cleaned_mesh_has_its_time(tmp_path, whole_s, score):
    """Where every rung and dressing uses up its time, a third is left for the cleaned mesh, and no start is in vain."""
    folder, now, granted = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads", faces=2_000_000), [0.0], []
    allowance = ladder.Allowance(whole_s, lambda: now[0])

    def run(module, arguments, limit_s):
        granted.append(allowance.for_step(limit_s))
        if math.isinf(limit_s):
            return 0
        now[0] += granted[-1]
        if score and granted[-1] and module.endswith("trying"):
            return verdict(folder, arguments[1], score, "too few quads")
        return None

    assert ladder.refine(folder, run) == 0
    assert granted[-1] >= whole_s / 3
    assert granted[0] >= whole_s / 4
    assert all(step_s == 0 or step_s >= ladder.LEAST_STEP_S for step_s in granted)


def test_after_its_time_nothing_is_given():
    """A step gets half of what is left beside the cleaned mesh's share, at most its limit; at the end there is none."""
    now = [0.0]
    allowance = ladder.Allowance(90.0, lambda: now[0])
    assert [allowance.for_step(limit_s) for limit_s in (10.0, 1e6, math.inf)] == [10.0, 30.0, 90.0]
    now[0] = 60.0
    assert [allowance.for_step(limit_s) for limit_s in (10.0, math.inf)] == [0.0, 30.0]
    now[0] = 91.0
    assert [allowance.for_step(limit_s) for limit_s in (10.0, math.inf)] == [0.0, 0.0]
