"""Ctrl-C in a Blender program that has no window."""

from __future__ import annotations

import json
import os
import subprocess

import environment
from tests.support import api_server
from window import room


def test_ctrl_c_without_a_window(suite, api, tmp_path):
    """Blender's own handler stands before Python starts; a refine ends at once all the same, with 130, and is kept."""
    script = f"{room.PROJECT}/tests/window/ctrl_c.py"
    start = ["blender", "--background", "--factory-startup", "--python-exit-code", "9", "--python", script, "--"]
    command = [*start, "refine", api_server.CODE, "--bbox", "auto", "--pivot", "auto", "--json"]
    own = {"CSM_API_KEY": api_server.KEY, "CSM_SERVICE": api.url, "CSM_REFINE_HOME": f"{room.JOB}/home"}
    paths = {"PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}", "HOME": "/root", "LANG": "C.UTF-8"}
    inside = room.command_inside(room.ready(suite), environment.ROOT, tmp_path, command)
    done = subprocess.run(inside, env={**paths, **own}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 130, done.stdout + done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["error"]["code"] == "interrupted"
    assert len(api.refines) == 1
