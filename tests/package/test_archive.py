"""What is in the zip, and that the same sources make the same zip."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.repository import ROOT, files

BESIDE_THE_PACKAGE = {"blender_manifest.toml", "__init__.py", "LICENSE", "licenses/bottle.txt", "licenses/waitress.txt"}
STRAY = (
    ".env", "notes.txt", "secret.py", "wheels/other-1.0-py3-none-any.whl", "wheels/notes.txt", "licenses/other.txt",
    "csm_refine_addon/key", "csm_refine_addon/core/keys.json", "csm_refine_addon/core/flow (copy).py",
    "csm_refine_addon/core/.#flow.py", "csm_refine_addon/core/flow.orig.py", "csm_refine_addon/core/flow.py~",
    "csm_refine_addon/core/native.so", "csm_refine_addon/core/.hidden/module.py", "csm_refine_addon/tmp/module.py",
    "csm_refine_addon/core/__pycache__/flow.cpython-311.pyc", "csm_refine_addon/blender/i18n/de_DE.json.bak",
    "csm_refine_addon/scene.blend", "csm_refine_addon/core/mesh.glb",
)  # fmt: skip


def test_contents(archive):
    """The zip holds manifest, licences, the bundled wheels and the product's files, and nothing else."""
    names = {path.as_posix() for path in files()}
    product = {name for name in names if name.startswith("csm_refine_addon/")}
    wheels = {wheel.removeprefix("./") for wheel in manifest()["wheels"]}
    with zipfile.ZipFile(archive) as built:
        assert set(built.namelist()) == product | wheels | BESIDE_THE_PACKAGE


def test_licenses(archive):
    """The libraries' licences are in the zip as files, and the manifest names them."""
    with zipfile.ZipFile(archive) as built:
        assert b"Permission is hereby granted, free of charge" in built.read("licenses/bottle.txt")
        assert b"Zope Public License (ZPL) Version 2.1" in built.read("licenses/waitress.txt")
    assert manifest()["license"] == ["SPDX:GPL-3.0-or-later", "SPDX:MIT", "SPDX:ZPL-2.1"]


def test_stray_files(archive, tmp_path):
    """Built from a copy of the checkout with stray files and links in it, the zip has the same bytes."""
    checkout = tmp_path / "checkout"
    for path in files():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, checkout / path)
    (checkout / ".environments").symlink_to((ROOT / ".environments").resolve())
    shutil.copytree(ROOT / "wheels", checkout / "wheels")
    for name in STRAY:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("STRAY = True")
    (checkout / "csm_refine_addon" / "core" / "linked.py").symlink_to(ROOT / "pyproject.toml")
    assert built_by(checkout, tmp_path / "dist").read_bytes() == archive.read_bytes()


def test_reproducible(archive, tmp_path):
    """Built a second time from the same sources, the zip has the same bytes."""
    assert built_by(ROOT, tmp_path).read_bytes() == archive.read_bytes()


def built_by(checkout: Path, folder: Path) -> Path:
    command = [sys.executable, str(checkout / "scripts" / "build.py"), "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_file_name(archive):
    """The file's name tells the version that the manifest gives."""
    assert archive.name == f"csm_refine-{manifest()['version']}.zip"


@pytest.mark.parametrize("text", ["tagline", "permissions"])
def test_texts_are_short(text):
    """Tagline and reasons keep Blender's rules for its extension pages: at most 64 characters, no full stop."""
    value = manifest()[text]
    for sentence in value.values() if isinstance(value, dict) else [value]:
        assert len(sentence) <= 64
        assert not sentence.endswith(".")


def test_the_builder_s_refusal_is_shown(tmp_path):
    """A manifest that Blender refuses gives its reason and no zip."""
    builder = "from build import builder; print(builder())"
    where = subprocess.run(
        [sys.executable, "-c", builder], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    text = (ROOT / "blender_manifest.toml").read_text(encoding="utf-8")
    (tmp_path / "blender_manifest.toml").write_text(text.replace('type = "add-on"', 'type = "toy"'), encoding="utf-8")
    command = [sys.executable, where.stdout.strip(), "validate", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "found 'toy'" in done.stdout + done.stderr


def manifest() -> dict:
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
