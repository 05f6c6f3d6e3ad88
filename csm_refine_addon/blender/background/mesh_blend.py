"""Writing and reading of a single mesh object as a .blend with polygons, attributes, materials and packed textures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bpy

from ...core.errors import MeshUnusable, PrepareFailed
from ...core.mesh_files import blend_files
from . import chunked_append, data_only


def write(obj: bpy.types.Object, path: Path) -> None:
    """Write a mesh object without modifiers to an uncompressed .blend for :func:`read_into_scene`.

    Reduces the object to plain data first (see :mod:`.data_only`) and removes images that cannot be packed. For a
    background Blender. Raises PrepareFailed if the file cannot be written.
    """
    for image in data_only.images_of(obj):
        if not _packed(image):
            bpy.data.images.remove(image)
    data_only.make_plain(obj)
    for image in data_only.images_of(obj):
        data_only.clear_packed_path(image)
    draft = path.with_name(f"{path.name}.part")
    try:
        bpy.data.libraries.write(str(draft), {obj}, compress=False)
        blend_files.refuse_more_than_data(draft)
        os.replace(draft, path)
    except (RuntimeError, OSError) as error:
        raise PrepareFailed(f"The mesh cannot be written to {path.name}: {error}.", "Free some disk space.") from error
    finally:
        draft.unlink(missing_ok=True)


def read_into_scene(path: Path) -> set[str]:
    """Append the single object of a .blend to the scene; return ``{"FINISHED"}`` like an import operator.

    Raises BlendTooNew if a newer Blender wrote it, MeshUnusable if it holds anything but one plain mesh object.
    """
    blend_files.refuse_newer(path, bpy.app.version[:2])
    try:
        bpy.context.scene.collection.objects.link(chunked_append.append(path))
    except MeshUnusable as error:
        raise blend_files.more_than_one_object() from error
    return {"FINISHED"}


def _packed(image: Any) -> bool:
    """Pack an image if it is not packed; return whether it is packed now. Movies and sequences cannot be packed."""
    if image.packed_file or image.packed_files:
        return True
    if image.source not in {"FILE", "TILED", "GENERATED"}:
        return False
    try:
        if image.source == "GENERATED":  # Blender packs generated images only after a change
            image.pixels[0] = image.pixels[0]
            image.update()
        image.pack()
    except (RuntimeError, IndexError):  # missing file, or an image without pixels
        return False
    return bool(image.packed_file or image.packed_files)
