"""The result into a file of its own: the placed object alone, or a copy of the whole scene."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np

from ...core.errors import InputError, StorageError
from ..background import mesh_io

SCENE = ".blend"
ALONE = (".glb", ".obj", ".fbx", ".usdz")
PROBE_BYTES = 256 * 1024
"""Some exporters say nothing of a full disk (OBJ, USD: up to 5.2); where it is full, these fit no more, either."""


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
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"The output {path} cannot be written.", "Choose another folder.")
    return path


def export(obj: bpy.types.Object, path: Path) -> None:
    """Write one object, evaluated and in its world transform, or for ``.blend`` a copy of the open file.

    Selection, active object and mode are as before afterwards, and so is the open file's own path. Nothing but a
    whole file gets the output's name. Raises InputError as :func:`check_output`, or where Blender cannot write the
    file; StorageError where there is no room for it.
    """
    path = check_output(path)
    try:
        if path.suffix.lower() == SCENE:
            bpy.ops.wm.save_as_mainfile(filepath=str(path), check_existing=False, copy=True)  # a draft of its own
            return
        with _selection_kept(), _draft(path) as draft:
            mesh_io.export_mesh(obj, draft)
    except (RuntimeError, OSError) as error:  # what an operator reports
        if not _has_room(path.parent):
            raise StorageError(f"The disk has no room for {path.name}.", "Free some disk space, then retry.") from error
        reason = _reason(error)
        raise InputError(f"Blender cannot write {path.name}: {reason}", "Choose another file or ending.") from error


def format_warnings(obj: bpy.types.Object, path: Path) -> tuple[str, ...]:
    """Return a sentence on what the format of an output file cannot hold of an object: glTF has triangles only."""
    if path.suffix.lower() != ".glb":
        return ()
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    sides = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_total", sides)
    counts = ((int((sides == 4).sum()), "quads"), (int((sides > 4).sum()), "n-gons"))
    cut = " and ".join(f"{count:,} {name}" for count, name in counts if count)
    triangles = int((sides[sides > 3] - 2).sum())
    if not cut:
        return ()
    return (
        f"GLB holds triangles only: {cut} were written as {triangles:,} triangles. Use .fbx, .obj or .blend for quads.",
    )


@contextlib.contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; what is written there is moved at the end of the block, if it fitted."""
    with tempfile.TemporaryDirectory(prefix=".csm_refine_", dir=path.parent) as folder:
        yield Path(folder, path.name)
        if not _has_room(path.parent):
            raise OSError(f"{path.parent} is full")
        for written in Path(folder).iterdir():
            written.replace(path.with_name(written.name))


def _has_room(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError:
        return False
    return True


def _reason(error: Exception) -> str:
    """Return the last of an operator's lines that is not a place in our sources."""
    lines = [line.removeprefix("Error: ") for line in str(error).strip().splitlines()]
    told = [line for line in lines if line.strip() and not line.startswith("Location: ")]
    return told[-1] if told else "it does not say why."


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
