"""A mesh of two million triangles goes all the way through local refining."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from csm_refine_addon.remesh import tuning
from tests.support import raw_meshes
from tests.support.repository import ROOT


def test_two_million_triangles_become_five_thousand(tmp_path, length):
    """It is refined by the first method, within the limits that every refine has, and never only cleaned."""
    if length.choose(short=True, long=False):
        pytest.skip("takes a minute")
    run = tmp_path / "run"
    (run / "scratch").mkdir(parents=True)
    settings = {"topology": "tris", "faces": 5000, "texture_resolution": 512}
    order = {"code": "SESSION_1700000000_0000001", "mesh": str(raw_meshes.two_million_triangles(tmp_path))}
    (run / "order.json").write_text(json.dumps({**order, "settings": settings}))
    command = [sys.executable, "-m", "csm_refine_addon.remesh", str(run)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    report = json.loads((run / "report.json").read_text())
    assert report["method"] == "tris_1_collapse", report["notes"]
    assert report["faces"] == pytest.approx(5000, rel=tuning.FACES_TOLERANCE)
