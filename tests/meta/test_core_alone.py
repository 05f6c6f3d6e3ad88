"""core, and the command line around it, need a Python and nothing else."""

from __future__ import annotations

import json
import subprocess

import pytest

from scripts.environment import BLENDER_OF_PYTHON, pythons
from tests.support.repository import PACKAGE, ROOT

# -I and -S: no site-packages, so neither bpy nor requests nor anything installed can be found.
IMPORT_ALL = """
import importlib.util, json, sys
root, *modules = sys.argv[1:]
sys.path.insert(0, root)
for module in modules:
    importlib.import_module(module)
blender = importlib.util.find_spec("bpy") is not None
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(json.dumps({"bpy": blender, "foreign": sorted(foreign)}))
"""
MODULES = [f"csm_refine_addon.core.{path.stem}" for path in sorted((PACKAGE / "core").glob("*.py"))]
ALONE = [name.removesuffix(".__init__") for name in MODULES] + ["csm_refine_addon.cli"] * (PACKAGE / "cli.py").is_file()


@pytest.mark.parametrize("version", list(BLENDER_OF_PYTHON))
def test_core_imports_alone(version):
    """Every module of core, and cli, is imported by this plain CPython with no package at hand, and finds no bpy."""
    python = pythons.find(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    command = [python, "-I", "-S", "-c", IMPORT_ALL, str(ROOT), *ALONE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen == {"bpy": False, "foreign": ["__main__", "csm_refine_addon"]}
