"""The result into a file of its own: the placed object alone, or a copy of the whole scene."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import bpy

from ...core.errors import InputError
from ..meshes import mesh_io

SCENE = ".blend"
ALONE = (".glb", ".obj", ".fbx", ".usdz")


def check_output(path: Path) -> Path:
    """Return the absolute path of an output file that can be written, before anything is submitted.

    Raises InputError for an unknown ending, one that this Blender cannot write, a folder that is not there or cannot
    be written, and a file that is a folder or is write-protected.
    """
    path = path.expanduser().absolute()
    suffix = path.suffix.lower()
    if suffix not in (SCENE, *ALONE):
        endings = ", ".join((SCENE, *ALONE))
        raise InputError(f"The output {path.name} has no ending that can be written.", f"Use one of {endings}.")
    if suffix != SCENE and suffix not in mesh_io.writable():
        raise InputError(f"This Blender cannot write {suffix}.", "Use .glb, or another Blender.")
    if not path.parent.is_dir():
        raise InputError(f"The output's folder {path.parent} does not exist.", "Make it, or choose another one.")
    if path.is_dir():
        raise InputError(f"The output {path} is a folder.", "Give the name of a file.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"The output {path} cannot be written.", "Choose another folder.")
    return path


def export(obj: bpy.types.Object, path: Path) -> None:
    """Write one object, evaluated and in its world transform, or for ``.blend`` a copy of the open file.

    Selection, active object and mode are as before afterwards, and so is the open file's own path.
    Raises InputError as :func:`check_output`, or where Blender cannot write the file.
    """
    path = check_output(path)
    try:
        if path.suffix.lower() == SCENE:
            bpy.ops.wm.save_as_mainfile(filepath=str(path), check_existing=False, copy=True)
            return
        with _selection_kept():
            mesh_io.export_mesh(obj, path)
    except RuntimeError as error:  # what an operator reports
        reason = str(error).strip().splitlines()[-1].removeprefix("Error: ")
        raise InputError(f"Blender cannot write {path.name}: {reason}", "Choose another file or ending.") from error


@contextlib.contextmanager
def _selection_kept() -> Iterator[None]:
    """Leave the active object's mode, and bring selection, active object and mode back. Keeps names, not references."""
    objects = bpy.context.view_layer.objects
    selected, active = [obj.name for obj in objects.selected], objects.active
    name, mode = (active.name, active.mode) if active else ("", "OBJECT")
    if mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    try:
        yield
    finally:
        for obj in objects:
            obj.select_set(obj.name in selected)
        objects.active = objects.get(name)
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode=mode)
