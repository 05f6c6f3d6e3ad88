"""Packing of imported images that belong to the mesh file, and removal of all others."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import bpy


def keep_packed(images: list[bpy.types.Image], folder: Path) -> list[str]:
    """Pack the images whose files are in ``folder``; remove those that are not packed then, and return their names.

    An importer may have opened any other file, also a movie or a sequence. All paths are removed from the images.
    """
    dropped = []
    for image in images:
        found = Path(bpy.path.abspath(image.filepath)).resolve()
        if not image.packed_file and found.is_relative_to(folder.resolve()) and found.is_file():
            image.pack()
        if image.packed_file:
            name = PureWindowsPath(image.filepath_raw).name
            image.filepath_raw = f"//{name}" if name else ""
        elif image.source != "GENERATED":
            dropped.append(image.name.lstrip("_") or image.name)  # underscores replace the path's folders
            bpy.data.images.remove(image)
    return dropped
