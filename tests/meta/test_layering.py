"""Imports point one way, to core. Read from the syntax trees, so it holds for lines that no test runs, too."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath
from typing import NamedTuple

import pytest

from tests.support.repository import PACKAGE

BLENDER_S_OWN = {
    *("bpy", "_bpy", "bpy_types", "bpy_extras", "bpy_restrict_state", "addon_utils", "bl_ui", "bl_operators"),
    *("bmesh", "mathutils", "gpu", "gpu_extras", "blf", "aud", "imbuf", "idprop", "freestyle", "bl_math"),
}
NOT_WHEN_ENABLED = {"requests", "urllib3", "bottle", "waitress"}


class Import(NamedTuple):
    target: str
    at_import_time: bool
    line: int


def imports_of(source: str, module: str, is_package: bool = False) -> list[Import]:
    """What a module imports: `.core.axes` for ours, `=csm_refine_addon` for ours by its full name, `bpy` for others."""
    home = module.split(".") if is_package else module.split(".")[:-1]
    found: list[Import] = []
    _collect(ast.parse(source), [part for part in home if part], True, found)
    return found


def _collect(node, home, at_import_time, found):
    for child in ast.iter_child_nodes(node):
        for target in _targets(child, home):
            found.append(Import(target, at_import_time, child.lineno))
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_for_types_only(child)
        _collect(child, home, at_import_time and not inside, found)


def _targets(node, home):
    if isinstance(node, ast.Import):
        return [_named(alias.name) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = _relative(home, node.level) if node.level else [node.module]
        start = [*start, node.module] if node.level and node.module else start
        return [_named(".".join([*start, alias.name]), ours=bool(node.level)) for alias in node.names]
    if isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__") and node.args:
        name = node.args[0].value if isinstance(node.args[0], ast.Constant) else "?"
        dots = len(name) - len(name.lstrip("."))
        return [_named(".".join([*_relative(home, dots), name.lstrip(".")]) if dots else name, ours=bool(dots))]
    return []


def _relative(home, level):
    return home[: len(home) - level + 1]


def _named(target, ours=False):
    if ours:
        return f".{target}"
    return f"={target}" if target.split(".")[0] == PACKAGE.name else target


def _called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _is_for_types_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def broken_rules(path: str, source: str) -> list[str]:
    """Every rule that this file breaks, in words; path is below the package."""
    where = PurePosixPath(path)
    module = ".".join(where.with_suffix("").parts).removesuffix("__init__").rstrip(".")
    imports = imports_of(source, module, where.name == "__init__.py")
    found = [(rule, imported) for imported in imports for rule in _rules_broken_by(where, imported)]
    return [f"{path}:{imported.line}: {rule}: {imported.target}" for rule, imported in found]


def _rules_broken_by(where, imported):
    """The layers: core, blender, remesh, service, the package itself (`__init__`), and the command line's modules."""
    layer = where.parts[0].removesuffix(".py")
    top = imported.target.removeprefix(".").split(".")[0]
    ours = imported.target.startswith(".")
    command_line = layer not in ("core", "blender", "remesh", "service", "__init__")
    if imported.target.startswith("="):
        yield "ours is imported relatively, as Blender installs the package under another name"
    if layer not in ("blender", "remesh", "__init__") and top in BLENDER_S_OWN:
        yield "only blender and remesh import Blender's modules"
    if layer == "core" and ours and top != "core":
        yield "core imports nothing of ours but itself"
    if layer == "blender" and ours and top in ("service", "remesh"):
        yield "blender imports neither service nor remesh"
    if layer == "remesh" and ours and top not in ("core", "remesh") and not _is_shared(imported.target):
        yield "remesh imports core, and the few modules of blender that it shares"
    if layer == "service" and ours and top not in ("core", "service", "remesh"):
        yield "service imports neither blender nor the command line"
    if command_line and imported.at_import_time and ours and top in ("blender", "remesh", "service"):
        yield "the command line reaches blender and service only inside the commands that need them"
    if layer == "__init__" and imported.at_import_time and (top in BLENDER_S_OWN or (ours and top == "blender")):
        yield "the package itself can be imported without Blender"
    if layer != "service" and imported.at_import_time and top in NOT_WHEN_ENABLED:
        yield "HTTP libraries are imported when they are used, not when Blender starts"


def _is_shared(target):
    return any(f".blender.background.{module}" in target for module in ("mesh_io", "topology"))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layering(path):
    """No file of the product imports against the direction of the layers."""
    assert broken_rules(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/axes.py", "import bpy"),
        ("core/axes.py", "def f():\n    from mathutils import Vector"),
        ("core/axes.py", "from ..blender import bounds"),
        ("core/axes.py", "from .. import service"),
        ("core/axes.py", "import importlib\nimportlib.import_module('bpy')"),
        ("core/axes.py", "import importlib\nimportlib.import_module('..service.app', __package__)"),
        ("core/providers/client.py", "import requests"),
        ("cli.py", "from .blender import placing"),
        ("cli.py", "def f():\n    import bpy"),
        ("commands.py", "from .service import app"),
        ("core/axes.py", "from ..progress import Progress"),
        ("service/app.py", "from ..progress import Progress"),
        ("service/app.py", "def f():\n    import bpy"),
        ("service/app.py", "from ..blender.background import mesh_io"),
        ("service/app.py", "from .. import cli"),
        ("remesh/cleaning.py", "from ..blender.scene import placing"),
        ("blender/jobs/job_monitor.py", "from ...service import sessions"),
        ("blender/jobs/job_monitor.py", "import csm_refine_addon.core"),
        ("__init__.py", "import bpy"),
        ("__init__.py", "from . import blender"),
    ],
)
def test_layering_is_seen_broken(path, source):
    """Each rule sees the import that breaks it, wherever in the file it stands."""
    assert len(broken_rules(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/providers/client.py", "from . import wire\nfrom .models import Job\ndef f():\n    import requests"),
        ("core/providers/client.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import requests"),
        ("cli.py", "from .core import flow\ndef f():\n    from .blender import placing\n    from .service import app"),
        ("service/app.py", "import bottle\nfrom ..core import axes"),
        (
            "remesh/cleaning.py",
            "import bpy\nfrom ..blender.background import mesh_io\nfrom ..blender.background.mesh_io import read",
        ),
        ("blender/jobs/job_monitor.py", "import bpy\nfrom ...core import flow\ndef f():\n    from ... import cli"),
        ("__init__.py", "def register():\n    from .blender import registration"),
    ],
)
def test_layering_allows(path, source):
    """What the layers are for stays allowed."""
    assert broken_rules(path, source) == []
