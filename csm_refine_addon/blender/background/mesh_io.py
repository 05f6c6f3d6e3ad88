"""Mesh files into and out of a background Blender: one joined mesh object, in Blender axes, with its materials.

Meant for an empty factory-startup Blender, and safe in a user's file: what was there before is left alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...core import limits, mesh_files
from ...core.errors import InputError, MeshUnusable
from ...core.mesh_files import MeshKind
from . import mesh_blend
from .join import join
from .merging import weld_mesh
from .packed_images import keep_packed

BLENDER_FROM_FILE = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
"""Y up, +Z front (OBJ as CSM writes it) to Z up, -Y front: exact, unlike the importer's rotated object."""


def import_mesh(path: Path, work_folder: Path, left_out: list[str] | None = None) -> bpy.types.Object:
    """Read a GLB, OBJ, zip of OBJ, FBX, or a .blend of one object as one mesh object and return it.

    The kind is told by the first bytes. All meshes of the file are joined; their node transforms, negative scales
    included, go into the vertices. Vertices that an exporter has split are one again (see :mod:`.welding`), in each of
    the file's meshes by itself. The object has an identity transform, no parent, no modifiers, no animation, and
    its origin is the file's origin, in Blender axes (Z up). Materials, UV maps and custom normals stay. Images that are
    in the file are packed; all others are dropped, and their names are added to ``left_out``. The file is read in a
    temporary folder of its own in ``work_folder``, so that none of its relative paths leads to a file.

    A .blend is not welded: it says itself which corners are one vertex.

    Raises MeshUnusable where the file does not pass :func:`~...core.mesh_files.check`, the importer refuses it, it has
    no faces, or a vertex is not finite; BlendTooNew where a newer Blender wrote it.
    """
    kind = mesh_files.check(path, allow_blend=True)  # the engine has refused one from another service
    objects, images, meshes = set(bpy.data.objects), set(bpy.data.images), set(bpy.data.meshes)
    with tempfile.TemporaryDirectory(dir=work_folder, ignore_cleanup_errors=True) as folder:
        if kind is MeshKind.ZIP:
            path, kind = mesh_files.extract_obj(path, Path(folder)), MeshKind.OBJ
        if kind is MeshKind.FBX:
            path = mesh_files.harmless_fbx(path, Path(folder))
        if kind is not MeshKind.BLEND and not path.is_relative_to(folder):
            path = _linked(path, Path(folder))
        _run_importer(_IMPORTERS[kind], path)
        dropped = keep_packed([image for image in bpy.data.images if image not in images], Path(folder))
    if left_out is not None:
        left_out += dropped
    brought = [found for found in bpy.data.objects if found not in objects]
    turn = BLENDER_FROM_FILE if kind is MeshKind.OBJ else Matrix()
    obj = _joined(brought, path.stem, turn, welds=kind is not MeshKind.BLEND)
    _remove_unused([mesh for mesh in bpy.data.meshes if mesh not in meshes])
    _refuse_unusable(obj.data)
    return obj


def export_mesh(obj: bpy.types.Object, path: Path) -> None:
    """Write one object, alone, as GLB, OBJ, FBX, USDZ, a zip of OBJ or a .blend, by the suffix of the path.

    Y up, in the object's world transform, textures inside (beside an ``.obj``, together with its MTL). A zip holds
    ``STEM/mesh.obj`` with MTL and textures, STEM being the zip's. GLB holds the vertices' float32 values as they are,
    OBJ as many digits as tell them apart. The selection is left on ``obj`` alone. A .blend holds the object as it is,
    which becomes plain data: see :mod:`.mesh_blend`.

    Raises InputError where the suffix is none of these, or this Blender cannot write it (see :func:`writable`).
    """
    suffix = path.suffix.lower()
    if suffix not in writable():
        raise InputError(f"This Blender cannot write {suffix or 'a file without an ending'}.", "Choose .glb or .obj.")
    _select_only(obj)
    _EXPORTERS[suffix](obj, path)


def writable() -> frozenset[str]:
    """Return the suffixes that this Blender can write; builds without USD cannot write ``.usdz``."""
    return frozenset(_EXPORTERS) if _has_operator("usd_export") else frozenset(_EXPORTERS) - {".usdz"}


