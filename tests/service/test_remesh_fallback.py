"""The ladder: its rungs on hard meshes, what is taken when rungs fail, and that none can take all time or memory.

Each hard mesh is refined to triangles, some to quads, in a few Blenders that do many of them. With `--length long`,
each is refined to quads as the service does it, each rung a process with a time limit: QuadriFlow does not always end.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bpy
import numpy as np
import pytest
import trimesh

from csm_refine_addon.core.mesh_files import MeshKind
from csm_refine_addon.remesh import fallback, tuning
from csm_refine_addon.remesh.methods import methods_for, name_of
from csm_refine_addon.remesh.refine_settings import Topology
from csm_refine_addon.service.upload_losses import losses
from tests.support import raw_meshes

ROOT = Path(__file__).resolve().parents[2]
CODE = "SESSION_1700000000_0000001"
UNREADABLE = {"one_vertex"}
LARGE = {"two_million_triangles"}
EVERY = sorted(set(raw_meshes.HARD) - UNREADABLE - LARGE)
FEW = ["armature_and_shape_keys", "several_materials", "single_triangle"]
"""What Blenders differ in is reading and writing; what our code does with a hard shape is the same in each."""
HARD = EVERY if bpy.app.version >= (5, 0) else FEW
QUADS = ["inner_shells", "single_triangle"]
ORDERS = [*((Topology.TRIS, name) for name in HARD), *((Topology.QUADS, name) for name in QUADS if name in HARD)]
FACES = 400
MAY_BE_CLEANED = {
    Topology.TRIS: {"thousand_loose_parts"},
    Topology.QUADS: {"needles", "open_sheets", "thousand_loose_parts"},
}
"""So few faces are not enough for a thousand boxes; of needles, and of sheets where QuadriFlow does not end, parts are
lost. What lost parts is worse than what was cleaned only."""
AT_ONCE = 2
LONG_S = 1800


def ordered(folder: Path, mesh: Path, **settings) -> Path:
    """An order's folder."""
    (folder / "scratch").mkdir(parents=True)
    order = {"code": CODE, "mesh": str(mesh), "settings": {"faces": FACES, "texture_resolution": 128, **settings}}
    (folder / "order.json").write_text(json.dumps(order))
    return folder


def report_of(folder: Path) -> dict:
    report = folder / "report.json"
    return json.loads(report.read_text()) if report.exists() else {}


def refined(folder: Path) -> tuple[int, dict]:
    """The exit code of the refinery's own program, and its report."""
    command = [sys.executable, "-m", "csm_refine_addon.remesh", str(folder)]
    with (folder / "log.txt").open("wb") as log:
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=LONG_S, check=False).returncode
    return code, report_of(folder)


@pytest.fixture(scope="module")
def hard(tmp_path_factory) -> dict[str, tuple[Path, int, str]]:
    """The folder, exit code and log of each hard mesh. A crash is the code of all that came after it."""
    top = tmp_path_factory.mktemp("hard")
    folders = [
        ordered(top / f"{topology}-{name}", raw_meshes.HARD[name](top), topology=topology) for topology, name in ORDERS
    ]
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


@pytest.mark.parametrize(("topology", "name"), ORDERS)
def test_no_readable_mesh_fails(hard, topology, name):
    """Whatever can be read is refined, UVs inside the square; only the named may come back cleaned."""
    folder, code, log = hard[f"{topology}-{name}"]
    report = report_of(folder)
    assert (code, report.get("ok")) == (0, True), log
    is_cleaned = report["method"] == fallback.CLEANED
    assert not is_cleaned or name in MAY_BE_CLEANED[topology], report
    result = trimesh.load(folder / "mesh.glb", force="mesh")
    assert len(result.faces)
    assert np.isfinite(result.vertices).all()
    if not is_cleaned:
        assert report["faces"] <= FACES * (1 + tuning.FACES_TOLERANCE)
        assert result.visual.uv.min() >= 0
        assert result.visual.uv.max() <= 1


