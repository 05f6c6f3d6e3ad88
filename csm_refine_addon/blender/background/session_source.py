"""Export of objects of the open file as the mesh file of a new session, in the frame of the source object.

:func:`write` runs in the window and only writes a .blend; :func:`main` runs in a background Blender and exports it. The
mesh file holds the source's evaluated geometry without its rotation, with its origin at zero, so that the refined mesh
matches the measured box. A .blend or FBX holds polygons, a GLB triangles.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy
from mathutils import Matrix, Quaternion, Vector

from ...core import private_files
from ...core.errors import CsmError, InputError, MeshUnusable, StorageError
from ...core.jobs import state_machine
from ..geometry import bounds
from ..geometry.object_hierarchy import with_children
from . import mesh_io
from .join import join


def write(active: bpy.types.Object, objects: Sequence[bpy.types.Object], path: Path) -> tuple[str, ...]:
    """Write the visible objects of ``active``, ``objects`` and their children to a .blend; return names, active first.

    Objects that are linked from a library are copied into it, with their data. Does not change Blender's data.
    Raises InputError if ``active`` is hidden, StorageError if the write fails.
    """
    shown = [obj for obj in with_children([active, *objects]) if obj.visible_get()]
    if active not in shown:
        raise InputError(f"“{active.name}” is hidden.", "Show it, or select another object.")
    shown.sort(key=lambda obj: obj != active)
    with _local(shown) as written:
        try:
            bpy.data.libraries.write(str(path), set(written), path_remap="ABSOLUTE", fake_user=True)
            private_files.touch(path)
        except (RuntimeError, OSError) as error:
            raise StorageError(f"The source cannot be written to {path}: {error}.", "Free some disk space.") from error
        return tuple(obj.name for obj in written)


@contextlib.contextmanager
def _local(objects: Sequence[bpy.types.Object]) -> Iterator[list[bpy.types.Object]]:
    """Yield the objects, with copies of the linked ones in their place until the block ends.

    For a linked object, ``libraries.write`` writes only a reference to its library.
    """
    copies: list[Any] = []
    try:
        yield [obj if obj.library is None else _copied(obj, copies) for obj in objects]
    finally:
        bpy.data.batch_remove(copies)


def _copied(obj: bpy.types.Object, copies: list[Any]) -> bpy.types.Object:
    copy = obj.copy()
    copies.append(copy)
    if copy.data is not None:
        copy.data = copy.data.copy()
        copies.append(copy.data)
    return copy


def main(request: Mapping[str, Any]) -> int:
    """Export objects of a .blend to a mesh file; return 0, or 8 and write the error to the report.

    The request is
    ``{"blend": path, "objects": names, "mesh": path to write, "report": path to write}``.
    """
    report: dict[str, object] = {"error": None}
    try:
        export(_append_objects(request["blend"], request["objects"]), Path(request["mesh"]))
    except CsmError as error:
        report["error"] = dataclasses.asdict(state_machine.job_error(error))
    Path(request["report"]).write_text(json.dumps(report), encoding="utf-8")
    return MeshUnusable.exit_code if report["error"] else 0


def export(objects: Sequence[bpy.types.Object], path: Path) -> None:
    """Write objects to a mesh file in the frame of the first one. Destroys the scene.

    Raises InputError if they have no faces, or the frame is not usable.
    """
    frame = bounds.frame(objects[0])
    frame_matrix = Matrix.Translation(Vector(frame.origin)) @ Quaternion(frame.rotation).to_matrix().to_4x4()
    if frame.mirrored:
        frame_matrix @= Matrix.Scale(-1.0, 4)  # the session has the unmirrored mesh; its result is mirrored again
    meshes = _meshes(set(objects), frame_matrix.inverted())
    if not meshes:
        raise InputError(f"“{objects[0].name}” has no faces to refine.", "Select an object with faces.")
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    parts = [bpy.data.objects.new("source", mesh) for mesh in meshes]
    for part in parts:
        bpy.context.scene.collection.objects.link(part)
    if len(parts) > 1:
        join(parts)
    _make_local()
    mesh_io.export_mesh(parts[0], path)


def _append_objects(blend: str, names: Sequence[str]) -> list[bpy.types.Object]:
    """Append all objects of a .blend to an empty scene and return those with these names."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    libraries: Any = bpy.data.libraries  # in the stubs, load() is no context manager
    with libraries.load(blend) as (found, wanted):
        wanted.objects = list(found.objects)
    for obj in wanted.objects:
        bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.update()
    return [bpy.data.objects[name] for name in names]


def _make_local() -> None:
    """Make linked and overridden data local, such as materials and textures of an asset library."""
    if bpy.data.libraries:
        bpy.ops.object.make_local(type="ALL")
        data: Any = bpy.data  # in the stubs of 4.2, the arguments of user_map() are not optional
        for block in [block for block in data.user_map() if block.override_library]:
            block.make_local()


def _meshes(sources: set[bpy.types.Object], to_frame: Matrix) -> list[bpy.types.Mesh]:
    """Return the visible geometry of the source objects and their instances as meshes in the frame."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    meshes = []
    for instance in depsgraph.object_instances:
        owner = instance.parent if instance.is_instance else instance.object
        if owner is None or owner.original not in sources or not instance.show_self:
            continue
        mesh = _mesh(instance.object, depsgraph)
        if mesh is not None:
            mesh_io.transform_mesh(mesh, to_frame @ instance.matrix_world)
            meshes.append(mesh)
    return meshes


def _mesh(evaluated: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> bpy.types.Mesh | None:
    """Return a new mesh of an evaluated object, or None if it has no faces."""
    try:
        mesh = bpy.data.meshes.new_from_object(evaluated, preserve_all_data_layers=True, depsgraph=depsgraph)
    except RuntimeError:
        return None  # the object's type has no mesh: a camera, a light, an empty
    if mesh is None or not mesh.polygons:
        return None
    mesh.use_fake_user = False
    return mesh
