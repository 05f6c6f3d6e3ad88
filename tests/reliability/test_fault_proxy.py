"""The proxy of faults itself: it changes nothing by itself, does what its file says, and says what it cannot do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import requests

from tests.support.api_server import CODE, KEY, REFINE, SESSIONS, TRIANGLE_OBJ, Api, session_2024, wait_until
from tests.support.faults import FAULTS, FaultFileError, FaultProxy, Plan, Rule, Stage, read_plan
from tests.support.faults.page import list_of_faults
from tests.support.faults.table import Moment
from tests.support.repository import ROOT

SESSION = f"{SESSIONS}/{CODE}"


@pytest.fixture
def api():
    with Api() as served:
        served.before = [session_2024("preview_done", "mesh.obj")]
        yield served


def ask(proxy, path, method="GET", **options):
    return requests.request(method, proxy.url + path, headers={"x-api-key": KEY}, timeout=5, **options)


def fails(proxy, path=SESSION, method="GET"):
    try:
        return ask(proxy, path, method).status_code
    except requests.RequestException as error:
        return type(error).__name__


def test_without_rules_nothing_changes(api):
    """Answers come as they are, but for mesh URLs, which lead through the proxy to the same file."""
    with FaultProxy(api.url) as proxy:
        through = ask(proxy, SESSION).json()
        url = through["data"].pop("mesh_url_obj")
        direct = requests.get(api.url + SESSION, timeout=5).json()
        assert direct["data"].pop("mesh_url_obj").startswith(api.storage.url)
        del through["data"]["preview_mesh_url_glb"], direct["data"]["preview_mesh_url_glb"]
        assert through == direct
        assert url.startswith(proxy.mesh_url)
        assert requests.get(url, timeout=5).content == TRIANGLE_OBJ
        assert requests.get(url, headers={"Range": "bytes=10-"}, timeout=5).content == TRIANGLE_OBJ[10:]
    assert api.seen[0].headers["x-api-key"] == KEY
    assert all("x-api-key" not in seen.headers for seen in api.storage.seen)


def test_nonsense_ends_one_connection(api):
    """What is no HTTP is hung up on, and the next request is answered."""
    with FaultProxy(api.url) as proxy:
        host, port = proxy.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            assert connection.recv(100) == b""
        assert fails(proxy) == 200


def test_only_what_the_service_took_counts(api):
    """A refine that a fault kept from the service is none; one whose answer was lost is one."""
    with FaultProxy(api.url, Plan([Rule("500-html", times=1), Rule("reset-after", nth=2, times=1)])) as proxy:
        assert fails(proxy, REFINE, "POST") == 500
        assert proxy.accepted == 0
        assert fails(proxy, REFINE, "POST") == "ConnectionError"
        assert proxy.accepted == 1
        assert fails(proxy, REFINE, "POST") == 200
        assert (proxy.accepted, api.taken) == (2, 2)


def test_which_request_is_hit(api):
    """A rule hits from its nth request on, so many times, at its stage, method and path; stages follow the refine."""
    rules = [
        Rule("401", Stage.BASELINE, nth=2, times=1),
        Rule("404", Stage.POLL, times=1),
        Rule("402", method="PUT", path="/local/*"),
    ]
    with FaultProxy(api.url, Plan(rules)) as proxy:
        assert [fails(proxy) for _ in range(3)] == [200, 401, 200]
        assert fails(proxy, REFINE, "POST") == 200
        assert [fails(proxy) for _ in range(2)] == [404, 200]
        assert fails(proxy, "/local/users/x", "PUT") == 402
        proxy.apply(Plan([]))
        assert fails(proxy, "/local/users/x", "PUT") == 404


def test_rules_are_combined(api):
    """Each rule that fits acts: an answer can be both another one and cut."""
    rules = [Rule("unknown-status"), Rule("answer-cut", at=0.2)]
    with FaultProxy(api.url, Plan(rules)) as proxy:
        assert fails(proxy) == "ChunkedEncodingError"
        assert (proxy.hits["unknown-status"], proxy.hits["answer-cut"]) == (1, 1)
        proxy.apply(Plan(rules[:1]))
        assert ask(proxy, SESSION).json()["data"]["status"] == "polishing_normals"


def test_refused_goes_by_what_comes_next(api):
    """Nobody listens while a client is about to send its refine; once that is over, the port is the same."""
    with FaultProxy(api.url, Plan([Rule("refused", Stage.POST)])) as proxy:
        assert fails(proxy) == 200
        assert fails(proxy, REFINE, "POST") == "ConnectionError"
        assert len(proxy.seen) == 1
        proxy.apply(Plan([]))
        assert fails(proxy, REFINE, "POST") == 200


def test_a_refusal_ends_after_its_seconds(api):
    """Where nobody is there to take the rule out, the clock does."""
    with FaultProxy(api.url, Plan([Rule("refused", Stage.BASELINE, seconds=0.2)])) as proxy:
        assert fails(proxy) == "ConnectionError"
        assert wait_until(lambda: fails(proxy) == 200)


def test_an_unknown_certificate(api, tmp_path):
    """A client that trusts the authority gets through, but for the connections that show another's certificate."""
    authority = str(tmp_path / "authority.pem")
    with FaultProxy(api.url, Plan([Rule("certificate", Stage.BASELINE, times=1)], authority)) as proxy:
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(proxy, SESSION, verify=authority)
        assert ask(proxy, SESSION, verify=authority).status_code == 200


