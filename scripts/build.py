"""Builds the extension: dist/csm_refine-VERSION.zip, made and validated by Blender's own builder.

It holds the manifest, the licence, the package, the two pinned wheels and their licences; other files in the checkout
stay out, whether git tracks them or not.
The same sources make the same bytes: the builder's archive is written again with sorted names and one fixed date.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
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
    wheels = environment.bundled_wheels()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        archive, sources = Path(work, archive_name()), Path(work, "sources")
        copy_sources(sources, wheels)
        run_builder("build", "--source-dir", str(sources), "--output-filepath", str(archive))
        make_reproducible(archive)
        run_builder("validate", str(archive))
        os.replace(archive, folder / archive.name)
    return folder / archive.name


def copy_sources(target: Path, wheels: list[Path]) -> None:
    """Copy what the extension consists of, and nothing else that lies in the checkout."""
    for path in product_files():
        copy = target / path.relative_to(environment.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for folder in ("wheels", "licenses"):
        (target / folder).mkdir()
    for wheel in wheels:
        shutil.copyfile(wheel, target / "wheels" / wheel.name)
        library = wheel.name.partition("-")[0]
        (target / "licenses" / f"{library}.txt").write_bytes(license_text(wheel))


def product_files() -> list[Path]:
    """The manifest, the licence, the modules of the package, and the tables of its translations."""
    package = environment.ROOT / "csm_refine_addon"
    tables = (package / "blender" / "i18n").glob("*.json")
    beside = (environment.ROOT / name for name in ("blender_manifest.toml", "__init__.py", "LICENSE"))
    found = [*beside, *(path for path in package.rglob("*.py") if is_module(path)), *tables]
    return sorted(path for path in found if not path.is_symlink())


def is_module(path: Path) -> bool:
    """Whether Python can import it as a part of the package; copies that editors leave cannot be."""
    names = path.relative_to(environment.ROOT).with_suffix("").parts
    is_in_package = all((folder / "__init__.py").is_file() for folder in path.parents[: len(names) - 1])
    return is_in_package and all(name.isidentifier() for name in names)


def license_text(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if Path(name).name.startswith("LICENSE"))
        return archive.read(name)


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
