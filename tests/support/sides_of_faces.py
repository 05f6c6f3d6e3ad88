"""How many sides the faces of a mesh file have, read without the importers of the product."""

from __future__ import annotations

import itertools
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path


def of_file(path: Path) -> dict[int, int]:
    """The faces of an OBJ, a zip of OBJ, a binary FBX or a USDZ, counted by their number of sides."""
    return dict(Counter(_READERS[path.suffix](path)))


def _of_obj_text(text: str) -> list[int]:
    return [len(line.split()) - 1 for line in text.splitlines() if line.startswith("f ")]


def _of_obj(path: Path) -> list[int]:
    return _of_obj_text(path.read_text("utf-8"))


def _of_zip(path: Path) -> list[int]:
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".obj"))
        return _of_obj_text(archive.read(name).decode())


def _of_fbx(path: Path) -> list[int]:
    """By PolygonVertexIndex, in which the last corner of each face is negative."""
    content = path.read_bytes()
    at = content.index(b"PolygonVertexIndexi") + len(b"PolygonVertexIndexi")
    count, is_packed, packed_bytes = struct.unpack_from("<III", content, at)
    raw = content[at + 12 : at + 12 + (packed_bytes if is_packed else 4 * count)]
    corners = struct.unpack(f"<{count}i", zlib.decompress(raw) if is_packed else raw)
    ends = [-1, *(number for number, corner in enumerate(corners) if corner < 0)]
    return [end - start for start, end in itertools.pairwise(ends)]


def _of_usdz(path: Path) -> list[int]:
    """By Blender's reader: there is no other one at hand."""
    import bpy

    before = set(bpy.data.meshes)
    bpy.ops.wm.usd_import(filepath=str(path))
    (mesh,) = set(bpy.data.meshes) - before
    return [len(polygon.vertices) for polygon in mesh.polygons]


_READERS = {".obj": _of_obj, ".zip": _of_zip, ".fbx": _of_fbx, ".usdz": _of_usdz}
