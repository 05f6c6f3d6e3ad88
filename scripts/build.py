"""Builds the extension: dist/csm_refine-VERSION.zip, made and validated by Blender's own builder.

The same sources make the same bytes: the builder's archive is written again with sorted names and one fixed date.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -P leaves it out

import environment

MANIFEST = environment.ROOT / "blender_manifest.toml"
BUILDER = "*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def build(folder: Path) -> Path:
    """The path of the validated zip in this folder. Raises SystemExit with the builder's message when it refuses."""
    environment.bundled_wheels()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        archive = Path(work, archive_name())
        run_builder("build", "--source-dir", str(environment.ROOT), "--output-filepath", str(archive))
        make_reproducible(archive)
        run_builder("validate", str(archive))
        os.replace(archive, folder / archive.name)
    return folder / archive.name


def archive_name() -> str:
    import tomllib  # not in every Python that may start this script

    manifest = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    return f"{manifest['id']}-{manifest['version']}.zip"


def run_builder(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(builder()), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"Blender's builder refused to {arguments[0]} the extension:\n{done.stdout}{done.stderr}")


def builder() -> Path:
    """Blender's extension builder, a plain script inside the bpy wheel; found without importing bpy."""
    found = importlib.util.find_spec("bpy")
    if found is None or found.origin is None:
        raise SystemExit("This Python has no bpy. Run: python3 scripts/build.py")
    return next(Path(found.origin).parent.glob(BUILDER))


def make_reproducible(archive: Path) -> None:
    with zipfile.ZipFile(archive) as built:
        files = {name: built.read(name) for name in sorted(built.namelist())}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as final:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, FIXED_DATE)
            entry.external_attr = 0o644 << 16
            final.writestr(entry, content, zipfile.ZIP_DEFLATED)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=environment.ROOT / "dist", help="folder for the zip")
    options = parser.parse_args()
    try:
        print(build(options.output))
    except environment.SetupError as error:
        sys.exit(str(error))
    return 0


if __name__ == "__main__":
    environment.run_inside(__file__)
    sys.exit(main())
