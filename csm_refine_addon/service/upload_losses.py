"""Warnings about data in an uploaded mesh file that a refine will remove: armature, shape keys, animation."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from ..core.data_loss import sentences
from ..core.mesh_files import MeshKind, kinds_in_fbx

_HEADER = struct.Struct("<12xI4x")


def losses(path: Path, kind: MeshKind) -> tuple[str, ...]:
    """Return a warning for each of armature, shape keys and animation in a checked GLB or FBX; an OBJ has none."""
    if kind is MeshKind.GLB:
        return _of_glb(path)
    if kind is MeshKind.FBX:
        kinds = kinds_in_fbx(path)
        return sentences(
            armature=b"Skin" in kinds, shape_keys=b"BlendShape" in kinds, animation=b"AnimationCurve" in kinds
        )
    return ()


def _of_glb(path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        (length,) = _HEADER.unpack(file.read(_HEADER.size))
        document = json.loads(file.read(length))
    parts = (part for mesh in document.get("meshes", ()) for part in mesh.get("primitives", ()))
    return sentences(
        armature=bool(document.get("skins")),
        shape_keys=any(part.get("targets") for part in parts),
        animation=bool(document.get("animations")),
    )
