"""Finding the local service: a file that a killed one has left names whoever listens there now, who gets no key."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from csm_refine_addon.core.errors import ServiceUnreachable
from csm_refine_addon.core.keys.proof import proof
from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.processes.local_service import KeyOrigin, LocalService, endpoint
from csm_refine_addon.core.storage.home import Home
from tests.support.api_server import KEY, Answer, Seen, envelope, refusal

OWN_KEY = "the-key-of-the-local-service"
NO_PYTHON = "/there/is/no/python"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CSM_API_KEY", KEY)
    found = Home(tmp_path / "home").ensure()
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
