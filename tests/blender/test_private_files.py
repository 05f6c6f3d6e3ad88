"""The data folder is private after real refines in panel and command line; files that the user asked for are not."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import bpy
import pytest

from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.core.models import JobState
from tests.support import panel, scenes
from tests.support.modes import not_private
from tests.support.repository import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
ops = bpy.ops


def test_a_refine_from_the_panel(tmp_path, monkeypatch):
    """Under umask 0, nothing of a new session, its refine and its result can be read by others; the umask stays."""
    home = tmp_path / "home"
    before = os.umask(0)
    try:
        with panel.enabled(home, monkeypatch):
            panel.settings().service = "LOCAL"
            scenes.select(scenes.mesh_object("Source"))
            ops.csm_refine.create_session()
            assert list(home.glob("jobs/*/source.blend"))
            assert not_private(home) == []
            ends_at = time.monotonic() + 120
            while not any(job.state is JobState.PLACED for job in job_monitor.current().jobs.values()):
                assert time.monotonic() < ends_at, [str(job) for job in job_monitor.current().jobs.values()]
                job_monitor.tick()
                time.sleep(0.05)
    finally:
        assert os.umask(before) == 0
    assert list(home.glob("jobs/*/result.blend"))
    assert (home / "worker.log").is_file()
    assert not_private(home) == []


def test_a_folder_that_the_panel_refuses(tmp_path, monkeypatch):
    """The panel shows the sentence and the cure."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    with panel.enabled(home, monkeypatch):
        job_monitor.wake()
        job_monitor.current().press()
        while job_monitor.tick() == job_monitor.AT_ONCE_S:
            pass
        assert "Other users can write" in job_monitor.current().trouble
        assert f"chmod -R go-rwx {home}" in job_monitor.current().trouble
    assert list(home.iterdir()) == []


def command(home: Path, *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "refine.py"), *arguments, "--service", "local", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        umask=0o022,
        env={**os.environ, "CSM_REFINE_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_outputs_of_the_command_line(tmp_path):
    """The data folder is private, and outputs have the mode that the user's umask gives."""
    scene, home = tmp_path / "scene.blend", tmp_path / "home"
    scenes.empty_scene()
    scenes.select(scenes.mesh_object("Source"))
    bpy.ops.wm.save_as_mainfile(filepath=str(scene))
    code = command(home, "create", "--blend", str(scene), "--object", "Source")["session"]
    outputs = [tmp_path / f"result.{ending}" for ending in ("blend", "glb", "obj")]
    job = command(home, "refine", code, "--blend", str(scene), "--object", "Source", "--output", str(outputs[0]))["job"]
    for output in outputs[1:]:
        command(home, "place", job, "--blend", str(scene), "--output", str(output))
    assert [stat.S_IMODE(output.stat().st_mode) for output in outputs] == [0o644] * len(outputs)
    assert not_private(home) == []
