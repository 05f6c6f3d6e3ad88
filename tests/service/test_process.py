"""The service as a process: start, key, lock, restart, cancel, crash, end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import sys

import pytest
import requests

from csm_refine_addon.core.errors import InputError, SessionUnknown
from csm_refine_addon.core.mesh_files import MeshKind
from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.processes.background import find_background_blender
from csm_refine_addon.core.providers.client import Client
from csm_refine_addon.service.client_leases import GRACE_S, LEASE_S, ClientLeases
from csm_refine_addon.service.refine_queue import RefineQueue
from csm_refine_addon.service.sessions import Order, Sessions
from tests.support import sample_meshes

from .conftest import endpoint, is_alive, no_room, run_to_end, started_process, wait_for


def test_it_says_where_it_listens_and_leaves_nothing(start_service, tmp_path):
    """One line on stdout and endpoint.json name the address; SIGTERM ends it with 0, within 2 s, and cleans up."""
    service = start_service()
    assert service.first_line == f"listening on {service.url}\n"
    said = endpoint(service.folder)
    assert (said["url"], said["pid"], said["key"]) == (service.url, service.process.pid, "folder")
    assert service.stop() < 2
    assert service.process.returncode == 0
    assert not (service.folder / "endpoint.json").exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_other_signals_end_it_too(start_service):
    """SIGHUP ends it cleanly like SIGTERM, and SIGINT with the exit code of an interrupted program."""
    for number, code in ((signal.SIGHUP, 0), (signal.SIGINT, 130)):
        service = start_service()
        assert service.stop(number) < 2
        assert service.process.returncode == code
        assert not (service.folder / "endpoint.json").exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_nohup_keeps_it(start_service):
    """A SIGHUP that was ignored when it started stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        service = start_service()
    finally:
        signal.signal(signal.SIGHUP, before)
    service.process.send_signal(signal.SIGHUP)
    assert service.ask("GET", "/user/userdata").status_code == 200
    assert service.stop() < 2
    assert service.process.returncode == 0


def test_the_key_is_made_once_and_kept_to_its_owner(start_service):
    """The key file is the owner's alone and the same after a restart."""
    service = start_service()
    path = service.folder / "key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(service.key) == 32
    service.stop()
    assert start_service().key == service.key


def test_the_environment_can_name_the_key(start_service):
    """With CSM_API_KEY set, that is the key, none is made, and the endpoint file says so."""
    service = start_service(key="k" * 32, variables={"CSM_API_KEY": "k" * 32})
    assert endpoint(service.folder)["key"] == "environment"
    assert service.ask("GET", "/user/userdata").status_code == 200
    assert not (service.folder / "key").exists()


def test_a_key_file_names_the_key(start_service, tmp_path):
    """--key-file wins over what the service would make."""
    (tmp_path / "my-key").write_text("a-key-of-my-own\n")
    service = start_service("--key-file", str(tmp_path / "my-key"), key="a-key-of-my-own")
    assert service.ask("GET", "/user/userdata").status_code == 200


@pytest.mark.parametrize("content", [None, "", "two words", "line\nbreak"])
def test_a_key_file_without_a_key_is_refused(tmp_path, content):
    """A missing, empty or odd key file ends the start with 2 and a sentence."""
    if content is not None:
        (tmp_path / "my-key").write_text(content)
    refused = run_to_end(tmp_path / "data", "--key-file", str(tmp_path / "my-key"))
    assert refused.returncode == 2
    assert "key" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights elsewhere")
def test_a_key_file_that_others_read_is_warned_about(start_service, tmp_path):
    """A world-readable key file, as containers mount them, is taken with a warning; a closed one without."""
    for mode, warned in ((0o644, True), (0o640, False)):
        (tmp_path / "my-key").write_text("a-key-of-my-own\n")
        (tmp_path / "my-key").chmod(mode)
        service = start_service("--key-file", str(tmp_path / "my-key"), key="a-key-of-my-own")
        assert service.ask("GET", "/user/userdata").status_code == 200
        assert ("chmod 600" in (tmp_path / "stderr.txt").read_text()) == warned
        service.stop()
        (tmp_path / "stderr.txt").unlink()


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights elsewhere")
def test_a_key_file_that_anybody_may_write_is_refused(tmp_path):
    """Whoever can write the key file could choose the key: the start ends with 2 and the cure."""
    (tmp_path / "my-key").write_text("a-key-of-my-own\n")
    (tmp_path / "my-key").chmod(0o666)
    refused = run_to_end(tmp_path / "data", "--key-file", str(tmp_path / "my-key"))
    assert (refused.returncode, "chmod 600" in refused.stderr) == (2, True)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights elsewhere")
