"""A large prepared mesh in parts, so that no turn of the window's timer brings in more than one of them.

Beside the whole .blend lies a folder: a .blend without UV maps and images, the UV maps as arrays, the images as files.
Most of what an append costs is memory that is touched for the first time, so it grows with the bytes: for 185 MB it is
50 to 130 ms, for the largest of the parts two thirds of that (``docs/benchmarks.md``).
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
"""A smaller .blend is appended whole: that takes a few hundredths of a second."""
FOLDER = "parts"
REST, CONTENTS = "rest.blend", "contents.json"
_PART = re.compile(r"(?:uv_\d+\.npy|image_\d+)", re.ASCII)


def write(obj: bpy.types.Object, blend: Path, large_bytes: int = LARGE_BYTES) -> None:
    """Write the parts of the object that this Blender has just saved whole as ``blend``, if that is large.

    Leaves the object without UV maps and images. Parts of an older mesh are removed in any case.
    """
    folder = blend.with_name(FOLDER)
    draft = folder.with_suffix(".part")
    for old in (folder, draft):
        shutil.rmtree(old, ignore_errors=True)
    if blend.stat().st_size < large_bytes:
        return
    draft.mkdir()
    contents = {**_set_aside_uv_maps(obj.data, draft), "images": _set_aside_images(obj, draft)}
    bpy.ops.wm.save_as_mainfile(filepath=str(draft / REST), check_existing=False, compress=False, copy=True)
    (draft / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
    os.replace(draft, folder)


def append(blend: Path, *, with_images: bool = True) -> bpy.types.Object:
    """Append the one mesh object of a prepared .blend, as plain data; it is in no collection yet.

    Raises MeshUnusable where the file cannot be read, or holds anything else: then nothing of it is there.
    ``with_images``: those that it shows are inside.
    """
    blend_files.refuse_more_than_data(blend)
    before = _present()
    objects = _load(blend)
    if len(objects) == 1 and _is_wanted(objects[0], with_images=with_images):
        data_only.without_origin(objects[0])
        return objects[0]
    bpy.data.batch_remove(_present() - before)
    if len(objects) != 1:
        raise MeshUnusable(f"The prepared file {blend.name} does not hold the one mesh.", "Retry the job.")
    raise blend_files.more_than_a_mesh(blend.name)


def _is_wanted(obj: bpy.types.Object, *, with_images: bool) -> bool:
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
        libraries.remove(library)  # appending leaves it behind, empty
    return [obj for obj in target.objects if obj is not None]


def _present() -> set[Any]:
    """All blocks of the kinds that a prepared .blend may hold."""
    data = bpy.data
    return {*data.objects, *data.meshes, *data.materials, *data.images, *data.node_groups}


def remove(obj: bpy.types.Object) -> None:
    """Remove an object with all that came with it."""
    materials = [material for material in obj.data.materials if material]
    blocks: list[Any] = [obj, obj.data, *materials, *images_of(obj)]
    bpy.data.batch_remove(blocks)


class Delivery:
    """Brings in the parts, one with each call. Until it is taken, the object is in no collection: unseen, unsaved.

    Between two calls the user may undo, or purge what nobody uses: then there is nothing to take, and the whole .blend
    is to be appended instead. The same where a part cannot be read.
    """

    def __init__(self, blend: Path) -> None:
        """Take up the parts beside ``blend``; where there are none, the delivery is complete and empty."""
        self._folder = blend.with_name(FOLDER)
        self._uid = -1
        self._left: list[Callable[[], None]] = []
        self._contents = _contents(self._folder)
        if self._contents:
            later = [*map(self._uv_map, self._contents["uv_maps"]), *map(self._image, self._contents["images"])]
            self._left = [self._bring_rest, *later]

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to be brought."""
        return not self._left

    def bring_next(self) -> None:
        """Bring in the next part."""
        try:
            self._left.pop(0)()
        except (MeshUnusable, LookupError, OSError, RuntimeError, ValueError):
            self._left.clear()  # what is there already goes when it is taken and found incomplete

    def take(self) -> bpy.types.Object | None:
        """Return the whole object, or None where a part is missing; then nothing of it is left."""
        obj = self._found()
        if obj is not None and self._is_whole(obj):
            return obj
        self.drop()
        return None

    def drop(self) -> None:
        """Remove what was brought."""
        obj = self._found()
        if obj is not None:
            remove(obj)

    def _found(self) -> Any:
        return next((obj for obj in bpy.data.objects if obj.session_uid == self._uid), None)

    def _object(self) -> Any:
        obj = self._found()
        if obj is None:
            raise LookupError("what was brought is gone")
        return obj

    def _is_whole(self, obj: bpy.types.Object) -> bool:
        names = [name for name, _file in self._contents["uv_maps"]]
        return obj.data.uv_layers.keys() == names and data_only.has_images_inside(obj)

    def _bring_rest(self) -> None:
        self._uid = append(self._folder / REST, with_images=False).session_uid

    def _uv_map(self, entry: tuple[str, str]) -> Callable[[], None]:
        name, file = entry

        def bring() -> None:
            layers = self._object().data.uv_layers
            layers.new(name=name, do_init=False).uv.foreach_set("vector", np.load(self._folder / file, mmap_mode="r"))
            for which in ("active", "active_clone", "active_render"):
                if self._contents[which] == name:
                    _choose(layers, which, name)

        return bring

    def _image(self, entry: tuple[int, str, str]) -> Callable[[], None]:
        index, file, path = entry

        def bring() -> None:
            image = images_of(self._object())[index]
            image.filepath_raw = str(self._folder / file)
            image.pack()
            image.filepath_raw = path
            data_only.forget_place(image)

        return bring


def _contents(folder: Path) -> dict[str, Any]:
    """Return what the parts are; nothing where there are none, they cannot be read, or lie in another folder."""
    try:
        found: dict[str, Any] = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        files = [entry[1] for entry in (*found["uv_maps"], *found["images"])]
    except (OSError, ValueError, TypeError, LookupError):
        return {}
    return found if all(_PART.fullmatch(file) for file in files) else {}


def _set_aside_uv_maps(mesh: Any, folder: Path) -> dict[str, Any]:
    layers = mesh.uv_layers
    names = list(layers.keys())
    chosen = {
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
    return {"uv_maps": [(name, f"uv_{number}.npy") for number, name in enumerate(names)], **chosen}


def _choose(layers: Any, which: str, name: str) -> None:
    if which == "active":
        layers.active = layers[name]
    else:
        setattr(layers[name], which, True)


def _set_aside_images(obj: bpy.types.Object, folder: Path) -> list[tuple[int, str, str]]:
    """Write the images as they are packed, told by their place in :func:`images_of`, which appending keeps."""
    entries = []
    for index, image in enumerate(images_of(obj)):
        if image.packed_file:
            (folder / f"image_{index}").write_bytes(image.packed_file.data)
            entries.append((index, f"image_{index}", image.filepath_raw))
            image.unpack(method="REMOVE")
    return entries
