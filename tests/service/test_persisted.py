"""A session store that an older version wrote keeps its sessions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

PERSISTED = Path(__file__).resolve().parents[1] / "persisted" / "sessions_0.sql"
CODE = "SESSION_1796137304_5625800"


def test_sessions_of_version_0(start_service, tmp_path):
    """A refined session of 0.1.0 is listed with its stage, box and formats, and its meshes have addresses."""
    store = tmp_path / "service" / "sessions" / "sessions.sqlite"
    store.parent.mkdir(parents=True)
    connection = sqlite3.connect(store)
    connection.executescript(PERSISTED.read_text(encoding="utf-8"))
    connection.close()
    service = start_service(folder=tmp_path / "service")
    session = service.session(CODE)
    assert (session["status"], session["percent_done"], session["topology"]) == ("refine_done", 100, "keep")
    assert session["scaled_bbox"] == [2.0000000636662607, 0.5000000712121625, 1.0000000658429637]
    assert session["mesh_url_glb"]
    assert session["mesh_url_fbx"]
