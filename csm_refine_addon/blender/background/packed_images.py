"""The images that an importer has brought in: those that the mesh file holds are packed, all others removed."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import bpy


def keep_packed(images: list[bpy.types.Image], folder: Path) -> list[str]:
    """Pack the images that lie in ``folder``, remove those that then are not packed, and return their names.

    An importer may have opened a file elsewhere, of any kind: a movie or a sequence, too. No path stays.
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
            dropped.append(image.name.lstrip("_") or image.name)  # its folders, blanked
            bpy.data.images.remove(image)
    return dropped
