"""The repository speaks of the product: it names no package host, no mirror, and no path of one machine."""

from __future__ import annotations

import re

import pytest

from tests.support.repository import ROOT, files

# Spelled so that no pattern finds itself.
PACKAGE_HOSTS = [
    r"pypi\.org|pythonhosted\.[o]rg|conda\.anaconda",
    r"(deb|ftp|security|snapshot)\.debian\.[o]rg|archive\.ubuntu",
    r"download\.blender\.[o]rg|extensions\.blender\.[o]rg/download",
    r"https?://[^ \"]*(/simple|/packages/|/debian|/pool/)",
    r"registry\.npm|proxy\.golan[g]",
    r"--?(extra-)?index-ur[l]|--find-link[s]",
]
MACHINE_PATHS = [
    r"(?<![\w.:/-])/(root|home/\w+|work|workspace|Users/\w+|opt)/",
    r"(?<![\w.:/-])/tmp/(?!x\b)\w",
    r"\b[A-Z]:\\\\?Users\\",
]


def found_in(text: str, patterns: list[str]) -> list[str]:
    return [line.strip() for line in text.splitlines() if any(re.search(pattern, line) for pattern in patterns)]


@pytest.mark.parametrize("patterns", [PACKAGE_HOSTS, MACHINE_PATHS], ids=["package hosts", "machine paths"])
def test_no_file_names(patterns):
    """No file of the repository names one; pip, uv and apt know theirs from their own settings."""
    found = {}
    for path in files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content and (lines := found_in(content.decode(errors="replace"), patterns)):
            found[str(path)] = lines
    assert found == {}


@pytest.mark.parametrize(
    ("patterns", "line"),
    [
        (PACKAGE_HOSTS, "https://files.python" + "hosted.org/x.whl"),
        (PACKAGE_HOSTS, "pip install --index-" + "url somewhere"),
        (PACKAGE_HOSTS, "deb http://mirror.example" + "/debian sid main"),
        (MACHINE_PATHS, "# via -r /ro" + "ot/project/tests.in"),
        (MACHINE_PATHS, 'cache = "/tm' + 'p/cache"'),
        (MACHINE_PATHS, "see /wor" + "k/notes.md"),
    ],
)
def test_each_kind_is_seen(patterns, line):
    """The search finds what it is for."""
    assert found_in(line, patterns) == [line]