@pytest.mark.timeout(LONG_S)
def test_each_hard_mesh_becomes_quads(tmp_path, request):
    """No hard mesh fails as quads, each rung in a process of its own with its limits; only the named may be cleaned."""
    if request.config.getoption("--length") != "long":
        pytest.skip("takes minutes: --length long")
    folders = [ordered(tmp_path / name, raw_meshes.HARD[name](tmp_path), topology="quads") for name in EVERY]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        ends = list(threads.map(refined, folders))
    methods = {folder.name: (code, report.get("method")) for folder, (code, report) in zip(folders, ends, strict=True)}
    assert {code for code, _ in methods.values()} == {0}, methods
    assert {name for name, (_, method) in methods.items() if method == fallback.CLEANED} <= MAY_BE_CLEANED[
        Topology.QUADS
    ]


def test_the_loss_of_bones_and_shape_keys_is_said_before(tmp_path):
    """A session's creation names what a refine cannot keep, and nothing where there is nothing to lose."""
    said = losses(raw_meshes.armature_and_shape_keys(tmp_path), MeshKind.GLB)
    assert ["armature" in said[0], "shape keys" in said[1], len(said)] == [True, True, 2]
    assert losses(raw_meshes.no_colour(tmp_path), MeshKind.GLB) == ()


def test_what_cannot_be_read_says_so(tmp_path):
    """A mesh without an area ends with the sentence, not with a rung that failed."""
    code, report = refined(ordered(tmp_path / "run", raw_meshes.one_vertex(tmp_path), topology="quads"))
    assert code == fallback.UNUSABLE
    assert report["error"]["message"]


def ladder_with(folder: Path, *, trying, finishing=lambda _choice: 0) -> tuple[int | None, list[str]]:
    """Climb with steps that end as told instead of processes; the code, and what was chosen to be finished in turn."""
    choices = []

    def run(module, request, _limit_s):
        if module.endswith("run_method"):
            return trying(request["method"])
        choices.append(json.loads((folder / "order.json").read_text())["choice"])
        (folder / "report.json").write_text('{"ok": true}')
        return finishing(choices[-1])

    return fallback.refine(folder, run), choices


def verdict(folder: Path, method: str, score: float, *faults: str) -> int:
    (folder / "scratch" / f"{method}.json").write_text(json.dumps({"score": score, "faults": faults}))
    return 0


def test_a_good_rung_ends_the_climb(tmp_path):
    """No further method is tried once one is good."""
    folder, tried = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads"), []
    code, choices = ladder_with(folder, trying=lambda method: tried.append(method) or verdict(folder, method, 5.0))
    assert (code, tried, choices) == (0, methods_for(Topology.QUADS)[:1], methods_for(Topology.QUADS)[:1])


def test_the_best_of_the_faulty_is_taken_and_the_report_says_why(tmp_path):
    """Where none is good the best score wins, among those that are not worse than the cleaned mesh."""
    folder = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads")
    first, second, third = methods_for(Topology.QUADS)
    scores = {first: (1.0, "parts are lost"), second: (9.0, "too few quads"), third: (7.0, "another number of faces")}
    code, choices = ladder_with(folder, trying=lambda method: verdict(folder, method, *scores[method]))
    assert (code, choices) == (0, [third])
    notes = json.loads((folder / "order.json").read_text())["notes"]
    assert any(name_of(first) in note and "parts are lost" in note for note in notes)
    assert any(name_of(third) in note and "another number of faces" in note for note in notes)


def test_crashes_and_late_rungs_leave_the_cleaned_mesh(tmp_path):
    """A rung that dies of a signal or is late is only one that failed; at last the cleaned mesh is taken."""
    folder = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads")
    ends = dict(zip(methods_for(Topology.QUADS), (-11, None, 1), strict=True))
    code, choices = ladder_with(folder, trying=ends.__getitem__)
    assert (code, choices) == (0, [""])
    attempts = json.loads((folder / "report.json").read_text())["attempts"]
    assert [attempt["faults"] for attempt in attempts] == [["ended with -11"], [fallback.NO_TIME], ["ended with 1"]]


