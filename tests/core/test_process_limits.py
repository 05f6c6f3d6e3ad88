"""Where a background Blender works: it ends with its parent, and reaches neither the network nor another program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from csm_refine_addon.core import limits
from csm_refine_addon.core.errors import InputError
from csm_refine_addon.core.limits import Limits
from csm_refine_addon.core.processes import background
from csm_refine_addon.core.processes.background import BackgroundBlender
from tests.support.api_server import wait_until

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import sys, threading
from pathlib import Path
sys.path[:0] = [{root!r}]
from csm_refine_addon.core.processes import background
background.PACKAGE_PARENT, folder = Path(sys.argv[1]), Path(sys.argv[1])
blender = background.BackgroundBlender(sys.executable, is_blender=False)
blender.run("child", {{"task": sys.argv[2]}}, log=folder / "log", pause=threading.Event().wait, limit_s=60)
"""
CHILD = """
import os, re, socket, subprocess, sys, threading

def main(request):
    print(os.getpid(), flush=True)
    return TASKS[request["task"]]()

def keep_the_interpreter():
    re.match("(a+)+b", "a" * 40)  # for hours, as an importer may

def take_memory():
    kept = bytearray(1 << 30)
    kept[::4096] = b"x" * (len(kept) // 4096)

def write_a_file():
    with open("large", "wb") as file:
        for _ in range(4):
            file.write(bytes(1 << 20))
    return 0

def turn():
    while True:
        pass

def crash():
    os.kill(os.getpid(), 11)

def tell():
    print(os.getcwd(), os.listdir(), sorted(os.environ.items()))
    return 7

def reach_out():
    refused = 0
    listening = socket.socket()
    for reach in (
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("example.com", 80),
        lambda: listening.bind(("127.0.0.1", 0)),
        lambda: listening.sendto(b"x", ("127.0.0.1", 9)),
        lambda: subprocess.run([sys.executable, "-c", "print(1)"]),
        lambda: os.system("true"),
        lambda: os.execv(sys.executable, [sys.executable]),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        os.fork,
    ):
        try:
            reach()
        except PermissionError:
            refused += 1
    return refused

TASKS = {
    "waits": lambda: threading.Event().wait(60),
    "keeps the interpreter": keep_the_interpreter,
    "takes memory": take_memory,
    "turns": turn,
    "writes a file": write_a_file,
    "crashes": crash,
    "tells": tell,
    "reaches out": reach_out,
}
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder with a package that holds the confinement and a module ``child``."""
    package = tmp_path / "csm_refine_addon"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "core").symlink_to(ROOT / "csm_refine_addon" / "core")
    (package / "child.py").write_text(CHILD)
    monkeypatch.setattr(background, "PACKAGE_PARENT", tmp_path)
    return tmp_path


def run(house, task, limit_s=20.0):
    blender = BackgroundBlender(sys.executable, is_blender=False)
    return blender.run("child", {"task": task}, log=house / "log", pause=threading.Event().wait, limit_s=limit_s)


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", ["waits", "keeps the interpreter"])
def test_it_ends_when_its_parent_was_killed(house, how):
    """Nobody else would end it: a killed parent leaves no background Blender behind, not even one in native code."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(root=str(ROOT)), str(house), how])
    log = house / "log"
    wait_until(lambda: log.exists() and log.read_text().strip())
    pid = int(log.read_text())
    try:
        assert is_running(pid)
        parent.kill()
        parent.wait()
        wait_until(lambda: not is_running(pid), within_s=4)
    finally:
        if is_running(pid):
            os.kill(pid, 9)


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such limits")
@pytest.mark.parametrize(
    ("task", "limit", "code", "said"),
    [
        ("takes memory", '{"memory_bytes": 300000000}', 1, "MemoryError"),
        ("turns", '{"processor_s": 1}', -signal.SIGXCPU, ""),
        ("writes a file", '{"file_bytes": 2000000}', -signal.SIGXFSZ, ""),
        ("writes a file", "", 0, ""),
        ("crashes", "", -signal.SIGSEGV, ""),
    ],
)
def test_what_it_may_use_is_limited(house, monkeypatch, task, limit, code, said):
    """A mesh that wants all memory, never ends, or fills the disk, ends its own Blender and nothing else."""
    monkeypatch.setenv(limits.VARIABLE, limit)
    assert run(house, task) == code
    assert said in (house / "log").read_text()


def test_it_reaches_neither_the_network_nor_another_program(house):
    """Connections, look-ups, and new processes are refused, each of nine ways."""
    assert run(house, "reaches out") == 9


def test_it_works_in_a_folder_of_its_own_with_nothing_of_ours(house, monkeypatch):
    """It stands in a folder with its request, gone afterwards; of the environment it gets what it needs to run."""
    for name in ("CSM_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "http://user:password@proxy")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert run(house, "tells") == 7
    said, scratch = (house / "log").read_text(), house / "scratch"
    assert f"{scratch} ['request.json']" in said
    for name in ("TMPDIR", "BLENDER_USER_RESOURCES"):
        assert f"('{name}', '{scratch}')" in said
    assert "('LC_ALL', 'C.UTF-8')" in said
    assert "password" not in said
    assert not scratch.exists()


def test_limits_are_read_from_the_environment(monkeypatch):
    """One variable holds them, as JSON; what is not set keeps its default."""
    monkeypatch.setenv(limits.VARIABLE, '{"faces": 8e7, "ratio": 9}')
    assert limits.current() == Limits(faces=80_000_000, ratio=9)
    monkeypatch.delenv(limits.VARIABLE)
    assert limits.current() == Limits()


@pytest.mark.parametrize(
    "text", ["faces=1", "[1]", '{"faces": "many"}', '{"legs": 4}', '{"faces": -1}', '{"faces": 1e999}']
)
def test_limits_that_cannot_be_read_are_a_sentence(monkeypatch, text):
    """Nothing is silently without limits: what is wrong is said, with the variable's name."""
    monkeypatch.setenv(limits.VARIABLE, text)
    with pytest.raises(InputError, match=limits.VARIABLE) as caught:
        limits.current()
    assert caught.value.action
