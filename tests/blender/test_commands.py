"""The command line in real Blender, against the real local service."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import bpy
import numpy as np
import pytest
import trimesh
from mathutils import Euler, Matrix, Vector

from csm_refine_addon import cli
from csm_refine_addon.core.processes.background import BLENDER_VARIABLE
from tests.support import sample_meshes, scenes
from tests.support.api_server import CODE, KEY, Answer, Api, envelope

ROOT = Path(__file__).resolve().parents[2]
NAME = "Source"
MATRIX = Matrix.LocRotScale(Vector((3, -2, 1.5)), Euler((0.3, 0.5, 1.1)), Vector((0.6, 1.4, 0.9)))
BBOX = (0.6, 0.9, 1.4)
"""Width, height, depth of the source: a unit wedge under MATRIX's scale."""


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.blend"
    scenes.empty_scene()
    scenes.select(scenes.mesh_object(NAME, matrix=MATRIX))
    scenes.link(bpy.data.objects.new("Empty", None))
    scenes.mesh_object("Flat", points=((0, 0, 0), (1, 0, 0), (0, 1, 0)), faces=((0, 1, 2),))
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


@pytest.fixture(scope="module")
def mesh_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mesh") / "car.glb"
    path.write_bytes(sample_meshes.glb())
    return path


@pytest.fixture
def run(capfd, monkeypatch):
    """Run a command in this Blender; return its exit code, its JSON object and what went to stderr."""

    def command(*arguments: str) -> tuple[int, dict, str]:
        code = cli.main([*arguments, "--json"])
        said = capfd.readouterr()
        return code, json.loads(said.out.splitlines()[-1]), said.err

    return command


