"""Mesh files before any Blender opens them: their kind by the first bytes, cheap checks, safe unpacking.

Each check reads a file once at most, in blocks; what it takes in is bounded by :mod:`..limits`. An importer may still
fail on a file that passes; it runs in a process with limits (:mod:`..processes.process_limits`).
"""

from __future__ import annotations

from pathlib import Path

from .. import limits
from ..errors import MeshUnusable
from .archive import check_zip, extract_obj
from .blend_files import check_blend
from .fbx import check_fbx, harmless_fbx, kinds_in_fbx
from .glb import check_glb
from .kinds import MeshKind, sniff, unreadable
from .obj import check_obj

__all__ = ["MeshKind", "check", "extract_obj", "harmless_fbx", "kinds_in_fbx", "sniff"]

_CHECKS = {
    MeshKind.GLB: check_glb,
    MeshKind.ZIP: check_zip,
    MeshKind.OBJ: check_obj,
    MeshKind.FBX: check_fbx,
    MeshKind.BLEND: check_blend,
}


def check(path: Path, *, allow_blend: bool = False) -> MeshKind:
    """Return the kind of a file whose frame is sound: header, sizes, offsets, counts, names, and that it holds faces.

    Cheap compared with an import: of the data only vertex positions are read, for values that are not finite, and
    indices, for those that lead beyond the vertices. A .blend is refused unless ``allow_blend``: only a local service's
    is read.
    Raises MeshUnusable with a sentence that says what is wrong; InputError where the limits cannot be read.
    """
    kind = sniff(path)
    if kind is MeshKind.BLEND and not allow_blend:
        raise MeshUnusable("A .blend came instead of a mesh file.", "Use GLB, OBJ or binary FBX.")
    allowed = limits.current()
    try:
        _CHECKS[kind](path, allowed)
    except OSError as error:
        raise unreadable(path, error) from error
    return kind
