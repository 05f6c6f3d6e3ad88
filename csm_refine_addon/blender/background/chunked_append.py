"""Appending of a large prepared mesh in chunks, one for each run of the timer, so that the window stays responsive.

A folder beside the whole .blend holds the chunks: a .blend without UV maps and images, the UV maps as arrays, and the
images as files. Most of the time of an append is spent on the first access to new memory, so it grows with the size:
50 to 130 ms for 185 MB, and two thirds of that for the largest chunk (``docs/benchmarks.md``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core.errors import MeshUnusable
from ...core.mesh_files import blend_files
from . import data_only
from .inspection import images_of

LARGE_BYTES = 64 << 20
"""A smaller .blend is appended at once, which takes some 10 ms."""
FOLDER = "parts"
REST, CONTENTS = "rest.blend", "contents.json"
_CHUNK_FILE = re.compile(r"(?:uv_\d+\.npy|image_\d+)", re.ASCII)


def write(obj: bpy.types.Object, blend: Path, large_bytes: int = LARGE_BYTES) -> None:
    """Write the chunks of the object that was just saved to ``blend``, if that file is large.

    Removes the object's UV maps and packed images, and any chunks of an earlier mesh.
    """
    folder = blend.with_name(FOLDER)
    draft = folder.with_suffix(".part")
    for old in (folder, draft):
        shutil.rmtree(old, ignore_errors=True)
    if blend.stat().st_size < large_bytes:
        return
    draft.mkdir()
    contents = {**_export_uv_maps(obj.data, draft), "images": _export_images(obj, draft)}
    bpy.ops.wm.save_as_mainfile(filepath=str(draft / REST), check_existing=False, compress=False, copy=True)
    (draft / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
    os.replace(draft, folder)


def append(blend: Path, *, with_images: bool = True) -> bpy.types.Object:
    """Append the single mesh object of a prepared .blend; the object is not linked to a collection.

    With ``with_images``, all images must be packed. Raises MeshUnusable if the file cannot be read or holds anything
    but plain mesh data; nothing of it is left in that case.
    """
    blend_files.refuse_more_than_data(blend)
    before = _data_blocks()
    objects = _load(blend)
    if len(objects) == 1 and _is_valid(objects[0], with_images=with_images):
        data_only.clear_library_reference(objects[0])
        return objects[0]
    bpy.data.batch_remove(_data_blocks() - before)
    if len(objects) != 1:
        raise MeshUnusable(f"The prepared file {blend.name} does not hold the one mesh.", "Retry the job.")
    raise blend_files.more_than_a_mesh(blend.name)


def _is_valid(obj: bpy.types.Object, *, with_images: bool) -> bool:
    return obj.type == "MESH" and data_only.is_plain(obj) and (data_only.has_images_inside(obj) or not with_images)


def _load(blend: Path) -> list[bpy.types.Object]:
    libraries: Any = bpy.data.libraries
    before = set(libraries)
    try:
        with libraries.load(str(blend), link=False) as (source, target):
            target.objects = list(source.objects)
    except OSError as error:
        raise MeshUnusable(f"The prepared file {blend.name} cannot be read.", "Retry the job.") from error
    for library in set(libraries) - before:
        libraries.remove(library)  # appending leaves an empty library block
    return [obj for obj in target.objects if obj is not None]


def _data_blocks() -> set[Any]:
    """Return all data-blocks of the types that a prepared .blend may hold."""
    data = bpy.data
    return {*data.objects, *data.meshes, *data.materials, *data.images, *data.node_groups}


def remove(obj: bpy.types.Object) -> None:
    """Remove an object with its mesh, materials and images."""
    materials = [material for material in obj.data.materials if material]
    blocks: list[Any] = [obj, obj.data, *materials, *images_of(obj)]
    bpy.data.batch_remove(blocks)


class ChunkedAppend:
    """Appends the chunks of a mesh, one with each call of :meth:`append_next`.

    Until :meth:`take` returns the object, it is in no collection, so it is not visible and not saved. If the user
    undoes or purges unused data between two calls, or a chunk cannot be read, :meth:`take` returns None and the whole
    .blend must be appended instead.
    """

    def __init__(self, blend: Path) -> None:
        """Read the list of chunks beside ``blend``; without chunks, the append is complete and empty."""
        self._folder = blend.with_name(FOLDER)
        self._uid = -1
        self._remaining: list[Callable[[], None]] = []
        self._contents = _contents(self._folder)
        if self._contents:
            later = [*map(self._uv_map, self._contents["uv_maps"]), *map(self._image, self._contents["images"])]
            self._remaining = [self._append_rest, *later]

    @property
    def is_complete(self) -> bool:
        """Whether all chunks are appended."""
        return not self._remaining

    def append_next(self) -> None:
        """Append the next chunk."""
        try:
            self._remaining.pop(0)()
        except (MeshUnusable, LookupError, OSError, RuntimeError, ValueError):
            self._remaining.clear()  # take() removes the incomplete object

    def take(self) -> bpy.types.Object | None:
        """Return the complete object; if a chunk is missing, remove the object and return None."""
        obj = self._find()
        if obj is not None and self._is_complete_object(obj):
            return obj
        self.drop()
        return None

    def drop(self) -> None:
        """Remove the object appended so far."""
        obj = self._find()
        if obj is not None:
            remove(obj)

    def _find(self) -> Any:
        return next((obj for obj in bpy.data.objects if obj.session_uid == self._uid), None)

    def _object(self) -> Any:
        obj = self._find()
        if obj is None:
            raise LookupError("the appended object was removed")
        return obj

    def _is_complete_object(self, obj: bpy.types.Object) -> bool:
        names = [name for name, _file in self._contents["uv_maps"]]
        return obj.data.uv_layers.keys() == names and data_only.has_images_inside(obj)

    def _append_rest(self) -> None:
        self._uid = append(self._folder / REST, with_images=False).session_uid

    def _uv_map(self, entry: tuple[str, str]) -> Callable[[], None]:
        name, file = entry

        def read() -> None:
            layers = self._object().data.uv_layers
            layers.new(name=name, do_init=False).uv.foreach_set("vector", np.load(self._folder / file, mmap_mode="r"))
            for kind in ("active", "active_clone", "active_render"):
                if self._contents[kind] == name:
                    _activate(layers, kind, name)

        return read

    def _image(self, entry: tuple[int, str, str]) -> Callable[[], None]:
        index, file, path = entry

        def read() -> None:
            image = images_of(self._object())[index]
            image.filepath_raw = str(self._folder / file)
            image.pack()
            image.filepath_raw = path
            data_only.clear_packed_path(image)

        return read


def _contents(folder: Path) -> dict[str, Any]:
    """Return the list of chunks; empty if there are none, it cannot be read, or it names files elsewhere."""
    try:
        found: dict[str, Any] = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        files = [entry[1] for entry in (*found["uv_maps"], *found["images"])]
    except (OSError, ValueError, TypeError, LookupError):
        return {}
    return found if all(_CHUNK_FILE.fullmatch(file) for file in files) else {}


def _export_uv_maps(mesh: Any, folder: Path) -> dict[str, Any]:
    layers = mesh.uv_layers
    names = list(layers.keys())
    active = {
        "active": layers.active.name if layers.active else "",
        "active_clone": next((layer.name for layer in layers if layer.active_clone), ""),
        "active_render": next((layer.name for layer in layers if layer.active_render), ""),
    }
    for number, name in enumerate(names):
        values = np.empty(len(mesh.loops) * 2, dtype=np.float32)
        layers[name].uv.foreach_get("vector", values)
        np.save(folder / f"uv_{number}.npy", values)
    for name in names:
        layers.remove(layers[name])
    return {"uv_maps": [(name, f"uv_{number}.npy") for number, name in enumerate(names)], **active}


def _activate(layers: Any, kind: str, name: str) -> None:
    if kind == "active":
        layers.active = layers[name]
    else:
        setattr(layers[name], kind, True)


def _export_images(obj: bpy.types.Object, folder: Path) -> list[tuple[int, str, str]]:
    """Write the packed images to files, identified by their index in :func:`images_of`, which appending preserves."""
    entries = []
    for index, image in enumerate(images_of(obj)):
        if image.packed_file:
            (folder / f"image_{index}").write_bytes(image.packed_file.data)
            entries.append((index, f"image_{index}", image.filepath_raw))
            image.unpack(method="REMOVE")
    return entries