def written(folder, content):
    path = folder / "faults.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_file_of_the_docs(tmp_path):
    """The example in docs/faults.md is one that can be used."""
    page = (ROOT / "docs" / "faults.md").read_text()
    plan = read_plan(written(tmp_path, page.split("```json\n")[1].split("```")[0]))
    assert [rule.fault for rule in plan.rules] == ["429-seconds", "reset-after", "mesh-cut", "drip"]
    assert (plan.rules[0].stage, plan.rules[0].times, plan.rules[1].nth) == (Stage.POST, 2, 4)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ([], 'must hold an object with a list of "rules"'),
        ({"rules": [], "rule": 1}, '"rule" is not known'),
        ({"rules": [], "tls": 1}, '"tls" must be the name of a file'),
        ({"rules": ["401"]}, "Rule 1 must be an object."),
        ({"rules": [{"fault": "401"}, {"fault": "429-second"}]}, 'Rule 2 names .* mean "429-seconds"'),
        ({"rules": [{}]}, "Rule 1 names no fault that is known"),
        ({"rules": [{"fault": "401", "after": 1}]}, 'unknown key "after"; known are fault, stage'),
        ({"rules": [{"fault": "expired", "stage": "POST"}]}, '"expired" cannot hit the stage "POST", but download'),
        ({"rules": [{"fault": "dns-failure", "stage": "POST"}]}, "but download"),
        ({"rules": [{"fault": "401", "times": 0}]}, '"times" must be a whole number from 1 on, or null'),
        ({"rules": [{"fault": "mesh-cut", "at": 2}]}, '"at" must be a number from 0 to 1'),
        ({"rules": [{"fault": "drip", "seconds": "1"}]}, '"seconds" must be a number'),
        ({"rules": [{"fault": "asleep"}]}, "the client's own machine"),
        ({"rules": [{"fault": "certificate"}]}, 'needs "tls"'),
        ({"rules": [{"fault": "refused", "path": "/x"}]}, "give a stage instead"),
    ],
)
def test_mistakes_in_the_file(tmp_path, content, sentence):
    """Each mistake is named in a sentence, with its rule."""
    with pytest.raises(FaultFileError, match=sentence) as caught:
        read_plan(written(tmp_path, content))
    assert str(caught.value).endswith((".", "?"))


def test_the_list_in_the_docs():
    """docs/faults.md lists every fault that the proxy can do, as the table tells it."""
    page = (ROOT / "docs" / "faults.md").read_text()
    assert page.endswith(list_of_faults() + "\n"), "python -m tests.support.faults.page prints what is to stand there"


def test_every_fault_tells_what_it_does():
    """Each entry has a sentence, and a stage that it can hit."""
    assert all(fault.text.endswith((".", ")")) and fault.stages for fault in FAULTS.values())
    assert any(fault.moment is Moment.MACHINE for fault in FAULTS.values())


def start(path, folder, *more):
    command = [sys.executable, str(ROOT / "scripts" / "serve.py"), "--faults", str(path), "--data", str(folder), *more]
    environment = {**os.environ, "CSM_API_KEY": KEY, "PYTHONSAFEPATH": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_the_service_with_faults(tmp_path):
    """serve.py --faults: the faults are there, end when the file is changed, and a mistake leaves them as they are."""
    path = written(tmp_path, {"rules": [{"fault": "402", "path": "/user/userdata"}]})
    with start(path, tmp_path / "data", "--port", "0") as process:
        try:
            url = process.stdout.readline().removeprefix("listening on ").strip()

            def status():
                return requests.get(f"{url}/user/userdata", headers={"x-api-key": KEY}, timeout=5).status_code

            assert status() == 402
            written(tmp_path, '{"rules": [{"fault": "nonsense"}]}')
            assert "names no fault" in process.stderr.readline()
            assert status() == 402
            written(tmp_path, {"rules": []})
            wait_until(lambda: status() == 200)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(20)
    assert code == 0


def test_the_service_with_a_mistake(tmp_path):
    """A file that cannot be used ends serve.py with a sentence and exit code 2, before anything listens."""
    with start(written(tmp_path, "[]"), tmp_path / "data") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert 'a list of "rules"' in err
    assert "Traceback" not in err