def test_a_key_of_ours_is_closed_to_others_again(start_service, tmp_path):
    """A key in the data folder that a copy has opened to others gets its rights back, with a warning."""
    service = start_service()
    service.stop()
    (service.folder / "key").chmod(0o644)
    assert start_service().key == service.key
    assert stat.S_IMODE((service.folder / "key").stat().st_mode) == 0o600
    assert "Others could read" in (tmp_path / "stderr.txt").read_text()


def test_another_address_needs_a_key_file(tmp_path):
    """On an address that others can reach, a key file is demanded."""
    refused = run_to_end(tmp_path / "data", "--host", "0.0.0.0")  # noqa: S104 -- it is refused
    assert refused.returncode == 2
    assert "--key-file" in refused.stderr


def test_on_another_address_links_name_what_the_client_named(start_service, tmp_path):
    """There, each name of the service is good, with a port or without, and links carry it; what is no name is not."""
    (tmp_path / "my-key").write_text("k" * 32)
    (tmp_path / "my-key").chmod(0o600)
    options = ("--host", "0.0.0.0", "--key-file", str(tmp_path / "my-key"))  # noqa: S104 -- what is tried out
    service = start_service(*options, key="k" * 32)
    service.url = service.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    code = service.create()
    for header, name in (("studio.example:80", "studio.example"), ("studio", "studio"), ("[::1]:80", "[::1]")):
        answer = service.ask("GET", f"/image-to-3d-sessions/{code}", headers={"Host": header})
        assert answer.json()["data"]["preview_mesh_url_glb"].startswith(f"http://{name}:")
    for header in ("", "a b", "name:port", "name/path", "a@b", "[::1"):
        assert service.ask("GET", f"/image-to-3d-sessions/{code}", headers={"Host": header}).status_code == 403


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--port", "70000"), "port"),
        (("--workers", "0"), "Workers"),
        (("--mesh-limit", "0"), "limits"),
        (("--host", "203.0.113.1"), "key"),
    ],
)
def test_bad_arguments_end_the_start(tmp_path, options, words):
    """A bad argument ends it with 2 and a sentence."""
    refused = run_to_end(tmp_path / "data", *options)
    assert (refused.returncode, words in refused.stderr) == (2, True)


def test_a_port_in_use_ends_the_start(start_service, tmp_path):
    """A port that is taken ends it with 2 and names it."""
    port = start_service().url.rpartition(":")[2]
    refused = run_to_end(tmp_path / "other", "--port", port)
    assert refused.returncode == 2
    assert port in refused.stderr


def test_two_services_never_share_a_folder(start_service):
    """The second one ends with 2 and a sentence; the first one works on; after it has ended, the folder is free."""
    service = start_service()
    refused = run_to_end(service.folder)
    assert refused.returncode == 2
    assert "Another service is running" in refused.stderr
    assert service.ask("GET", "/user/userdata").status_code == 200
    service.process.kill()
    service.process.wait()
    assert start_service().ask("GET", "/user/userdata").status_code == 200


def test_sessions_survive_a_restart(start_service, stalled_blender):
    """Sessions and files are the same after a restart."""
    service = start_service("--blender", stalled_blender)
    code = service.create()
    before = service.session(code)
    service.stop()
    service = start_service("--blender", stalled_blender)
    after = service.session(code)
    assert {name: value for name, value in after.items() if "url" not in name} == {
        name: value for name, value in before.items() if "url" not in name
    }
    assert requests.get(after["preview_mesh_url_glb"], timeout=10).status_code == 200


def test_a_stop_ends_the_refine_and_the_next_start_goes_on(start_service, stalled_blender):
    """SIGTERM during a refine ends its process within 2 s; the next start refines the session to its end."""
    service = start_service("--blender", stalled_blender)
    code = service.create()
    service.order(code, scaled_bbox=[1, 2, 3])
    child = started_process(service, code)
    assert service.stop() < 2
    wait_for(lambda: not is_alive(child), 2)
    service = start_service()
    assert service.refined(code)["status"] == "refine_done"


