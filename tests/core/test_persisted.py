"""What users, scripts and databases hold keeps its meaning: job states, JSON keys, exit codes, commands, options."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PERSISTED = Path(__file__).resolve().parents[1] / "persisted"
STATES = {
    "00000001": "PREPARED",
    "00000002": "SUBMITTING",
    "00000003": "UNCERTAIN",
    "00000004": "RUNNING",
    "00000005": "DOWNLOADING",
    "00000006": "PREPARING",
    "00000007": "READY",
    "00000008": "PLACED",
    "00000009": "FAILED",
    "000000010": "STOPPED",
    "00000099": "PREPARED",
}
KEYS = {
    "job",
    "session",
    "service",
    "state",
    "remote_status",
    "percent",
    "scaled_bbox",
    "pivot_point",
    "mesh",
    "blend",
    "object",
    "dimensions",
    "fit_error",
    "seconds",
    "error",
    "warnings",
    "notes",
}
EXIT_CODES = {
    "bad_input": 2,
    "blender_offline": 7,
    "error": 1,
    "interrupted": 130,
    "key_missing": 3,
    "key_refused": 3,
    "mesh_unusable": 8,
    "other_account": 3,
    "out_of_credits": 5,
    "prepare_failed": 8,
    "refine_failed": 5,
    "service_busy": 7,
    "service_unreachable": 7,
    "session_not_refinable": 4,
    "session_unknown": 4,
    "storage": 2,
    "timeout": 6,
    "uncertain": 9,
}
OPTIONS = {
    "refine": "--blend --object --bbox --pivot --service --timeout --output --json --topology --faces --texture-size "
    "--symmetry --keep-aspect --keep-parts --allow-http",
    "submit": "--blend --object --bbox --pivot --service --timeout --json --topology --faces --texture-size --symmetry "
    "--keep-aspect --keep-parts --again --allow-http --take-over",
    "status": "--service --json",
    "wait": "--timeout --json --take-over",
    "fetch": "--json",
    "place": "--blend --output --json",
    "stop": "--json",
    "jobs": "--json",
    "create": "--blend --object --service --json",
}


def restored(name: str, path: Path) -> None:
    """Make a database out of a dump; the version at its end is set by the dump itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript((PERSISTED / name).read_text(encoding="utf-8"))
    connection.close()


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "CSM_REFINE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-P", "-m", "csm_refine_addon.cli"]
    return subprocess.run([*program, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    restored("journal_3.sql", folder / "journal.sqlite")
    return folder


def test_a_journal_of_version_3(home):
    """Every job is still there, in its state, with the keys that scripts read and the values that were sent."""
    done = command(home, "jobs", "--json")
    jobs = {job["job"]: job for job in json.loads(done.stdout.splitlines()[-1])["jobs"]}
    assert {job_id: job["state"] for job_id, job in jobs.items()} == STATES
    assert all(job.keys() >= KEYS for job in jobs.values())
    placed, failed, running = jobs["00000008"], jobs["00000009"], jobs["00000004"]
    assert (placed["object"], placed["fit_error"], placed["scaled_bbox"]) == ("Crate refined", 3e-8, [2.0, 0.5, 1.0])
    assert placed["pivot_point"] == [0.0, -0.5, 0.0]
    assert placed["notes"] == ["Made by the method quads_1_quadriflow."]
    assert (running["remote_status"], running["percent"]) == ("training_refine", 40.0)
    error = {key: failed["error"][key] for key in ("code", "message", "action")}
    assert error == {"code": "refine_failed", "message": "The service failed the refine.", "action": "Retry."}


def test_exit_codes():
    """Each error code that scripts read has the exit code that interface and docs/command_line.md promise."""
    from csm_refine_addon.core import errors

    def below(kind: type[errors.CsmError]) -> list[type[errors.CsmError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    found = {kind.code: kind.exit_code for kind in below(errors.CsmError)}
    assert {code: found.get(code) for code in EXIT_CODES} == EXIT_CODES


@pytest.mark.parametrize("verb", OPTIONS)
def test_options(tmp_path, verb):
    """Each command still has the options that scripts give it."""
    done = command(tmp_path / "home", verb, "--help")
    assert done.returncode == 0
    missing = [option for option in OPTIONS[verb].split() if option not in done.stdout]
    assert missing == []
