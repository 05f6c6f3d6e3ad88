"""A fresh clone, and Pythons with only what docs/command_line.md lists: what is missing is downloaded or reported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from scripts.environment.bundle import WHEELS, bundled_wheels
from tests.support import sample_meshes
from tests.support.api_server import CODE
from tests.support.repository import ROOT, files

LIBRARIES = ("bottle", "waitress")
AT_ONCE_S = 10.0
"""Far above the second that it takes, and below the 30 s that a silent start of the service may take."""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the Python without bottle is made of symbolic links")


@pytest.fixture
def clone(tmp_path) -> Path:
    """The repository's own files, and nothing that a script has made."""
    folder = tmp_path / "clone"
    for name in files():
        if name.parts[0] in ("csm_refine_addon", "scripts"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """A Python that has bpy and pip, but neither bottle nor waitress."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    (packages,) = folder.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(LIBRARIES):
            (packages / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


@pytest.fixture
def run(clone, tmp_path):
    """Runs a command in the clone, with a home of its own and pip's index as it is said."""
    home = tmp_path / "home"
    bundled_wheels()

    def run(*command, index=WHEELS, **variables):
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
        environ = {**os.environ, **pip, "CSM_REFINE_HOME": str(home), "BLENDER_USER_RESOURCES": str(tmp_path / "user")}
        environ.pop("PYTHONPATH", None)
        return subprocess.run(
            list(map(str, command)),
            cwd=clone,
            env={**environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    yield run
    if (home / "service" / "endpoint.json").exists():
        os.kill(json.loads((home / "service" / "endpoint.json").read_text())["pid"], signal.SIGTERM)


@pytest.fixture
def mesh(tmp_path) -> Path:
    path = tmp_path / "mesh.glb"
    path.write_bytes(sample_meshes.glb())
    return path


def test_the_libraries_are_fetched_once(run, clone, python, mesh):
    """create makes a session with nothing but bpy installed: the first command downloads the wheels, no other does."""
    first = run(python, "-I", "scripts/refine.py", "create", mesh, "--service", "local", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[-1])["session"]
    assert sorted(path.name.partition("-")[0] for path in (clone / "wheels").iterdir()) == sorted(LIBRARIES)
    second = run(python, "scripts/refine.py", "create", mesh, "--service", "local", index="/nowhere")
    assert (second.returncode, second.stderr) == (0, "")


def test_what_cannot_be_fetched_is_named(run, clone, python, mesh, tmp_path):
    """Without an index the command ends at once with 7, and its JSON object names what to run."""
    started = time.monotonic()
    done = run(python, "scripts/refine.py", "create", mesh, "--service", "local", "--json", index=tmp_path / "nothing")
    assert time.monotonic() - started < AT_ONCE_S
    said = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, said["code"]) == (7, "service_unreachable")
    assert "bottle and waitress" in said["message"]
    assert "scripts/wheels.py" in said["action"]
    assert run(python, "scripts/wheels.py").returncode == 0
    assert len(list((clone / "wheels").iterdir())) == 2


def test_bpy_by_pythonpath(run, python, mesh, tmp_path):
    """A Python that has bpy and requests only by PYTHONPATH creates, refines and prepares like one that has them."""
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    command = [base, "scripts/refine.py"]
    created = run(*command, "create", mesh, "--service", "local", "--json", PYTHONPATH=str(packages))
    assert created.returncode == 0, created.stderr
    code = json.loads(created.stdout.splitlines()[-1])["session"]
    output = ["--bbox", "1", "1", "1", "--pivot", "center", "--output", tmp_path / "out.glb"]
    refined = run(*command, "refine", code, "--service", "local", *output, PYTHONPATH=str(packages))
    assert refined.returncode == 0, refined.stderr
    assert (tmp_path / "out.glb").stat().st_size


def test_serve_without_bpy(run, python, clone, tmp_path):
    """With the wheels in the clone, a Python that has nothing else serves, and SIGTERM ends it with 0."""
    assert run(python, "scripts/wheels.py").returncode == 0
    command = [sys.executable, "-S", "-m", "csm_refine_addon.cli", "serve", "--port", "0", "--data", str(tmp_path)]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["CSM_REFINE_BLENDER"] = sys.executable
    with subprocess.Popen(command, cwd=clone, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        process.terminate()
    assert process.returncode == 0


@pytest.mark.parametrize(("command", "code", "missing"), [(["serve"], 7, "bottle"), (["status", CODE], 2, "requests")])
def test_a_python_without_any_library(run, monkeypatch, command, code, missing):
    """serve names what it lacks, and so does a command that sends something; neither ends in a traceback."""
    monkeypatch.setenv("CSM_API_KEY", "k" * 32)
    monkeypatch.setenv("CSM_SERVICE", "http://127.0.0.1:9")
    done = run(sys.executable, "-S", "-m", "csm_refine_addon.cli", *command)
    assert (done.returncode, missing in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