def test_a_refine_that_never_ends_is_given_up(start_service, stalled_blender):
    """After three starts in the middle of the same refine, it ends in refine_failed with a sentence."""
    code = ""
    for _ in range(3):
        service = start_service("--blender", stalled_blender)
        code = code or service.create()
        service.order(code)
        child = started_process(service, code)
        service.stop(signal.SIGKILL)
        os.killpg(child, signal.SIGKILL)
    service = start_service("--blender", stalled_blender)
    assert service.refined(code)["status"] == "refine_failed"
    assert "never ended" in service.session(code)["error_message"]


def test_a_cancel_ends_one_process(start_service, stalled_blender):
    """Cancelling ends that refine in refine_failed, at once, and no other; it may be ordered again."""
    service = start_service("--blender", stalled_blender, "--workers", "2")
    first, second = service.create(), service.create()
    service.order(first)
    service.order(second)
    children = [started_process(service, code) for code in (first, second)]
    answer = service.ask("DELETE", f"/local/sessions/{first}/refine")
    assert answer.json()["data"]["status"] == "refine_failed"
    assert "cancelled" in answer.json()["data"]["error_message"]
    wait_for(lambda: not is_alive(children[0]), 2)
    assert is_alive(children[1])
    assert service.session(second)["status"] == "training_refine"
    assert service.ask("DELETE", f"/local/sessions/{first}/refine").status_code == 409
    assert service.order(first).status_code == 200
    assert service.session(first)["status"] == "training_refine"


def test_a_cancel_leaves_nothing_on_the_disk(start_service, stalled_blender):
    """The folder of a cancelled refine goes, of one that runs and of one that waits since a service was killed."""
    service = start_service("--blender", stalled_blender, "--workers", "2")
    codes = [service.create(), service.create()]
    for code in codes:
        service.order(code)
        os.killpg(started_process(service, code), signal.SIGSTOP)
    service.stop(signal.SIGKILL)
    for code in codes:
        os.killpg(started_process(service, code), signal.SIGKILL)
    service = start_service("--blender", stalled_blender, "--workers", "1")
    runs = [next((service.folder / "sessions" / code).glob("*/scratch")).parent for code in codes]
    for code in reversed(codes):  # the second one while it waits
        assert service.ask("DELETE", f"/local/sessions/{code}/refine").status_code == 200
    wait_for(lambda: not any(run.exists() for run in runs), 10)
    assert all((service.folder / "sessions" / code / "original").is_dir() for code in codes)


@pytest.mark.parametrize("stage", ["preview_done", "waiting", "running", "refine_done"])
def test_a_session_is_deleted_with_its_files(start_service, stalled_blender, waiting_blender, tmp_path, stage):
    """A deleted session is gone with its files and its refine, after a restart too; another one stays."""
    is_done = stage == "refine_done"
    service = start_service("--blender", waiting_blender if is_done else stalled_blender, "--workers", "1")
    (tmp_path / "go").touch()
    code, other = service.create(), service.create()
    child = 0
    if stage == "waiting":
        service.order(other)
        started_process(service, other)
    if stage in ("waiting", "running"):
        service.order(code)
        child = started_process(service, code) if stage == "running" else 0
    if is_done:
        assert service.refine(code)["status"] == "refine_done"
    answer = service.ask("DELETE", f"/local/sessions/{code}")
    assert (answer.status_code, answer.json()["data"]) == (200, {})
    assert not child or not is_alive(child)
    wait_for(lambda: not (service.folder / "sessions" / code).exists())
    for method, path in (("GET", f"/image-to-3d-sessions/{code}"), ("DELETE", f"/local/sessions/{code}")):
        assert service.ask(method, path).status_code == 404
    service.stop()
    service = start_service("--blender", stalled_blender)
    assert service.ask("GET", "/image-to-3d-sessions").json()["data"]["total"] == 1
    assert service.session(other)["session_code"] == other
    assert "files are kept" not in (tmp_path / "stderr.txt").read_text()


def test_the_client_deletes_a_session(start_service):
    """The client deletes a session, and reports one that does not exist and what is no code."""
    service = start_service()
    code, client = service.create(), Client(service.url, Secret(service.key), is_online=lambda: True)
    client.delete_session(code)
    with pytest.raises(SessionUnknown):
        client.delete_session(code)
    with pytest.raises(InputError):
        client.delete_session("../users/me")


