"""Finding the local service: a file that a killed one has left names whoever listens there now, who gets no key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import ServiceUnreachable
from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.processes.local_service import KeyOrigin, LocalService, endpoint
from csm_refine_addon.core.providers.key_proof import proof
from tests.core.terminal import ended
from tests.support import sample_meshes
from tests.support.api_server import KEY, Answer, Seen, envelope, refusal

OWN_KEY = "the-key-of-the-local-service"
NO_PYTHON = "/there/is/no/python"
AT_ONCE_S = 10.0
"""Far above the second that it takes, and below the 30 s that a service has to start."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CSM_API_KEY", KEY)
    found = DataDir(tmp_path / "home").ensure()
    found.service.mkdir(parents=True)
    (found.service / "key").write_text(OWN_KEY)
    return found


def found(home, api, key: str, **changes) -> tuple[str, Secret] | None:
    """What is found where this process is said to be a service that listens where the served API does."""
    said = {**endpoint(api.url, KeyOrigin(key)), **changes}
    (home.service / "endpoint.json").write_text(json.dumps(said))
    try:
        return LocalService(home, python=NO_PYTHON).find_or_start(lambda _seconds: True)
    except ServiceUnreachable:  # it would have been started
        return None


def keys_shown(api) -> set[str]:
    return {seen.headers["x-api-key"] for seen in api.seen if "x-api-key" in seen.headers}


def answering(api, answer: Answer, key: str = "") -> None:
    """Have the served API give this answer to each request, but a proof where it has a key."""

    def answered(seen: Seen) -> Answer:
        if not key or seen.path != "/local/proof":
            return answer
        challenge = seen.query.removeprefix("challenge=")
        return Answer(200, envelope({"proof": proof(Secret(key), challenge, api.url)}))

    api._server.answer = answered


@pytest.mark.parametrize(("origin", "key"), [("environment", KEY), ("folder", OWN_KEY)])
def test_each_service_gets_its_own_key(home, api, origin, key):
    """The environment's key goes only to a service that was started with it, the folder's only to one with that."""
    answering(api, Answer(200, envelope({})), key)
    assert found(home, api, origin) == (api.url, Secret(key))
    assert keys_shown(api) == {key}


@pytest.mark.parametrize("origin", ["environment", "folder", "file"])
@pytest.mark.parametrize("key", ["", KEY, OWN_KEY])
def test_a_program_without_the_key_gets_none(home, api, origin, key):
    """No key is sent to what proves none, or another one; the vendor's key is not tried where the local one fails."""
    right = {"environment": KEY, "folder": OWN_KEY}.get(origin)
    answering(api, refusal(401), key)
    assert found(home, api, origin) is None
    assert keys_shown(api) == ({key} if key and key == right else set())


@pytest.mark.skipif(os.name != "posix", reason="whether a process lives is not looked at there")
@pytest.mark.parametrize("origin", ["environment", "folder"])
def test_a_service_that_was_killed(home, api, origin):
    """Where its process is gone, whoever listens at its address is not asked at all."""
    answering(api, Answer(200, envelope({})))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert found(home, api, origin, pid=gone.pid) is None
    assert api.seen == []


def test_a_service_in_a_sandbox(home, api):
    """Where numbers of processes mean something else, as in a sandbox, the process cannot be looked for."""
    answering(api, Answer(200, envelope({})), OWN_KEY)
    assert found(home, api, "folder", pid=2**22 + 1, pids="pid:[1]") == (api.url, Secret(OWN_KEY))


@pytest.mark.parametrize("said", [{"url": "http://127.0.0.1:1", "pid": 1}, [], {"key": 3}, "nonsense"])
def test_an_endpoint_file_of_another_form(home, api, said):
    """One that says less, or nothing, is none."""
    (home.service / "endpoint.json").write_text(json.dumps(said))
    with pytest.raises(ServiceUnreachable):
        LocalService(home, python=NO_PYTHON).find_or_start(lambda _seconds: True)


# --- a service that does not start


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo Traceback; echo \"ModuleNotFoundError: No module named 'one'\"",
            "ModuleNotFoundError: No module named 'one'.",
        ),
        ("echo '2026-01-01 12:00:00,000 WARNING It is late.'", "It is late."),
        (f"echo the key is {KEY}", "the key is [taken out]."),
        ("exit 3", "exit code 3."),
        ("kill -9 $$", "signal 9."),
    ],
)
def test_what_it_says_is_the_error(home, tmp_path, script, reason):
    """The last line that the service wrote since its start, or its exit code, is in the error, and at once."""
    (home.service / "service.log").write_text("An older trouble.\n")
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\nexit 1\n")
    program.chmod(0o755)
    started = time.monotonic()
    with pytest.raises(ServiceUnreachable) as caught:
        LocalService(home, python=str(program)).find_or_start(threading.Event().wait)
    assert caught.value.message == f"The local service does not start: {reason}"
    assert str(home.service / "service.log") in caught.value.action
    assert time.monotonic() - started < AT_ONCE_S


def test_a_command_says_why_it_does_not_start(terminal):
    """A data folder that the service cannot use is named in the JSON object, and on stderr."""
    terminal.home.service_folder()
    (terminal.home.service / "sessions").write_text("")
    mesh = terminal.folder / "mesh.glb"
    mesh.write_bytes(b"")
    done = terminal.run("create", str(mesh), "--service", "local", "--json", CSM_REFINE_BLENDER="blender")
    assert (done.code, done.document["error"]["code"]) == (7, "service_unreachable")
    assert "cannot be used" in done.document["error"]["message"]
    assert done.document["error"]["message"] in done.err
    assert done.document["seconds"] < AT_ONCE_S


def test_two_that_start_it_at_once(terminal, tmp_path):
    """One of the two services finds the folder locked and ends; both commands use the other."""
    mesh = terminal.folder / "mesh.glb"
    mesh.write_bytes(sample_meshes.glb())
    both = [terminal.start("create", str(mesh), "--service", "local", CSM_REFINE_BLENDER="blender") for _ in range(2)]
    assert [ended(process).code for process in both] == [0, 0]
    said = json.loads((terminal.home.service / "endpoint.json").read_text())
    os.kill(said["pid"], signal.SIGTERM)
