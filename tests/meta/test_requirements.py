"""Everything that is installed is pinned once, with hashes."""

from __future__ import annotations

import re
import tomllib

import pytest

from scripts.environment import PYTHON_OF_BLENDER
from scripts.environment.install import REQUIREMENTS
from tests.support.repository import ROOT

FILES = sorted(REQUIREMENTS.glob("*.txt"))


def pairs(name: str) -> list[tuple[str, str]]:
    """The packages and versions of a set; a package may stand there once for older Pythons and once for newer ones."""
    lines = (REQUIREMENTS / name).read_text(encoding="utf-8")
    return re.findall(r"^([\w.-]+)==([^\s;]+)", lines, flags=re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(pairs(name))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_pin_has_hashes(path):
    """No package of any set can be replaced by another file of the same version."""
    entries = re.split(r"^(?=[\w.-]+==)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_asked_for_is_pinned(path):
    """A set holds everything that its .in file names, in the version that it names."""
    asked = path.with_suffix(".in").read_text(encoding="utf-8")
    names = re.findall(r"^([a-z][\w.-]*)(?:==([^\s;]+))?", asked, flags=re.MULTILINE)
    pinned = {(name.replace("_", "-").replace(".", "-"), version) for name, version in pairs(path.name)}
    for name, version in names:
        known = {found for found in pinned if found[0] == name.replace(".", "-")}
        assert known >= ({(name.replace(".", "-"), version)} if version else set())
        assert known


@pytest.mark.parametrize("version", list(PYTHON_OF_BLENDER))
def test_the_tests_change_nothing_that_blender_brings(version):
    """What the tests import is installed over a Blender without exchanging a package of it."""
    blender, tests = pins(f"blender-{version}.txt"), pins("reliability.txt") | pins("tests.txt")
    assert {name: tests[name] for name in blender.keys() & tests.keys()} == {
        name: blender[name] for name in blender.keys() & tests.keys()
    }


def test_the_manifest_brings_the_pinned_wheels():
    """The extension bundles exactly the pinned wheels, each of them pure Python."""
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    bundled = {tuple(wheel.removeprefix("./wheels/").split("-")[:2]) for wheel in manifest["wheels"]}
    assert bundled == set(pins("bundled.txt").items())
    assert all(wheel.endswith("py3-none-any.whl") for wheel in manifest["wheels"])