def vertex_positions(mesh: bpy.types.Mesh) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the vertices' local positions, shape (n, 3), float32 as Blender keeps them."""
    positions = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    mesh.vertices.foreach_get("co", positions)
    return positions.reshape(-1, 3)


def vertex_bounds(obj: bpy.types.Object) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the least and the greatest corner of a mesh object's vertices, local, Blender axes, float64, shape (3,).

    Raises MeshUnusable where it has no vertices.
    """
    positions = vertex_positions(obj.data)
    if not len(positions):
        raise MeshUnusable("The mesh has no vertices.", "Refine again, or take another mesh.")
    return positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)


def transform_mesh(mesh: bpy.types.Mesh, matrix: Matrix) -> None:
    """Move, turn, stretch or mirror the vertices; faces keep looking outwards, and custom normals stay true.

    ``Mesh.transform`` keeps custom normals relative to the faces: stretched, they point elsewhere (seen in 4.2 to 5.2).
    """
    if matrix == Matrix():
        return
    normals = _turned_normals(mesh, matrix) if mesh.has_custom_normals and not _keeps_angles(matrix) else None
    mesh.transform(matrix)
    if matrix.determinant() < 0:
        mesh.flip_normals()
        if normals is not None:
            normals = normals[_flipped_corners(mesh)]
    mesh.update()
    if normals is not None:
        mesh.normals_split_custom_set(normals)


def _keeps_angles(matrix: Matrix) -> bool:
    turn = np.array(matrix.to_3x3(), dtype=np.float64)
    product = turn @ turn.T / max(np.abs(np.linalg.det(turn)) ** (2 / 3), 1e-300)
    return bool(np.linalg.det(turn) > 0 and np.allclose(product, np.eye(3), atol=1e-5))


def _turned_normals(mesh: bpy.types.Mesh, matrix: Matrix) -> np.ndarray[Any, Any]:
    """Return each corner's normal as it shall be after the transform: through the inverse transpose, unit length."""
    normals = np.empty(len(mesh.loops) * 3, dtype=np.float32)
    mesh.corner_normals.foreach_get("vector", normals)
    turn = np.linalg.pinv(np.array(matrix.to_3x3(), dtype=np.float64))
    turned = normals.reshape(-1, 3) @ turn
    return (turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-30)).astype(np.float32)


def _flipped_corners(mesh: bpy.types.Mesh) -> np.ndarray[Any, Any]:
    """Return where each corner stood before ``flip_normals``: a face keeps its first corner and turns the rest."""
    starts, totals = (np.empty(len(mesh.polygons), dtype=np.int32) for _ in range(2))
    mesh.polygons.foreach_get("loop_start", starts)
    mesh.polygons.foreach_get("loop_total", totals)
    start, total = np.repeat(starts, totals), np.repeat(totals, totals)
    return start + (total - (np.arange(len(mesh.loops)) - start)) % total


def _has_operator(name: str) -> bool:
    return name in dir(bpy.ops.wm)


# Import


def _import_glb(path: Path) -> Any:
    return bpy.ops.import_scene.gltf(filepath=str(path), merge_vertices=False, disable_bone_shape=True)


def _import_obj(path: Path) -> Any:
    return bpy.ops.wm.obj_import(
        filepath=str(path), forward_axis="Y", up_axis="Z", use_split_objects=False, validate_meshes=True
    )


def _import_fbx(path: Path) -> Any:
    if _has_operator("fbx_import"):  # since 4.5; the older importer fails on lights in 5.0 and 5.1
        operators: Any = bpy.ops.wm  # the stubs of 4.2 do not have it
        return operators.fbx_import(filepath=str(path), use_anim=False)
    return bpy.ops.import_scene.fbx(filepath=str(path), use_anim=False)


_IMPORTERS: dict[MeshKind, Callable[[Path], Any]] = {
    MeshKind.GLB: _import_glb,
    MeshKind.OBJ: _import_obj,
    MeshKind.FBX: _import_fbx,
    MeshKind.BLEND: mesh_blend.read_into_scene,
}


