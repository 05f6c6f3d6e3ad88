"""What holds for every test: no settings of the user's, no skip without a reason, no normal end once bpy was used."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

# Read by bpy when it is imported, and by the add-on: a test must not see the user's own.
USER_FOLDER = Path(tempfile.mkdtemp(prefix="csm_refine_tests_"))
os.environ["BLENDER_USER_RESOURCES"] = str(USER_FOLDER / "blender")
os.environ["CSM_REFINE_HOME"] = str(USER_FOLDER / "home")
for name in ("CSM_API_KEY", "CSM_SERVICE", "PYTHONSAFEPATH"):
    os.environ.pop(name, None)

# A run under nohup ignores SIGHUP, and so would the programs that the tests start and end by it.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadline: a first call into Blender may take a second. Derandomized: a run can be repeated.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("project")

LENGTHS = ("short", "long")


def pytest_addoption(parser):
    parser.addoption("--length", choices=LENGTHS, default="short", help="what a merge needs, or every case")


exit_code = pytest.StashKey[int]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _reason(report) in ("", "unconditional skip"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped without a reason"
    return report


def _reason(report):
    return report.longrepr[2].removeprefix("Skipped").removeprefix(": ").strip()


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[exit_code] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """At a normal end 4.2 crashes after glTF import or export, and a timer or thread left crashes or hangs others."""
    if hasattr(config, "workerinput"):
        return
    shutil.rmtree(USER_FOLDER, ignore_errors=True)
    if "bpy" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash.get(exit_code, int(pytest.ExitCode.INTERNAL_ERROR)))
