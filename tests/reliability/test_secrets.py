"""Keys, signatures and the account's e-mail are looked for in everything that is written or visible.

The service of these tests tells what it knows: each answer, good or bad, repeats the key, a signed address and the
account. What the user's own process was given, it may have: its variables, and Blender's preferences.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import bpy
import pytest
import zstandard

from csm_refine_addon.blender.jobs import job_list, job_monitor
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import RefineFailed
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import Job, JobState as S
from tests.core.harness import copying_blender
from tests.core.terminal import Terminal
from tests.reliability.faults_cases import Case, network_cases
from tests.reliability.faults_trial import Seen, Trial
from tests.reliability.secrets_search import SECRETS, Places, ProcessWatch, forms, found_in
from tests.reliability.secrets_telling import (
    Listening,
    logged,
    make_telling,
    rollback_file,
    telling_api,
    texts_of,
    texts_of_error,
)
from tests.reliability.test_faults import opened  # noqa: F401 -- a fixture
from tests.support import panel, sample_meshes, scenes
from tests.support.api_server import CODE, KEY, Api, html, refine_ack, session_2024, wait_until
from tests.support.repository import ROOT


@pytest.fixture(scope="module")
def all_rows(note):
    found: dict[str, dict[str, Any]] = {}
    yield found
    note("secrets", [{**row, "found": len(row["found"])} for row in found.values()])


@pytest.fixture
def places(all_rows):
    """Where a test looks; what all of them have looked at becomes the report."""
    looked = Places()
    yield looked
    for kind, row in looked.rows.items():
        kept = all_rows.setdefault(kind, {"where": kind, "looked at": 0, "bytes": 0, "found": []})
        kept.update({name: kept[name] + row[name] for name in ("looked at", "bytes", "found")})


# --- the search itself


def packed(content: bytes) -> dict[str, bytes]:
    """Return some bytes as they stand in files of several kinds."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a/b.txt", content)
    return {
        "plain": content,
        "gzip": gzip.compress(content),
        "zstandard": zstandard.compress(content[: len(content) // 2])
        + zstandard.compress(content[len(content) // 2 :]),
        "zip in gzip": gzip.compress(archive.getvalue()),
    }


@pytest.mark.parametrize("name", SECRETS)
def test_a_planted_leak_is_found(name):
    """Each secret is found in every form and file: encoded, escaped, cut in two, in a log, in a compressed .blend."""
    secret = SECRETS[name]
    half = max(12, len(secret) // 2)
    leaks = {form: min(looks) for form, looks in forms(secret).items()}
    leaks |= {
        "base64 in a sentence": base64.b64encode(f"x {secret} x".encode()),
        "a part": secret[:half].encode(),
        "in lines": "\n".join(secret).encode(),
        "in quotes": f"'{secret[:5]}' + '{secret[5:]}'".encode(),
        "UTF-16": secret.encode("utf-16-le"),
    }
    for form, leak in leaks.items():
        for kind, content in packed(b"x" * 1000 + leak + b"y" * 1000).items():
            assert found_in(content) == {name}, (form, kind)
    assert found_in(b"x" * 1000) == set()


def test_a_leak_in_a_process_list_is_found(places):
    """A process that has the key in an argument, or in a variable, is noticed."""
    with ProcessWatch(places) as watch:
        variables = {**os.environ, ProcessWatch.VARIABLE: watch.mark}
        sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
        processes = [
            subprocess.Popen([*sleeping, KEY], env=variables),
            subprocess.Popen(sleeping, env={**variables, "SOME_KEY": KEY}),
            subprocess.Popen(sleeping, env=variables),
        ]
        wait_until(lambda: len(watch._leaks) >= 2)
        for process in processes:
            process.kill()
            process.wait()
    assert {pid for pid, _kind in watch._leaks} == {processes[0].pid, processes[1].pid}
    assert len(places.found) == 2
    places.rows.clear()  # they were planted


# --- every fault


def pytest_generate_tests(metafunc):
    """One stage of each fault in the short run, every one else."""
    if "case" in metafunc.fixturenames:
        cases = network_cases()
        if metafunc.config.getoption("--length") == "short":
            cases = list({case.fault: case for case in reversed(cases)}.values())
        metafunc.parametrize("case", cases, ids=lambda case: f"{case.name} @ {case.stage}")


def test_every_fault(case: Case, request, places):
    """Whatever goes wrong, on the way and afterwards: not in journal, files, log, sentences, exceptions."""
    trial: Trial = request.getfixturevalue("opened")(case)
    make_telling(trial)
    jobs: list[Job] = []
    with logged(places):
        trial.client = Listening(trial.client, places)
        begin = trial.on_enter
        trial.on_enter = lambda job: (begin(job), jobs.append(job))[0]
        seen: Seen = trial.drive(trial.add())
    assert trial.proxy.hits[case.fault]
    for job in [*jobs, seen.job]:
        for kind, text in texts_of(job).items():
            places.look(kind, text, str(job.state))
    if seen.error is not None:
        places.look("exceptions", texts_of_error(seen.error))
    places.look_into("journal, meshes and logs of the home folder", trial.house.home.folder)
    places.look("the journal's rollback file", rollback_file(trial.house.home))
    assert places.found == []


# --- every command


def in_a_state(api: Api, state: S, **changes: Any) -> Job:
    return panel.job(state, service=api.url, poll_first_s=0.05, poll_longest_s=0.1, **changes)


COMMANDS: dict[str, tuple[tuple[str, ...], S | None]] = {
    "submit": (("submit", CODE), None),
    "submit --again": (("submit", "--again", "JOB"), S.FAILED),
    "status CODE": (("status", CODE), None),
    "status JOB": (("status", "JOB"), S.RUNNING),
    "status of another": (("status", "SESSION_1_2"), None),
    "wait": (("wait", "JOB", "--timeout", "30"), S.RUNNING),
    "wait for all": (("wait", "--timeout", "30"), S.RUNNING),
    "wait for none": (("wait", "nobody"), None),
    "fetch": (("fetch", "JOB"), S.RUNNING),
    "fetch what failed": (("fetch", "JOB"), S.FAILED),
    "place": (("place", "JOB"), S.READY),
    "stop": (("stop", "JOB"), S.RUNNING),
    "jobs": (("jobs",), S.FAILED),
    "create": (("create", "mesh.obj"), None),
    "refine": (("refine", CODE), None),
    "an address": (("submit", "https://store.example/account%40mail.example/?sig=s1gnature1"), None),
    "several addresses": (("submit", f"{CODE} SESSION_3_4 https://store.example/x?sig=s1gnature1"), None),
    "a service with a name": (("submit", CODE, "--service", f"https://me:{KEY}@service.example"), None),
    "a service with a query": (("submit", CODE, "--service", f"https://service.example?key={KEY}"), None),
}
"""Arguments (JOB: the id of one in the journal), and the state of that job; those about a Blender have none here."""
IN_SHORT = {
    *("submit", "submit --again", "status JOB", "wait", "fetch", "place", "stop", "jobs", "create", "refine"),
    *("several addresses", "a service with a name"),
}


@pytest.fixture
def terminal(tmp_path):
    with Api() as api:
        telling_api(api)
        opened_ = Terminal(tmp_path, api)
        copying_blender(tmp_path)
        (tmp_path / "mesh.obj").write_bytes(b"v 0 0 0\n")
        opened_.environment["CSM_REFINE_BLENDER"] = str(tmp_path / "blender")
        yield opened_
        opened_.close()


def run(terminal: Terminal, arguments: tuple[str, ...], places: Places, watch: ProcessWatch, **variables: str) -> int:
    """Run a command, and look at what it says; it was given the key itself, its children were not."""
    process = terminal.start(*arguments, **{ProcessWatch.VARIABLE: watch.mark, **variables})
    watch.given.add(process.pid)
    out, err = process.communicate(timeout=120)
    places.look("stdout of commands", out, arguments[0])
    places.look("stderr of commands", err, arguments[0])
    return process.returncode


def test_every_command(terminal, places, length):
    """Each command, where it succeeds and where it fails: neither what it says nor what it writes nor its children."""
    chosen = {name: each for name, each in COMMANDS.items() if length.name != "short" or name in IN_SHORT}
    with ProcessWatch(places) as watch:
        job_id = ""
        for name, (words, state) in chosen.items():
            shutil.rmtree(terminal.home.folder, ignore_errors=True)
            terminal.api.taken = state is S.RUNNING
            if state is not None:
                (job,) = write_down(terminal.home, in_a_state(terminal.api, state))
                job_id = job.id
            code = run(terminal, (*(word.replace("JOB", job_id) for word in words), "--json"), places, watch)
            assert code in (0, 2, 3, 4, 5, 8, 130), name
            places.look_into("what commands leave in the home folder", terminal.home.folder)
        variables = {"CSM_API_KEY": f"{KEY} and more"}
        assert run(terminal, ("submit", CODE), places, watch, **variables) == 3
    assert places.found == []
    assert str(terminal.folder / "blender") in " ".join(watch.seen.values())


def write_down(home: DataDir, *jobs: Job) -> list[Job]:
    with panel.journal(home.folder) as journal:
        return [journal.add(job) for job in jobs]


class Blenders:
    """Command lines in a Python with bpy, which really place and save; the key is in their variables."""

    def __init__(self, folder: Path, api: Api, places: Places, watch: ProcessWatch) -> None:
        self.folder = folder
        self._places = places
        self._watch = watch
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
        self._environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "CSM_REFINE_HOME": str(folder / "home"),
            "BLENDER_USER_RESOURCES": str(folder / "blender"),
            "CSM_API_KEY": KEY,
            "CSM_SERVICE": api.url,
            ProcessWatch.VARIABLE: watch.mark,
        }

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a command to its good end, and return its JSON."""
        process = subprocess.Popen(
            [sys.executable, "-m", "csm_refine_addon.cli", *arguments, "--json"],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._watch.given.add(process.pid)
        out, err = process.communicate(timeout=300)
        self._places.look("stdout of commands", out, arguments[0])
        self._places.look("stderr of commands", err, arguments[0])
        assert process.returncode == 0, err.decode()
        return json.loads(out.splitlines()[-1])


def test_a_refine_in_blender_and_its_children(tmp_path, places, length):
    """A whole refine in a Blender, up to the .blend that it saves, with all its processes; then our own service's."""
    content = sample_meshes.glb()
    (tmp_path / "mesh.glb").write_bytes(content)
    with Api() as api, ProcessWatch(places) as watch:
        api.storage.put("mesh.glb", content)
        api.after = [session_2024("training_refine"), session_2024("refine_done", "mesh.glb", keys=("mesh_url_glb",))]
        telling_api(api)
        api.posts = [refine_ack()]
        blenders = Blenders(tmp_path, api, places, watch)
        blenders.run("refine", CODE, "--output", "scene.blend")
        if length.choose(short=False, long=True):
            code = blenders.run("create", "mesh.glb", "--service", "local")["session"]
            blenders.run("refine", code, "--service", "local", "--output", "scene.glb")
            assert "csm_refine_addon.service" in " ".join(watch.seen.values())
    for path in tmp_path.glob("scene.*"):
        places.look("saved files", path.read_bytes(), path.name)
    places.look_into("what commands leave in the home folder", tmp_path / "home", is_local_key)
    assert places.found == []
    assert "blender.background.prepare" in " ".join(watch.seen.values())


# --- Blender itself


@pytest.fixture
def blender(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        panel.allow_online(allowed=True)
        panel.preferences().api_key = KEY
        monkeypatch.setenv("CSM_API_KEY", KEY)
        yield DataDir(tmp_path / "home")
        job_monitor.current().close()


def operators() -> list[str]:
    return [name for name in dir(bpy.ops.csm_refine) if not name.startswith("_")]


def test_every_operator(blender, places, capfd, tmp_path):
    """Each operator about a job in each state, and each without one: reports, list of reports, files, the .blend."""
    with Api() as api, logged(places):
        telling_api(api)
        words = f"The service refuses it: {CODE}"
        panel.settings().service_url = api.url
        panel.settings().session_code = CODE
        scenes.select(scenes.mesh_object())
        for state in S:
            error = state_machine.job_error(RefineFailed(words, "Retry.")) if state is S.FAILED else None
            changes = {"error": error} if error else {}
            (job,) = write_down(blender, in_a_state(api, state, **changes))
            job_monitor.current().refresh()
            job_list.show(job_monitor.current().jobs, job.id)
            for name in operators():
                if name not in ("wait", "open_folder", "open_preferences"):
                    operate(name, job, places, tmp_path)
        for name in ("scene.blend", "small.blend"):
            bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / name), compress=name == "small.blend")
            places.look("saved files", (tmp_path / name).read_bytes(), name)
        for text in bpy.data.texts:
            places.look("texts in the open file", text.as_string(), text.name)
    said = capfd.readouterr()
    places.look("Blender's own console", said.out + said.err)
    reports = getattr(bpy.context.window_manager, "reports", ())
    places.look("the info editor", "\n".join(report.message for report in reports) + history())
    places.look_into("what Blender leaves in the home folder", blender.folder)
    assert places.found == []
    assert (tmp_path / "bundle.zip").exists()


def operate(name: str, job: Job, places: Places, folder: Path) -> None:
    """Run an operator as a script does; what it reports as an error comes out as one."""
    operator = getattr(bpy.ops.csm_refine, name)
    known = {each.identifier for each in operator.get_rna_type().properties}
    given = {"job": job.id, "filepath": str(folder / "bundle.zip"), "session": CODE, "session_code": CODE}
    options = {key: value for key, value in given.items() if key in known}
    try:
        operator("EXEC_DEFAULT", **options)
    except Exception as error:  # noqa: BLE001 -- whatever it is
        places.look("operators' reports", texts_of_error(error), name)
    places.look("operators' reports", repr(operator), name)


def history() -> str:
    """What the info editor shows of operators, and a crash file repeats."""
    return "\n".join(repr(dict(each.properties.items())) for each in bpy.context.window_manager.operators)


def test_a_worker_and_what_it_starts(blender, places, tmp_path, monkeypatch):
    """The worker that Blender starts, its background Blender and the local service have no key to show."""
    with Api() as api, ProcessWatch(places) as watch:
        monkeypatch.setenv(ProcessWatch.VARIABLE, watch.mark)
        telling_api(api)
        api.posts = [html(502), refine_ack()]
        panel.settings().service_url = api.url
        panel.settings().session_code = CODE
        bpy.ops.csm_refine.refine()
        with panel.journal(blender.folder) as journal:
            (job,) = journal.all()
            journal.change(job.id, lambda job: dataclasses.replace(job, poll_first_s=0.05, poll_longest_s=0.1))
        wait_until(lambda: job_monitor.tick() and len(watch.seen) and api.looks and done(blender), 60.0)
        bpy.ops.csm_refine.check_service()
        wait_until(lambda: job_monitor.tick() and job_monitor.current().check_answer, 60.0)
        places.look("what the panel shows of a job", job_monitor.current().check_answer.message)
        panel.settings().service = "LOCAL"
        bpy.ops.csm_refine.check_service()
        wait_until(lambda: job_monitor.tick() and job_monitor.current().check_answer, 60.0)
    places.look_into("what Blender leaves in the home folder", blender.folder, is_local_key)
    assert places.found == []
    assert "core.jobs.worker" in " ".join(watch.seen.values())
    assert "csm_refine_addon.service" in " ".join(watch.seen.values())


def is_local_key(path: Path) -> bool:
    return path.parts[-2:] == ("service", "key")


def done(home: DataDir) -> bool:
    with panel.journal(home.folder) as journal:
        return all(job.state in (S.READY, S.FAILED, S.UNCERTAIN) for job in journal.all())