def test_a_deleted_session_does_not_come_back(start_service):
    """Recovery of a damaged database does not bring back a session that was deleted, of which pages still tell."""
    service = start_service()
    code, other = service.create(), service.create()
    assert service.ask("DELETE", f"/local/sessions/{code}").status_code == 200
    service.stop()
    (service.folder / "sessions" / code).mkdir()  # as where it could not be deleted
    with contextlib.closing(sqlite3.connect(service.folder / "sessions" / "sessions.sqlite")) as database, database:
        database.execute("INSERT INTO removed VALUES (?)", (code,))
        database.execute("UPDATE sessions SET document = document || ' broken' WHERE code = ?", (other,))
    service = start_service()
    assert service.ask("GET", f"/image-to-3d-sessions/{code}").status_code == 404
    assert service.session(other)["session_code"] == other
    assert not (service.folder / "sessions" / code).exists()


def test_a_failed_refine_leaves_its_log_alone(start_service, crashing_blender):
    """Of a refine that failed, the log stays to be read, and the scratch folder goes."""
    service = start_service("--blender", crashing_blender)
    code = service.create()
    service.refine(code)
    (run,) = (path.parent for path in (service.folder / "sessions" / code).glob("*/log.txt"))
    assert not (run / "scratch").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of a process that runs")
def test_a_disk_that_is_full_for_a_while_costs_no_worker_and_no_result(start_service, waiting_blender, tmp_path):
    """Where the store cannot take a refine's end, that is written once it can; the only worker lives, and goes on."""
    os.mkfifo(tmp_path / "stderr.txt")  # of what it says, no file's limit holds back anything
    said, stderr = bytearray(), os.open(tmp_path / "stderr.txt", os.O_RDONLY | os.O_NONBLOCK)
    service = start_service("--blender", waiting_blender, "--workers", "1")
    done, started_without_room, later = (service.create() for _ in range(3))

    def has_failed_to_start() -> bool:
        with contextlib.suppress(BlockingIOError):
            said.extend(os.read(stderr, 1 << 16))
        return f"the refine of {started_without_room} could not be run".encode() in said

    service.order(done)
    service.order(started_without_room)
    started_process(service, done)
    with no_room(service.process.pid):
        (tmp_path / "go").touch()
        wait_for(has_failed_to_start)
        assert service.session(done)["status"] == "training_refine"
    assert service.refined(done)["status"] == "refine_done"
    assert service.refined(started_without_room)["status"] == "refine_failed"
    assert service.refine(later)["status"] == "refine_done"
    os.close(stderr)


def test_an_end_that_cannot_be_written_keeps_no_service_that_nobody_uses(waiting_blender, tmp_path):
    """It does not count as work, so a service ends unused on a full disk, too; the next one takes the session up."""
    sessions = Sessions(tmp_path / "sessions")
    refining = RefineQueue(sessions, find_background_blender(waiting_blender), workers=1)
    (tmp_path / "mesh.glb").write_bytes(sample_meshes.glb())
    session = sessions.order_refine(sessions.create(tmp_path / "mesh.glb", MeshKind.GLB).code, Order())
    refining.start()
    wait_for((sessions.run_folder(session) / "pid").exists)
    sessions._database.execute("PRAGMA query_only = ON")
    (tmp_path / "go").touch()
    wait_for(lambda: not refining.is_busy())
    refining.stop()
    assert [found.run for found in sessions.unfinished()] == [session.run]
    sessions.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of a process that runs")
def test_a_full_disk_does_not_spoil_the_end(start_service):
    """A service whose log cannot be written ends as cleanly as any other."""
    service = start_service()
    with no_room(service.process.pid):
        assert service.ask("GET", "/local/info").status_code == 200
        service.stop()
    assert service.process.returncode == 0


def test_no_more_refines_run_than_there_are_workers(start_service, stalled_blender):
    """With one worker the second refine waits, and can be cancelled while it does."""
    service = start_service("--blender", stalled_blender, "--workers", "1")
    first, second = service.create(), service.create()
    service.order(first)
    started_process(service, first)
    service.order(second)
    info = service.ask("GET", "/local/info").json()["data"]
    assert (info["running"], info["waiting"]) == (1, 1)
    assert service.ask("DELETE", f"/local/sessions/{second}/refine").status_code == 200
    assert service.session(second)["status"] == "refine_failed"
    assert service.ask("GET", "/local/info").json()["data"]["waiting"] == 0


