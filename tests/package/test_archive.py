"""What is in the zip, and that the same sources make the same zip."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.support.repository import ROOT, files

BESIDE_THE_PACKAGE = {"blender_manifest.toml", "__init__.py", "LICENSE", "README.md"}


def test_contents(archive):
    """The zip holds the manifest, the licence, the bundled wheels and the product's files, and nothing else."""
    names = {path.as_posix() for path in files()}
    product = {name for name in names if name.startswith("csm_refine_addon/")}
    wheels = {wheel.removeprefix("./") for wheel in manifest()["wheels"]}
    with zipfile.ZipFile(archive) as built:
        assert set(built.namelist()) == product | wheels | (BESIDE_THE_PACKAGE & names)


def test_reproducible(archive, tmp_path):
    """Built a second time from the same sources, the zip has the same bytes."""
    command = [sys.executable, str(ROOT / "scripts" / "build.py"), "--output", str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert (tmp_path / archive.name).read_bytes() == archive.read_bytes()


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