def _run_importer(importer: Callable[[Path], Any], path: Path) -> None:
    try:
        result = importer(path)
    except RuntimeError as error:
        if "MemoryError" in str(error):
            raise limits.out_of_memory() from error
        raise MeshUnusable(
            f"Blender cannot read the mesh: {_reason(str(error))}", "Refine again, or take another mesh."
        ) from error
    if "FINISHED" not in result:
        raise MeshUnusable("Blender cannot read the mesh.", "Refine again, or take another mesh.")


def _reason(said: str) -> str:
    """Return the last line of what an operator reports, or of the exception in one; behind it may stand a place."""
    lines = [line for line in said.strip().splitlines() if not line.startswith("Location: ")]
    return lines[-1].removeprefix("Error: ") if lines else "it does not say why."


def _linked(path: Path, folder: Path) -> Path:
    """Return another name of a file, in ``folder``; a copy where the file system has no links."""
    link = folder / path.name
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)
    return link


def _joined(brought: list[bpy.types.Object], name: str, turn: Matrix, *, welds: bool) -> bpy.types.Object:
    """Return one new object out of all meshes in ``brought``; everything else in there is removed."""
    for found in brought:
        found.animation_data_clear()
    bpy.context.view_layer.update()
    parts = [_standing_mesh(found, turn, welds=welds) for found in brought if found.type == "MESH"]
    for found in brought:
        bpy.data.objects.remove(found)
    if not parts:
        raise MeshUnusable("The file holds no mesh.", "Refine again, or take another mesh.")
    objects = [bpy.data.objects.new(name, part) for part in parts]
    for part in objects:
        bpy.context.scene.collection.objects.link(part)
    if len(objects) > 1:
        join(objects)
    return objects[0]


def _standing_mesh(obj: bpy.types.Object, turn: Matrix, *, welds: bool) -> bpy.types.Mesh:
    """Return a mesh of its own with the object's modifiers, shape keys and world transform applied, after welding."""
    mesh: Any = obj.data
    if obj.modifiers or mesh.shape_keys:
        depsgraph = bpy.context.evaluated_depsgraph_get()
        mesh = bpy.data.meshes.new_from_object(
            obj.evaluated_get(depsgraph), preserve_all_data_layers=True, depsgraph=depsgraph
        )
    elif mesh.users > 1:
        mesh = mesh.copy()
    if welds:
        weld_mesh(mesh)
    transform_mesh(mesh, turn @ obj.matrix_world)
    return mesh


def _remove_unused(meshes: list[bpy.types.Mesh]) -> None:
    for mesh in meshes:
        if not mesh.users:
            bpy.data.meshes.remove(mesh)


def _refuse_unusable(mesh: bpy.types.Mesh) -> None:
    if not mesh.polygons:
        raise MeshUnusable("The mesh has no faces.", "Refine again, or take another mesh.")
    if not np.isfinite(vertex_positions(mesh)).all():
        raise MeshUnusable("The mesh has vertices that are not finite numbers.", "Refine again, or take another mesh.")


# Export


def _select_only(obj: bpy.types.Object) -> None:
    bpy.context.view_layer.update()  # without it, removed objects are still listed, as None
    for other in bpy.context.view_layer.objects:
        other.select_set(other == obj)
    bpy.context.view_layer.objects.active = obj


def _export_glb(obj: bpy.types.Object, path: Path) -> None:
    bpy.ops.export_scene.gltf(
        filepath=str(path), export_format="GLB", use_selection=True, export_apply=True, export_animations=False
    )


def _export_fbx(obj: bpy.types.Object, path: Path) -> None:
    with _named_images(obj, path.stem, packed_only=True):  # an image without a file name comes back as a folder's name
        bpy.ops.export_scene.fbx(
            filepath=str(path),
            use_selection=True,
            object_types={"MESH"},
            apply_scale_options="FBX_SCALE_ALL",
            bake_space_transform=True,
            mesh_smooth_type="FACE",
            path_mode="COPY",
            embed_textures=True,
            bake_anim=False,
        )


