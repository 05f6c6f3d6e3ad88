"""A real Blender with a window for each test, in the suite of Debian that ``--suite`` names; its pictures are kept.

Where there can be no window, the tests fail: they do not skip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.reliability import secrets_search
from tests.support import api_server
from tests.support.repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import build
from window import blender, room

STAGE = Path(__file__).with_name("stage.py")
PICTURES = ROOT / "build" / "window"
KEY = api_server.KEY
TROUBLE = r"Traceback \(most recent|made a mistake|cannot draw in the viewport"
SIZE = (1200, 900)
"""High enough for the whole panel."""
LARGE_BYTES = 20 << 20
"""Only the mesh of the standstill, and what is made of it, is larger: minutes to look through."""


def pytest_addoption(parser):
    parser.addoption("--suite", choices=list(room.SUITES), default="sid", help="which of Debian's Blenders")


@pytest.fixture(scope="session")
def suite(request):
    return room.SUITES[request.config.getoption("--suite")]


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    return build.build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def play(request, suite, archive, tmp_path, capfd):
    """Plays a scene in a Blender with an empty user folder and returns what it noted.

    A second scene of the same test finds the user folder as the first one left it. Pictures come into
    build/window/BLENDER/TEST, those of a failed scene too.
    """
    pictures = PICTURES / suite.blender / request.node.name.removeprefix("test_")
    shutil.rmtree(pictures, ignore_errors=True)
    job = tmp_path / "job"
    (job / "pictures").mkdir(parents=True)
    (job / "pictures").chmod(0o777)
    shutil.copy(archive, job)

    def run(scene, *, ends_with=0, size=SIZE, limit_s=150.0, **settings):
        is_first = not (job / "user").exists()
        installs = settings.pop("installs", blender.Installs.ENABLED if is_first else blender.Installs.NOTHING)
        (job / "seen.json").unlink(missing_ok=True)
        code = blender.run(
            STAGE,
            job,
            suite=suite.name,
            size=size,
            limit_s=limit_s,
            settings={"CSM_API_KEY": KEY, "SCENE": scene, "LIMIT_S": str(limit_s - 20.0), **settings},
            installs=installs,
        )
        shutil.copytree(job / "pictures", pictures, dirs_exist_ok=True)
        said = "".join(capfd.readouterr())
        print(said)
        assert code == ends_with, f"{scene} ended with {code}; its last picture lies in {pictures}"
        assert not re.search(TROUBLE, said), "a mistake in the program is said above"
        assert secrets_in(job, said) == []
        return json.loads((job / "seen.json").read_text(encoding="utf-8"))

    run.job, run.aloud = job, capfd.disabled
    return run


def secrets_in(job, said):
    """Where the key, a signature or the e-mail was left: any file, crash files too, reports, copied texts."""
    places = secrets_search.Places()
    places.look("what was said", said)
    places.look_into("files", job, allowed=lambda path: path.stat().st_size > LARGE_BYTES)
    return places.found


def finish(served):
    """From now on the session is refined."""
    served.after[:] = [api_server.session_2024("refine_done", "mesh.glb", keys=("mesh_url_glb",))]
    return {}


@pytest.fixture
def api():
    """A service on this machine's loopback, which the room shares. A refine runs there until a scene tells /finish."""
    from tests.support import sample_meshes

    with api_server.Api() as served:
        served.storage.put("mesh.glb", sample_meshes.glb())
        served.after = [api_server.session_2024("training_refine", percent_done=40)]
        served.others["/finish"] = [api_server.Answer(body=finish)]
        yield served


@pytest.fixture(autouse=True)
def _own_settings_only():
    """The room gets what a test gives it, not what this process has."""
    for name in ("CSM_REFINE_HOME", "CSM_SERVICE", "BLENDER_USER_RESOURCES"):
        os.environ.pop(name, None)
