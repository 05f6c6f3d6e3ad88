"""A database of sessions that is damaged, of another version, or has rows that cannot be read."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from csm_refine_addon.service.session_database import SCHEMA_VERSION

from .conftest import run_to_end

SESSIONS = 200
UNREADABLE = "cannot read"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def codes(start_service):
    """The codes of some sessions of a service that has ended."""
    service = start_service()
    made = [service.create() for _ in range(3)]
    service.stop()
    return made


@contextlib.contextmanager
def database(folder):
    with contextlib.closing(sqlite3.connect(folder / "sessions" / "sessions.sqlite")) as connection, connection:
        yield connection


def change(folder, number: int, /, **values) -> None:
    """Change values of a session's document."""
    with database(folder) as connection:
        (document,) = connection.execute("SELECT document FROM sessions WHERE number = ?", (number,)).fetchone()
        new = json.dumps({**json.loads(document), **values})
        connection.execute("UPDATE sessions SET document = ? WHERE number = ?", (new, number))


def listed(service) -> list[str]:
    data = service.ask("GET", "/image-to-3d-sessions?limit=100").json()["data"]
    assert data["total"] == len(data["results"])
    return [session["session_code"] for session in data["results"]]


def aside(folder):
    return sorted((folder / "sessions").glob("sessions.corrupt-*.sqlite"))


def said(tmp_path) -> str:
    return (tmp_path / "stderr.txt").read_text()


@pytest.mark.parametrize(
    "values",
    [
        {"stage": "refine_paused"},
        {"created_at": "yesterday"},
        {"order": {"settings": {"topology": "hexagons"}}},
        {"formats": 5},
        {"original": "../../key"},
        {"run": "a/b"},
        {"code": "SESSION_1689256797_0000001"},
    ],
)
def test_a_session_that_cannot_be_read(start_service, folder, codes, tmp_path, values):
    """The service starts, names it on stderr, keeps row and files, and lists the others; the next version has it."""
    change(folder, 2, **values)
    service = start_service()
    assert listed(service) == [codes[2], codes[0]]
    answer = service.ask("GET", f"/image-to-3d-sessions/{codes[1]}")
    assert (answer.status_code, UNREADABLE in answer.json()["message"]) == (404, True)
    assert service.order(codes[1]).status_code == 404
    assert UNREADABLE in said(tmp_path)
    assert codes[1] in said(tmp_path)
    service.stop()
    assert (folder / "sessions" / codes[1] / "original" / "mesh.glb").is_file()
    good = {"stage": "preview_done", "created_at": 1.0, "order": {}, "formats": [], "original": "mesh.glb", "run": ""}
    change(folder, 2, code=codes[1], **good)
    assert listed(start_service()) == codes[::-1]


def test_a_row_that_is_no_json(start_service, folder, codes, tmp_path):
    """The database is kept aside; the new one has the other rows, also one of a newer version; the files stay."""
    change(folder, 3, stage="refine_paused")
    with database(folder) as connection:
        connection.execute("UPDATE sessions SET document = '{\"code\": ' WHERE code = ?", (codes[1],))
    service = start_service()
    assert listed(service) == [codes[0]]
    assert len(aside(folder)) == 1
    assert aside(folder)[0].name in said(tmp_path)
    assert "files are kept" in said(tmp_path)
    assert codes[1] in said(tmp_path)
    assert (folder / "sessions" / codes[1] / "original" / "mesh.glb").is_file()
    service.stop()
    change(folder, 2, stage="preview_done")
    assert listed(start_service()) == [codes[2], codes[0]]


@pytest.mark.parametrize("page", [0, 1, 2, 5])
def test_a_damaged_page(start_service, folder, codes, tmp_path, page):
    """The service starts on a new database with what can be read of the damaged one, which is kept."""
    with database(folder) as connection:
        (document,) = connection.execute("SELECT document FROM sessions LIMIT 1").fetchone()
        for number in range(SESSIONS):
            code = f"SESSION_1689256797_{number:07d}"
            (folder / "sessions" / code).mkdir()
            new = json.dumps({**json.loads(document), "code": code, "created_at": float(number)})
            connection.execute("INSERT INTO sessions (code, document) VALUES (?, ?)", (code, new))
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with (folder / "sessions" / "sessions.sqlite").open("r+b") as file:
        file.seek(page * size)
        file.write(b"\xff" * 1024)
    service = start_service()
    data = service.ask("GET", "/image-to-3d-sessions").json()["data"]
    assert data["total"] > 0.9 * SESSIONS
    assert service.create()
    assert len(aside(folder)) == 1
    assert "damaged" in said(tmp_path)


def test_a_file_that_is_no_database(start_service, folder, codes, tmp_path):
    """A file of something else is kept aside; the folders of the sessions are named and kept."""
    (folder / "sessions" / "sessions.sqlite").write_bytes(b"no database" * 1000)
    assert listed(start_service()) == []
    assert len(aside(folder)) == 1
    assert all(code in said(tmp_path) for code in codes)
    assert all((folder / "sessions" / code / "original" / "mesh.glb").is_file() for code in codes)


def test_a_database_that_is_gone(start_service, folder, codes, tmp_path):
    """Without the database, the folders of the sessions are named and kept, and new sessions are made beside them."""
    (folder / "sessions" / "sessions.sqlite").unlink()
    service = start_service()
    assert listed(service) == []
    assert all(code in said(tmp_path) for code in codes)
    assert service.create() not in codes


def test_a_newer_version_is_left_alone(folder, codes):
    """A database of a newer version ends the start with 2 and a sentence, and stays as it is, byte for byte."""
    path = folder / "sessions" / "sessions.sqlite"
    with database(folder) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    refused = run_to_end(folder)
    assert (refused.returncode, "newer version" in refused.stderr, "Update" in refused.stderr) == (2, True, True)
    assert path.read_bytes() == before


def test_a_store_of_this_version_says_so(folder, codes):
    """The database names its version, for newer and older ones to find."""
    with database(folder) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