def in_child(*arguments: str) -> tuple[int, dict, str]:
    """Run ``scripts/refine.py`` with this Python, as a pipeline does."""
    command = [sys.executable, str(ROOT / "scripts" / "refine.py"), *arguments, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, json.loads(ended.stdout.splitlines()[-1]), ended.stderr


def in_source_frame(points: np.ndarray) -> np.ndarray:
    """Points in Blender's world -> the source's rotated frame, from its origin."""
    return scenes.in_frame(points, MATRIX.translation, MATRIX.to_quaternion())


def assert_fills_source_box(points: np.ndarray) -> None:
    local = in_source_frame(points)
    width, height, depth = BBOX
    half = np.array((width, depth, height)) / 2
    assert np.abs(local.max(axis=0) - half).max() < 1e-5 * np.linalg.norm(BBOX)
    assert np.abs(local.min(axis=0) + half).max() < 1e-5 * np.linalg.norm(BBOX)


def test_refine_from_the_shell(scene_file, mesh_file, tmp_path):
    """A pipeline makes a session, refines it, and gets the scene with the result in exactly the source's box."""
    output = tmp_path / "out.blend"
    code, created, _said = in_child("create", str(mesh_file), "--service", "local")
    assert code == 0
    common = ("--blend", str(scene_file), "--object", NAME, "--service", "local", "--output", str(output))
    code, result, said = in_child("refine", f"https://x.example/{created['session']}/mesh", *common)
    assert code == 0, said
    assert result["state"] == "PLACED"
    assert result["error"] is None
    assert result["scaled_bbox"] == pytest.approx(BBOX, rel=1e-6)
    assert result["pivot_point"] == pytest.approx((0, 0, 0), abs=1e-6)
    assert result["fit_error"] < 1e-5
    assert "refining" in said
    bpy.ops.wm.open_mainfile(filepath=str(output))
    placed = bpy.data.objects[result["object"]]
    assert_fills_source_box(scenes.world_vertices(placed))
    assert (placed.matrix_world.translation - MATRIX.translation).length < 1e-6


@pytest.fixture(scope="module")
def ready_job(scene_file, mesh_file) -> str:
    """A job of a new session, followed to READY by ``submit`` and ``fetch``."""
    _code, created, _said = in_child("create", str(mesh_file))
    options = ("--blend", str(scene_file), "--object", NAME, "--service", "local")
    code, submitted, said = in_child("submit", created["session"], *options)
    assert code == 0, said
    code, fetched, said = in_child("fetch", submitted["job"])
    assert (code, fetched["state"]) == (0, "READY"), said
    assert Path(fetched["blend"]).is_file()
    return submitted["job"]


@pytest.mark.parametrize("ending", ["glb", "obj", "fbx", "usdz"])
def test_output_alone(run, ready_job, scene_file, tmp_path, ending):
    """The result alone comes out in every format, in its place."""
    output = tmp_path / f"result.{ending}"
    code, result, said = run("place", ready_job, "--blend", str(scene_file), "--output", str(output))
    assert (code, result["state"]) == (0, "PLACED"), said
    assert output.stat().st_size > 1000
    if ending in ("glb", "obj"):
        x, y, z = np.array(trimesh.load(output, force="mesh").vertices).T
        assert_fills_source_box(np.stack((x, -z, y), axis=1))


def test_a_journal_that_is_locked_when_it_is_placed(ready_job, scene_file, tmp_path, monkeypatch):
    """The output is there all the same, and that it was placed is written down as soon as it can be."""
    output = tmp_path / "placed.blend"
    was_told = threading.Event()

    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            if "locked by another process" in text:
                was_told.set()
            return super().write(text)

    @bpy.app.handlers.persistent
    def lock(*_arguments: object) -> None:
        holder = sqlite3.connect(Path(os.environ["CSM_REFINE_HOME"], "journal.sqlite"), check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        threading.Thread(target=lambda: (was_told.wait(60), holder.rollback(), holder.close())).start()

    monkeypatch.setattr(sys, "stderr", Heard())
    bpy.app.handlers.save_post.append(lock)
    try:
        code = cli.main(["place", ready_job, "--blend", str(scene_file), "--output", str(output)])
    finally:
        bpy.app.handlers.save_post.remove(lock)
    assert (code, was_told.is_set(), output.is_file()) == (0, True, True)
    _code, listed, _said = in_child("jobs")
    assert [job["state"] for job in listed["jobs"] if job["job"] == ready_job] == ["PLACED"]


def test_a_scene_that_was_never_saved(run, mesh_file):
    """Its object is the source as in a file: the result takes its place, and it is hidden."""
    scenes.empty_scene()
    source = scenes.mesh_object(NAME, matrix=MATRIX)
    scenes.select(source)
    assert bpy.data.filepath == ""
    _code, created, _said = in_child("create", str(mesh_file))
    code, result, said = run("refine", created["session"], "--object", NAME, "--service", "local")
    assert (code, result["state"]) == (0, "PLACED"), said
    assert result["object"] == f"{NAME} refined"
    assert source.hide_get()
    assert source.hide_render


def test_session_out_of_an_object(run, scene_file):
    """An object becomes a session upright in its own frame, so its refined mesh fills the very same box."""
    code, created, said = run("create", "--blend", str(scene_file), "--object", NAME)
    assert code == 0, said
    options = ("--blend", str(scene_file), "--object", NAME, "--service", "local", "--bbox", "auto", "--pivot", "auto")
    code, result, said = run("refine", created["session"], *options)
    assert code == 0, said
    assert result["scaled_bbox"] is None
    assert result["dimensions"] == pytest.approx((0.6, 1.4, 0.9), rel=1e-5)
    assert result["fit_error"] is None


@pytest.mark.parametrize("trouble", ["full", "refused", "cut", "crash", "none"])
def test_create_leaves_no_copy(run, scene_file, tmp_path, monkeypatch, trouble):
    """Whether a session comes of it or not, create leaves no copy of the object in the data folder."""
    answers = {
        "full": Answer(507, envelope({}, status=507, message="The service's disk is full. Free some space on it.")),
        "refused": Answer(400, envelope({}, status=400, message="It has no faces.")),
        "cut": Answer(resets=True),
        "none": Answer(201, envelope({"session_code": CODE, "status": "preview_done"})),
    }
    monkeypatch.setenv("CSM_REFINE_HOME", str(tmp_path))
    monkeypatch.setenv("CSM_API_KEY", KEY)
    if trouble == "crash":
        (tmp_path / "blender").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "blender").chmod(0o755)
        monkeypatch.setenv(BLENDER_VARIABLE, str(tmp_path / "blender"))
    with Api() as api:
        api.others["/local/sessions"] = [answers.get(trouble, answers["none"])]
        options = ("--blend", str(scene_file), "--object", NAME, "--service", api.url)
        code, document, said = run("create", *options)
        assert [seen.path for seen in api.seen] == ([] if trouble == "crash" else ["/local/sessions"])
    assert code == {"full": 2, "refused": 2, "cut": 7, "crash": 8, "none": 0}[trouble], said
    assert list((tmp_path / "jobs").iterdir()) == []
    assert trouble != "full" or "disk is full" in document["error"]["message"]
    assert trouble != "crash" or "GLB" in document["error"]["action"]


def test_job_is_listed_and_looked_at(run, ready_job):
    """A job that a script made is in the journal, and its session can be looked at."""
    code, listed, _said = run("jobs")
    assert code == 0
    assert ready_job in [job["job"] for job in listed["jobs"]]
    code, seen, _said = run("status", ready_job)
    assert (code, seen["remote_status"]) == (0, "refine_done")


def test_several_jobs_are_waited_for(run, ready_job):
    """``wait`` with more than one job prints a list, and a ready job costs no request."""
    code, waited, _said = run("wait", ready_job, ready_job)
    assert code == 0
    assert [job["job"] for job in waited["jobs"]] == [ready_job, ready_job]


BAD_INPUT = [
    (("SESSION_1_2", "--object", "Nobody"), 2, "Nobody"),
    (("SESSION_1_2", "--object", "Empty"), 2, "no geometry"),
    (("SESSION_1_2", "--object", "Flat"), 2, "flat"),
    (("no code here",), 2, "no session code"),
    (("Session-12",), 2, "odd form"),
    (("SESSION_1_2", "--bbox", "0", "1", "1"), 2, "width"),
    (("SESSION_1_2", "--bbox", "1", "-1", "1"), 2, "height"),
    (("SESSION_1_2", "--bbox", "1", "1", "nan"), 2, "finite"),
    (("SESSION_1_2", "--bbox", "1", "1", "inf"), 2, "finite"),
    (("SESSION_1_2", "--bbox", "1", "1", "wide"), 2, "not a number"),
    (("SESSION_1_2", "--bbox", "1", "1"), 2, "three numbers"),
    (("SESSION_1_2", "--pivot", "0", "0.51", "0"), 2, "between"),
    (("SESSION_1_2", "--pivot", "0", "0", "-0.51"), 2, "between"),
    (("SESSION_1_2", "--timeout", "0"), 2, "time-out"),
    (("SESSION_1_2", "--service", "api.example.com"), 2, "not a URL"),
    (("SESSION_1_2", "--service", "https://me:secret@api.example.com"), 2, "password"),
    (("SESSION_1_2", "--service", "http://api.example.com"), 2, "plain http"),
    (("SESSION_1_2", "--output", "/no/such/folder/out.glb"), 2, "folder"),
    (("SESSION_1_2", "--output", "out.stl"), 2, "ending"),
    (("SESSION_1_2", "--blend", "nothing.blend"), 2, "no file"),
    (("SESSION_1_2", "--service", "csm"), 3, "no API key"),
]


@pytest.mark.parametrize(("arguments", "expected", "words"), BAD_INPUT, ids=lambda value: str(value)[:60])
def test_bad_input(run, scene_file, monkeypatch, tmp_path, arguments, expected, words):
    """Bad input gets a sentence and its exit code; nothing is written into the journal, so nothing can be sent."""
    monkeypatch.setenv("CSM_REFINE_HOME", str(tmp_path))
    if "--blend" not in arguments:
        arguments = (*arguments, "--blend", str(scene_file))
    if "--service" not in arguments:
        arguments = (*arguments, "--service", "local")
    code, document, said = run("refine", *arguments)
    assert code == expected
    assert words in document["error"]["message"]
    assert document["error"]["action"]
    assert document["error"]["message"] in said
    assert "secret" not in json.dumps(document) + said
    _code, listed, _said = run("jobs")
    assert listed["jobs"] == []


@pytest.mark.parametrize(("key", "words"), [("", "no API key"), ("two\nlines", "line breaks")])
def test_bad_key(run, scene_file, monkeypatch, key, words):
    """An empty key and one with line breaks are found before anything is sent."""
    monkeypatch.setenv("CSM_API_KEY", key)
    code, document, _said = run("refine", "SESSION_1_2", "--blend", str(scene_file), "--service", "csm")
    assert (code, words in document["error"]["message"]) == (3, True)


def test_a_bad_key_of_the_preferences_that_is_not_used(monkeypatch):
    """What is wrong with it is said where it is the one to use, and not where CSM_API_KEY wins."""
    from csm_refine_addon.blender import headless, preferences
    from csm_refine_addon.core.errors import KeyMissing
    from csm_refine_addon.core.models import Secret
    from csm_refine_addon.core.providers import credentials

    monkeypatch.setattr(preferences.preferences(), "api_key", "two words")
    found = headless.settings()
    key_of = credentials.this_process("", found.key, bool)
    monkeypatch.setenv("CSM_API_KEY", "k" * 32)
    assert key_of("https://api.csm.example") == Secret("k" * 32)
    monkeypatch.setenv("CSM_API_KEY", "")
    with pytest.raises(KeyMissing, match="spaces"):
        key_of("https://api.csm.example")


def test_broken_blend(run, tmp_path):
    """A .blend that cannot be opened is said, and the open file stays."""
    broken = tmp_path / "broken.blend"
    broken.write_bytes(b"BLENDER?" + bytes(100))
    scenes.empty_scene()
    scenes.mesh_object("Mine")
    code, document, _said = run("refine", "SESSION_1_2", "--blend", str(broken), "--service", "local")
    assert (code, "cannot be opened" in document["error"]["message"]) == (2, True)
    assert "Mine" in bpy.data.objects


def test_home_that_cannot_be_written(run, monkeypatch, tmp_path):
    """A data folder that cannot be made is said together with the variable that names another."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CSM_REFINE_HOME", str(tmp_path / "file" / "home"))
    code, document, _said = run("jobs")
    assert (code, "CSM_REFINE_HOME" in document["error"]["action"]) == (2, True)


def test_unknown_session(run, scene_file):
    """A session that the service does not know ends with exit code 4, and the scene is as it was."""
    before = os.stat(scene_file).st_mtime_ns
    options = ("--blend", str(scene_file), "--object", NAME, "--service", "local")
    code, document, _said = run("refine", "SESSION_1000000000_7654321", *options)
    assert (code, document["state"], document["error"]["code"]) == (4, "FAILED", "session_unknown")
    assert os.stat(scene_file).st_mtime_ns == before
