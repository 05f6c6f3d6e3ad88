"""Writes the result: .blend and GLB always, other formats if this Blender can export them."""

from __future__ import annotations

import traceback
import zipfile
from pathlib import Path

import bpy

from ..blender.background import mesh_io
from ..core.errors import CsmError
from .progress import Progress


def write(obj: bpy.types.Object, folder: Path, code: str, progress: Progress) -> tuple[list[str], list[str]]:
    """Write the mesh in every format; return the formats written and a note for each that failed.

    The .blend is exported first and makes the object plain data; GLB holds triangles. A failure of either is raised.
    """
    mesh_io.export_mesh(obj, folder / "mesh.blend")
    mesh_io.export_mesh(obj, folder / "mesh.glb")
    progress.reached(86)
    formats, notes = ["blend", "glb"], []
    for percent, (kind, writer) in zip((90, 94, 98), _OTHER_FORMATS.items(), strict=True):
        try:
            formats += writer(obj, folder, code)
        except (CsmError, RuntimeError, OSError) as error:
            traceback.print_exc()
            notes.append(f"{kind} could not be written: {str(error).strip().splitlines()[-1]}")
        progress.reached(percent)
    return formats, notes


def _write_obj(obj: bpy.types.Object, folder: Path, code: str) -> list[str]:
    """Write a zip of ``CODE/mesh.obj`` with MTL and textures, and the OBJ alone."""
    draft = folder / "scratch" / f"{code}.zip"
    mesh_io.export_mesh(obj, draft)
    with zipfile.ZipFile(draft) as archive:
        Path(archive.extract(f"{code}/mesh.obj", folder / "scratch")).replace(folder / "mesh.obj")
    draft.replace(folder / "mesh.zip")
    return ["zip", "obj"]


def _write_fbx(obj: bpy.types.Object, folder: Path, _code: str) -> list[str]:
    mesh_io.export_mesh(obj, folder / "mesh.fbx")
    return ["fbx"]


def _write_usdz(obj: bpy.types.Object, folder: Path, _code: str) -> list[str]:
    mesh_io.export_mesh(obj, folder / "mesh.usdz")
    return ["usdz"] if (folder / "mesh.usdz").is_file() else []


_OTHER_FORMATS = {"OBJ": _write_obj, "FBX": _write_fbx, "USDZ": _write_usdz}