def _export_usdz(obj: bpy.types.Object, path: Path) -> None:
    bpy.ops.wm.usd_export(
        filepath=str(path),
        selected_objects_only=True,
        convert_orientation=True,
        export_global_forward_selection="NEGATIVE_Z",
        export_global_up_selection="Y",
        convert_world_material=False,
        evaluation_mode="VIEWPORT",
    )


def _export_obj(obj: bpy.types.Object, path: Path) -> None:
    """OBJ, MTL and, beside them, the images that the MTL names; nothing else is left in the folder."""
    with _named_images(obj, path.stem, packed_only=False) as images:
        bpy.ops.wm.obj_export(
            filepath=str(path), export_selected_objects=True, export_pbr_extensions=True, path_mode="STRIP"
        )
        material_file = path.with_suffix(".mtl")
        named = material_file.read_text("utf-8", "replace") if material_file.exists() else ""
        for name, image in images.items():
            if name in named:
                _write_image(image, path.parent / name)
    _restore_digits(obj, path)


@dataclass(frozen=True)
class _NamedImage:
    image: bpy.types.Image
    source: Path
    """Where its file is, if it is not packed."""


@contextlib.contextmanager
def _named_images(obj: bpy.types.Object, stem: str, *, packed_only: bool) -> Iterator[dict[str, _NamedImage]]:
    """Give the object's images file names without spaces, unique beside ``stem``, for as long as the block lasts."""
    images = [image for image in dict.fromkeys(_images_of(obj)) if image.packed_file or not packed_only]
    paths = [image.filepath_raw for image in images]
    sources = [Path(bpy.path.abspath(image.filepath, library=image.library)) for image in images]
    try:
        named = {}
        for number, (image, source) in enumerate(zip(images, sources, strict=True)):
            name = f"{stem}_{number}{_image_suffix(image, source)}"
            image.filepath_raw = f"//{name}"
            named[name] = _NamedImage(image, source)
        yield named
    finally:
        for image, before in zip(images, paths, strict=True):
            image.filepath_raw = before


def _images_of(obj: bpy.types.Object) -> Iterator[bpy.types.Image]:
    for slot in obj.material_slots:
        tree: Any = slot.material.node_tree if slot.material else None
        for node in tree.nodes if tree else ():
            if node.type == "TEX_IMAGE" and node.image:
                yield node.image


def _image_suffix(image: bpy.types.Image, source: Path) -> str:
    if not image.packed_file:
        return source.suffix if source.is_file() else ".png"
    head = image.packed_file.data[:12]
    if head.startswith(b"\xff\xd8"):
        return ".jpg"
    return ".webp" if head[:4] == b"RIFF" and head[8:] == b"WEBP" else ".png"


def _write_image(named: _NamedImage, target: Path) -> None:
    if named.image.packed_file:
        target.write_bytes(named.image.packed_file.data)
    elif named.source.is_file():
        shutil.copyfile(named.source, target)
    else:
        named.image.save(filepath=str(target))


def _restore_digits(obj: bpy.types.Object, path: Path) -> None:
    """Write the vertices again with all their digits: Blender's exporter rounds to a millionth of a metre."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    turn = np.array(BLENDER_FROM_FILE.transposed() @ obj.matrix_world, dtype=np.float64)
    positions = vertex_positions(evaluated.data) @ turn[:3, :3].T + turn[:3, 3]
    exact = iter(positions.astype(np.float32).tolist())
    draft = path.with_name(path.name + ".part")
    with path.open("rb") as source, draft.open("wb") as target:
        for line in source:
            target.write(b"v %.9g %.9g %.9g\n" % tuple(next(exact)) if line.startswith(b"v ") else line)
    draft.replace(path)


def _export_zip(obj: bpy.types.Object, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        folder = Path(scratch) / path.stem
        folder.mkdir()
        _export_obj(obj, folder / "mesh.obj")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, f"{path.stem}/{file.name}")


_EXPORTERS: dict[str, Callable[[bpy.types.Object, Path], None]] = {
    ".glb": _export_glb,
    ".obj": _export_obj,
    ".fbx": _export_fbx,
    ".usdz": _export_usdz,
    ".zip": _export_zip,
    ".blend": mesh_blend.write,
}