def test_a_crash_costs_one_refine(start_service, crashing_blender):
    """A Blender that dies ends in refine_failed with a sentence that names the signal; the service works on."""
    service = start_service("--blender", crashing_blender)
    session = service.refine(service.create())
    assert session["status"] == "refine_failed"
    assert session["session_status"] == "failed"
    assert "SIGSEGV" in session["error_message"]
    assert service.ask("GET", "/user/userdata").status_code == 200


def test_a_program_that_is_none_fails_the_refine(start_service, tmp_path):
    """A Blender that cannot be started ends in refine_failed, and the worker goes on."""
    service = start_service("--blender", str(tmp_path / "python_missing"), "--workers", "1")
    for _ in range(2):
        assert service.refine(service.create())["status"] == "refine_failed"


def test_a_refine_has_a_time_limit(start_service, stalled_blender):
    """A refine that takes longer than the limit is ended, with a sentence."""
    service = start_service("--blender", stalled_blender, "--time-limit", "0.3")
    code = service.create()
    session = service.refine(code)
    assert session["status"] == "refine_failed"
    assert "longer than" in session["error_message"]


def test_rungs_that_never_end_leave_the_cleaned_mesh_its_time(start_service, tmp_path):
    """With a time limit far below a rung's own, hanging rungs are ended, and what follows them finishes the refine."""
    report = json.dumps({"ok": True, "formats": ["glb"], "method": "cleaned", "notes": []})
    program = tmp_path / "python_hanging"
    program.write_text(
        f"#!/bin/sh\ncase \"$*\" in *remesh.run_method*) sleep 1000 & wait;; esac\necho '{report}' > ../report.json\n"
    )
    program.chmod(0o755)
    service = start_service("--blender", str(program), "--time-limit", "4")
    session = service.refine(service.create(), topology="tris", faces=2_000_000)
    assert (session["status"], session["method"]) == ("refine_done", "cleaned"), session["error_message"]
    assert service.log().count("remesh.run_method started") == 1


def test_no_child_inherits_the_key(start_service, tmp_path):
    """The refining process does not find CSM_API_KEY in its environment."""
    program = tmp_path / "python_telling"
    program.write_text("#!/bin/sh\nenv > ../told.txt\nexit 1\n")
    program.chmod(0o755)
    service = start_service("--blender", str(program), key="k" * 32, variables={"CSM_API_KEY": "k" * 32})
    code = service.create()
    service.refine(code)
    (told,) = (service.folder / "sessions" / code).glob("*/told.txt")
    assert "PATH=" in told.read_text()
    assert "k" * 32 not in told.read_text()


def test_a_service_without_users_is_unused_after_a_while():
    """A service without leases is unused after the grace period, unless a refine is running or a client has a lease."""
    now = [100.0]
    users = ClientLeases(clock=lambda: now[0])
    assert not users.is_unused(is_busy=False)
    now[0] += GRACE_S
    assert users.is_unused(is_busy=False)
    assert not users.is_unused(is_busy=True)
    now[0] += GRACE_S - 1
    assert not users.is_unused(is_busy=False)


def test_the_service_outlives_its_last_lease_by_the_grace_period():
    """After the last lease is released or expires, the service runs on for the grace period and no longer."""
    now = [0.0]
    users = ClientLeases(clock=lambda: now[0])
    users.acquire("a")
    users.acquire("b")
    now[0] += LEASE_S - 1
    users.acquire("b")
    assert users.count() == 2
    users.release("a")
    now[0] += LEASE_S
    assert users.count() == 0
    assert not users.is_unused(is_busy=False)
    now[0] += GRACE_S - 0.1
    assert not users.is_unused(is_busy=False)
    now[0] += 0.2
    assert users.is_unused(is_busy=False)


def test_expired_leases_are_removed():
    """A service that runs for weeks stores current leases only."""
    now = [0.0]
    users = ClientLeases(clock=lambda: now[0])
    for number in range(100):
        users.acquire(f"user-{number}")
        now[0] += LEASE_S / 2
    assert users.count() == 1
    assert len(users._expiries) <= 2


def test_a_service_started_on_demand_ends_by_itself(start_service):
    """With --until-unused and no user it ends with 0, and takes its endpoint file along."""
    service = start_service("--until-unused")
    assert service.process.wait(30) == 0
    assert not (service.folder / "endpoint.json").exists()