def test_a_result_that_cannot_be_dressed_gives_way_to_the_next(tmp_path):
    """Where UV layout or baking fails, the next best is finished, at last the cleaned mesh."""
    folder = ordered(tmp_path / "run", tmp_path / "mesh", topology="tris")
    first = methods_for(Topology.TRIS)[0]
    code, choices = ladder_with(
        folder, trying=lambda method: verdict(folder, method, 1.0), finishing=lambda choice: -6 if choice else 0
    )
    assert (code, choices) == (0, [first, ""])


@pytest.mark.parametrize("whole_s", [4.0, 100.0, 3600.0])
@pytest.mark.parametrize("score", [None, 5.0])
def test_however_long_the_rungs_take_the_cleaned_mesh_has_its_time(tmp_path, whole_s, score):
    """Where every rung and dressing uses up its time, a third is left for the cleaned mesh, and no start is in vain."""
    folder, now, granted = ordered(tmp_path / "run", tmp_path / "mesh", topology="quads", faces=2_000_000), [0.0], []
    allowance = fallback.TimeBudget(whole_s, lambda: now[0])

    def run(module, request, limit_s):
        granted.append(allowance.for_step(limit_s))
        if math.isinf(limit_s):
            return 0
        now[0] += granted[-1]
        if score and granted[-1] and module.endswith("run_method"):
            return verdict(folder, request["method"], score, "too few quads")
        return None

    assert fallback.refine(folder, run) == 0
    assert granted[-1] >= whole_s / 3
    assert granted[0] >= whole_s / 4
    assert all(step_s == 0 or step_s >= fallback.LEAST_STEP_S for step_s in granted)


def test_after_its_time_nothing_is_given():
    """A step gets half of what is left beside the cleaned mesh's share, at most its limit; at the end there is none."""
    now = [0.0]
    allowance = fallback.TimeBudget(90.0, lambda: now[0])
    assert [allowance.for_step(limit_s) for limit_s in (10.0, 1e6, math.inf)] == [10.0, 30.0, 90.0]
    now[0] = 60.0
    assert [allowance.for_step(limit_s) for limit_s in (10.0, math.inf)] == [0.0, 30.0]
    now[0] = 91.0
    assert [allowance.for_step(limit_s) for limit_s in (10.0, math.inf)] == [0.0, 0.0]


GREEDY = """
import numpy

def refine(shape, budget):
    taken = numpy.empty(2 << 30, numpy.uint8)
    return shape
"""
ENDLESS = """
def refine(shape, budget):
    while True:
        pass
"""
SMALL_LIMITS = """
MEMORY_LIMIT = 1 << 30
METHOD_LIMIT_S, METHOD_LIMIT_S_PER_FACE = 20.0, 0.0
"""
"""Time enough for a busy machine to start Blender and do the good rung; the endless one uses it up."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
def test_a_rung_without_measure_or_end_is_one_that_failed(start_service, tmp_path):
    """One that takes more memory than it may ends by itself, one that never ends is ended; the next one is taken."""
    package = shutil.copytree(ROOT / "csm_refine_addon", tmp_path / "csm_refine_addon")
    methods = package / "remesh" / "methods"
    (methods / "tris_0_greedy.py").write_text(GREEDY)
    (methods / "tris_0_endless.py").write_text(ENDLESS)
    with (package / "remesh" / "tuning.py").open("a") as tuned:
        tuned.write(SMALL_LIMITS)
    service = start_service(root=tmp_path)
    mesh = raw_meshes.doubled_faces(tmp_path).read_bytes()
    session = service.refine(service.create(mesh), topology="tris", faces=FACES, texture_resolution=128)
    assert session["method"] in methods_for(Topology.TRIS), session
    assert session["notes"][:2] == [
        f"The method tris_0_endless was not taken: {fallback.NO_TIME}.",
        "The method tris_0_greedy was not taken: ended with 1.",
    ]
    (log,) = (service.folder / "sessions" / session["session_code"]).glob("*/log.txt")
    assert "MemoryError" in log.read_text()
    assert "remesh.run_method ended with -9" in service.log()
