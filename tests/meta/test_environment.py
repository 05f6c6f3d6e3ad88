"""The scripts' own environments: made once, whatever happens in between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.environment import libraries, python_at_hand
from scripts.environment.install import Environment, SetupError
from tests.support.repository import ROOT

ENSURE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from scripts.environment.install import Environment
print(Environment("small", sys.argv[3], ("bundled.txt",), root=Path(sys.argv[2])).ensure())
"""


def small(root: Path) -> Environment:
    return Environment("small", python_at_hand(), ("bundled.txt",), root=root)


@pytest.fixture(scope="module")
def made_by_two(tmp_path_factory):
    """What two processes said that asked for the same environment at the same time."""
    root = tmp_path_factory.mktemp("environments")
    command = [sys.executable, "-c", ENSURE, str(ROOT), str(root), python_at_hand()]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    return root, [process.returncode for process in both], "".join(errors for _, errors in said)


def test_two_at_once_make_it_once(made_by_two):
    """Two scripts started together share one set-up; both find it complete."""
    root, codes, said = made_by_two
    assert codes == [0, 0], said
    assert said.count("making the environment") == 1
    assert subprocess.run([small(root).ensure(), "-c", "import bottle, waitress"], check=False).returncode == 0


def test_ready_is_left_alone(made_by_two, capfd):
    """A complete environment is found again without a word and without a change."""
    environment = small(made_by_two[0])
    before = (environment.folder / "complete.json").stat().st_mtime_ns
    environment.ensure()
    assert (environment.folder / "complete.json").stat().st_mtime_ns == before
    assert capfd.readouterr().err == ""


def test_interrupted_is_made_anew(made_by_two):
    """A set-up that was interrupted, here after it took its stamp away, does not count, and is made from the start."""
    environment = small(made_by_two[0])
    (environment.folder / "complete.json").unlink()
    (environment.folder / "half").touch()
    assert not environment.is_ready()
    environment.ensure()
    assert environment.is_ready()
    assert not (environment.folder / "half").exists()


def test_a_missing_python_is_named(tmp_path):
    """Where no such Python is found, a sentence says which one is wanted."""
    with pytest.raises(SetupError, match=r"needs Python 3\.99"):
        Environment("none", "3.99", ("bundled.txt",), root=tmp_path).ensure()


def test_missing_libraries_are_named_with_their_packages():
    """All that ldd misses is named at once, with one line that installs it."""
    missing = "\tlibSM.so.6 => not found\n\tlibXi.so.6 => not found\n"
    said = f"\tlinux-vdso.so.1 (0x00007ffd)\n{missing}\tlibm.so.6 => /lib/libm.so.6 (0x00007ffe)\n"
    sentence = libraries.what_to_install(libraries.missing_in_ldd(said))
    assert "libSM.so.6, libXi.so.6" in sentence
    assert sentence.endswith("apt-get install libsm6 libxi6")


def test_an_unknown_library_is_named_too():
    """A library whose package is not known is named without a guess; the others are still installed by one line."""
    said = "ImportError: libodd.so.3: cannot open shared object file: No such file or directory"
    sentence = libraries.what_to_install([*libraries.missing_in_import_error(said), "libGL.so.1"])
    assert "Look for the package that has libodd.so.3" in sentence
    assert sentence.endswith("apt-get install libgl1")


def test_the_fresh_machine_gets_every_package():
    """What .ci/run installs on a bare machine is what the sentences name."""
    named = " ".join(libraries.PACKAGE_OF_LIBRARY.values()).split()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    listed = script[script.index("libraries=(") : script.index("\n)")]
    assert [name for name in named if name not in listed.split()] == []
