"""A service whose disk is full, or whose data folder cannot be written: each answer and each failed refine says so."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

from csm_refine_addon.core.errors import StorageError
from csm_refine_addon.core.models import RefineRequest, Secret
from csm_refine_addon.core.providers.client import Client
from tests.reliability.faults_machine import SmallDisk, on_a_thread
from tests.support import sample_meshes

from .conftest import ROOT, Service, command, run_to_end

FULL, CLOSED = "disk is full", "cannot write to its data folder"
MESH = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"v 0 0 1\n" * 400_000 + b"f 1 2 3\n"
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a small disk is mounted, which Linux lets root do"
)


@contextlib.contextmanager
def service_on(folder, *options: str):
    """A service as a process in the calling thread's view of the disks."""
    with (folder.parent / "stderr.txt").open("ab") as errors:
        process = subprocess.Popen(
            command(folder / "data", *options), cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        service = Service(process, folder / "data")
        yield service, Client(service.url, Secret(service.key), is_online=lambda: True)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def refused(service, mesh: bytes) -> str:
    """What the service says of a mesh that it cannot store."""
    answer = service.ask("POST", "/local/sessions", data=mesh)
    assert (answer.status_code, answer.json()["statusCode"]) == (507, 507)
    return answer.json()["message"]


def left(service) -> set[str]:
    """The sessions that have files."""
    return {path.name for path in (service.folder / "sessions").glob("SESSION_*")}


@pytest.mark.parametrize("leave_bytes", [0, 2 << 20, 5 << 20])
def test_a_mesh_on_a_full_disk(folder, tmp_path, leave_bytes):
    """An upload is answered with 507, wherever the room ends; the client names the service's disk; no file is left."""
    (tmp_path / "mesh.obj").write_bytes(MESH)

    def look() -> None:
        disk = SmallDisk(folder)
        with service_on(folder) as (service, client):
            code = service.create()
            disk.fill(leave_bytes)
            assert FULL in refused(service, MESH)
            with pytest.raises(StorageError, match=FULL):
                client.create_session(tmp_path / "mesh.obj")
            assert left(service) == {code}
            assert not list((service.folder / "arriving").iterdir())
            disk.free()
            assert client.create_session(tmp_path / "mesh.obj").code in left(service)

    on_a_thread(look)


def test_a_small_mesh_on_a_full_disk(folder):
    """A mesh that arrives in memory is answered with 507, too."""

    def look() -> None:
        disk = SmallDisk(folder)
        with service_on(folder) as (service, _client):
            disk.fill()
            assert FULL in refused(service, sample_meshes.glb())
            assert left(service) == set()

    on_a_thread(look)


def test_a_refine_on_a_full_disk(folder, stalled_blender):
    """An order that cannot be stored gets 507 and is not taken; the client reports it, and may send it again."""

    def look() -> None:
        disk = SmallDisk(folder)
        with service_on(folder, "--blender", stalled_blender) as (service, client):
            code = service.create()
            service.stop()
        with service_on(folder, "--blender", stalled_blender) as (service, client):
            disk.fill()
            answer = service.order(code)
            assert (answer.status_code, FULL in answer.json()["message"]) == (507, True)
            with pytest.raises(StorageError, match=FULL):
                client.submit(RefineRequest(code))
            assert service.session(code)["status"] == "preview_done"
            disk.free()
            client.submit(RefineRequest(code))
            assert service.session(code)["status"] == "training_refine"

    on_a_thread(look)


@pytest.mark.parametrize("leave_bytes", [0, 64 * 1024, 3 << 20])
def test_a_refine_that_fills_the_disk(folder, tmp_path, leave_bytes):
    """The session's message names the disk, whether the refine cannot begin or cannot be written; no part is left."""
    report = json.dumps({"ok": True, "formats": ["glb"], "method": "cleaned", "notes": []})
    program = tmp_path / "python_writing"
    program.write_text(
        f"#!/bin/sh\ncd ..\nhead -c 4000000 /dev/zero > mesh.glb || exit 1\necho '{report}' > report.json\n"
    )
    program.chmod(0o755)

    def look() -> None:
        disk = SmallDisk(folder)
        with service_on(folder, "--blender", str(program)) as (service, _client):
            first, code = service.create(), service.create()
            assert service.refine(first)["status"] == "refine_done"
            disk.fill(leave_bytes)
            session = service.refine(code)
            assert (session["status"], FULL in session["error_message"]) == ("refine_failed", True)
            assert [path.parent.name for path in (service.folder / "sessions" / code).glob("*/mesh.*")] == ["original"]
            disk.free()
            assert service.refine(code)["status"] == "refine_done"

    on_a_thread(look)


def test_blender_on_a_full_disk(folder, tmp_path):
    """A refine by Blender itself that has no room for its result names the disk."""

    def look() -> None:
        disk = SmallDisk(folder)
        with service_on(folder) as (service, _client):
            code = service.create(MESH.replace(b"v 0 0 1\n" * 400_000, b""))
            service.refine(code)
            big = service.create(sample_meshes.glb())
            disk.fill(48 * 1024)
            session = service.refine(big)
            assert (session["status"], FULL in session["error_message"]) == ("refine_failed", True)

    on_a_thread(look)


def test_a_folder_that_cannot_be_written(folder):
    """Where the data folder has become read-only, uploads are answered with 507 and refines fail, with the sentence."""

    def look() -> None:
        disk = SmallDisk(folder)
        with service_on(folder) as (service, _client):
            code = service.create()
            service.refine(code)
            disk.cover(service.folder)
            assert CLOSED in refused(service, sample_meshes.glb())
            service.order(code)
            assert CLOSED in service.refined(code)["error_message"]

    on_a_thread(look)


@pytest.mark.parametrize("is_full", [True, False])
def test_a_start_without_a_disk(folder, is_full):
    """A service that cannot write its files at the start ends with 2 and a sentence."""

    def look() -> None:
        disk = SmallDisk(folder)
        if is_full:
            disk.fill()
        else:
            disk.cover(folder)
        ended = run_to_end(folder / "data")
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr
        assert any(word in ended.stderr for word in (FULL, CLOSED, "full", "Read-only"))

    on_a_thread(look)
