"""The real command line with a fault on its way: `refine` as a process of its own, by the clock on the wall."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from csm_refine_addon.core import errors, limits
from tests.reliability.faults_cases import UNCERTAIN, Case
from tests.support.api_server import CODE, KEY, Api, session_2024
from tests.support.faults import FaultProxy, Plan, Rule, Stage
from tests.support.repository import ROOT

DEADLINE_S = 400.0
UNCERTAIN_S = 12
"""How long an unclear outcome is looked up here."""
REFUSED_S = 3.0
IN_SHORT = {
    ("401", Stage.BASELINE), ("reset-after", Stage.POST), ("mesh-cut at 50 %", Stage.DOWNLOAD), ("refused", Stage.POST),
    ("certificate", Stage.BASELINE), ("answer-cut", Stage.POLL),
    ("404", Stage.BASELINE), ("402", Stage.POST), ("429-seconds", Stage.POST),
    ("502-html", Stage.POST), ("wrong-types", Stage.POLL), ("expired", Stage.DOWNLOAD), ("endless", Stage.DOWNLOAD),
    ("length-too-long", Stage.DOWNLOAD),
}  # fmt: skip
"""One of each kind, at its most telling stage."""


class Ended(NamedTuple):
    """What a process left behind."""

    document: dict[str, Any]
    exit_code: int
    said: str
    posts: int
    seconds: float

    def is_as_it_should_be(self, case: Case) -> bool:
        """The exit code of the result, a mesh in the scene where it is 0, one POST at most, and a clean output."""
        code = expected_code(case)
        is_placed = self.document["state"] == "PLACED"
        is_clean = "Traceback" not in self.said and KEY not in self.said
        return self.exit_code == code and is_placed == (code == 0) and self.posts <= 1 and is_clean


def can_be_commanded(case: Case) -> bool:
    """No proxy makes a name unknown; and a cut in ten places is one for the command line."""
    is_unknown_name = case.fault == "dns-failure" and case.stage is not Stage.DOWNLOAD
    return not is_unknown_name and case.name not in {f"mesh-cut at {tenth}0 %" for tenth in range(10) if tenth != 5}


def expected_code(case: Case) -> int:
    """Return the exit code that belongs to a result."""
    if case.result == UNCERTAIN:
        return errors.OutcomeUncertain.exit_code
    code = case.result.removeprefix("FAILED: ")
    return next((kind.exit_code for kind in _all_errors(errors.CsmError) if kind.code == code), 0)


def run_refine(case: Case, folder: Path, mesh: bytes) -> Ended:
    """Run `refine` against a server behind the proxy, to its end."""
    rules = [_in_real_time(rule) for rule in case.new_rules()]
    tls = str(folder / "authority.pem") if case.fault == "certificate" else ""
    with Api() as api, FaultProxy(api.url, Plan(rules, tls)) as proxy:
        api.storage.put("mesh.glb", mesh)
        api.after = [session_2024("training_refine"), session_2024("refine_done", "mesh.glb", keys=("mesh_url_glb",))]
        begun_at = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "csm_refine_addon.cli", "refine", CODE, "--json", *_time_out(case)],
            cwd=folder,
            env=_environment(folder, proxy, tls),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        seconds = time.monotonic() - begun_at
        document = json.loads(done.stdout.splitlines()[-1])
        return Ended(document, done.returncode, done.stdout + done.stderr, proxy.accepted, seconds)


def _time_out(case: Case) -> list[str]:
    return ["--timeout", str(UNCERTAIN_S)] if case.result == UNCERTAIN else []


def _in_real_time(rule: Rule) -> Rule:
    """A fault that cannot be counted ends by the clock; bytes drip at their own pace."""
    if rule.fault == "refused":
        rule.seconds = REFUSED_S
    elif rule.fault == "drip":
        rule.seconds, rule.times = None, 1
    elif rule.fault == "dns-failure":
        rule.times = 3
    return rule


def _environment(folder: Path, proxy: FaultProxy, tls: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return {
        **kept,
        **({"REQUESTS_CA_BUNDLE": tls} if tls else {}),
        "PYTHONPATH": str(ROOT),
        "CSM_REFINE_HOME": str(folder / "home"),
        "BLENDER_USER_RESOURCES": str(folder / "blender"),
        "CSM_API_KEY": KEY,
        "CSM_SERVICE": proxy.url,
        limits.VARIABLE: '{"download_bytes": 3000000}',
    }


def _all_errors(kind: type[errors.CsmError]) -> list[type[errors.CsmError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _all_errors(child))]
