"""Import of a mesh file as one object in Blender axes, and export of one object to a mesh file.

Meant for a background Blender with an empty scene, but safe in a user's file: existing data is not changed.
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
"""Y up, +Z front (OBJ files of CSM) to Z up, -Y front; exact, unlike the rotation that the importer applies."""


def import_mesh(path: Path, work_folder: Path, dropped_images: list[str] | None = None) -> bpy.types.Object:
    """Import a GLB, OBJ, zip of OBJ, FBX, or a .blend with a single object; return one mesh object.

    The format is detected by the first bytes. All meshes of the file are joined; their node transforms, negative scales
    included, are applied to the vertices. Vertices that an exporter has split are merged within each mesh of the file
    (see :mod:`.weld`), except in a .blend, which stores shared vertices. The object has an identity transform, no
    parent, modifiers or animation, and its origin is the file's origin, in Blender axes (Z up). Materials, UV maps and
    custom normals stay. Images in the file are packed; all others are removed, and their names are added to
    ``dropped_images``. The file is read from a temporary folder in ``work_folder``, so that no relative path resolves.

    Raises MeshUnusable if the file does not pass :func:`~...core.mesh_files.check`, the importer refuses it, it has
    no faces, or a vertex is not finite; BlendTooNew if a newer Blender wrote it.
    """
    kind = mesh_files.check(path, allow_blend=True)  # the job runner rejects .blend files of other services
    objects, images, meshes = set(bpy.data.objects), set(bpy.data.images), set(bpy.data.meshes)
    with tempfile.TemporaryDirectory(dir=work_folder, ignore_cleanup_errors=True) as folder:
        if kind is MeshKind.ZIP:
            path, kind = mesh_files.extract_obj(path, Path(folder)), MeshKind.OBJ
        if kind is MeshKind.FBX:
            path = mesh_files.harmless_fbx(path, Path(folder))
        if kind is not MeshKind.BLEND and not path.is_relative_to(folder):
            path = _hard_link(path, Path(folder))
        _run_importer(_IMPORTERS[kind], path)
        dropped = keep_packed([image for image in bpy.data.images if image not in images], Path(folder))
    if dropped_images is not None:
        dropped_images += dropped
    imported = [found for found in bpy.data.objects if found not in objects]
    turn = BLENDER_FROM_FILE if kind is MeshKind.OBJ else Matrix()
    obj = _join_imported(imported, path.stem, turn, welds=kind is not MeshKind.BLEND)
    _remove_unused([mesh for mesh in bpy.data.meshes if mesh not in meshes])
    _refuse_unusable(obj.data)
    return obj


def export_mesh(obj: bpy.types.Object, path: Path) -> None:
    """Export a single object as GLB, OBJ, FBX, USDZ, zip of OBJ or .blend, selected by the suffix of the path.

    Y up, with the object's world transform and embedded textures (beside an ``.obj``, together with its MTL). A zip
    holds ``STEM/mesh.obj`` with MTL and textures, where STEM is the zip's stem. GLB holds the exact float32 values of
    the vertices, OBJ enough digits to restore them. Selects only ``obj``. A .blend holds the object's polygons; the
    export reduces the object to plain data, see :mod:`.mesh_blend`.

    Raises InputError if the suffix is unknown or this Blender cannot write it (see :func:`writable`).
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
    """Return the vertices' local positions, (n, 3) float32."""
    positions = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    mesh.vertices.foreach_get("co", positions)
    return positions.reshape(-1, 3)


def vertex_bounds(obj: bpy.types.Object) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the minimum and maximum of a mesh object's vertices in local Blender axes, each (3,) float64.

    Raises MeshUnusable if it has no vertices.
    """
    positions = vertex_positions(obj.data)
    if not len(positions):
        raise MeshUnusable("The mesh has no vertices.", "Refine again, or take another mesh.")
    return positions.min(axis=0).astype(np.float64), positions.max(axis=0).astype(np.float64)


def transform_mesh(mesh: bpy.types.Mesh, matrix: Matrix) -> None:
    """Transform the vertices, correct the face orientation after mirroring, and transform custom normals.

    ``Mesh.transform`` keeps custom normals relative to the faces, which is wrong after non-uniform scaling (seen in 4.2
    to 5.2).
    """
    if matrix == Matrix():
        return
    normals = _transformed_normals(mesh, matrix) if mesh.has_custom_normals and not _keeps_angles(matrix) else None
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


def _transformed_normals(mesh: bpy.types.Mesh, matrix: Matrix) -> np.ndarray[Any, Any]:
    """Return the unit corner normals after the transform, by its inverse transpose."""
    normals = np.empty(len(mesh.loops) * 3, dtype=np.float32)
    mesh.corner_normals.foreach_get("vector", normals)
    turn = np.linalg.pinv(np.array(matrix.to_3x3(), dtype=np.float64))
    transformed = normals.reshape(-1, 3) @ turn
    return (transformed / np.maximum(np.linalg.norm(transformed, axis=1, keepdims=True), 1e-30)).astype(np.float32)


def _flipped_corners(mesh: bpy.types.Mesh) -> np.ndarray[Any, Any]:
    """Return each corner's index before ``flip_normals``, which keeps a face's first corner and reverses the rest."""
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
        operators: Any = bpy.ops.wm  # missing in the stubs of 4.2
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


def _reason(report: str) -> str:
    """Return the last line of an operator's error report, without a trailing ``Location:`` line."""
    lines = [line for line in report.strip().splitlines() if not line.startswith("Location: ")]
    return lines[-1].removeprefix("Error: ") if lines else "it does not say why."


def _hard_link(path: Path, folder: Path) -> Path:
    """Make a hard link to a file in ``folder``, or a copy if the file system has no links; return its path."""
    link = folder / path.name
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)
    return link


def _join_imported(imported: list[bpy.types.Object], name: str, turn: Matrix, *, welds: bool) -> bpy.types.Object:
    """Join all meshes in ``imported`` into one new object; remove all objects in ``imported``."""
    for found in imported:
        found.animation_data_clear()
    bpy.context.view_layer.update()
    parts = [_baked_mesh(found, turn, welds=welds) for found in imported if found.type == "MESH"]
    for found in imported:
        bpy.data.objects.remove(found)
    if not parts:
        raise MeshUnusable("The file holds no mesh.", "Refine again, or take another mesh.")
    objects = [bpy.data.objects.new(name, part) for part in parts]
    for part in objects:
        bpy.context.scene.collection.objects.link(part)
    if len(objects) > 1:
        join(objects)
    return objects[0]


def _baked_mesh(obj: bpy.types.Object, turn: Matrix, *, welds: bool) -> bpy.types.Mesh:
    """Return a single-user mesh: modifiers and shape keys applied, welded, then transformed to world space."""
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
    bpy.context.view_layer.update()  # otherwise removed objects are still listed, as None
    for other in bpy.context.view_layer.objects:
        other.select_set(other == obj)
    bpy.context.view_layer.objects.active = obj


def _export_glb(obj: bpy.types.Object, path: Path) -> None:
    bpy.ops.export_scene.gltf(
        filepath=str(path), export_format="GLB", use_selection=True, export_apply=True, export_animations=False
    )


def _export_fbx(obj: bpy.types.Object, path: Path) -> None:
    # Without file names, re-imported images have the name of a folder.
    with _named_images(obj, path.stem, packed_only=True):
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
    """Write the OBJ, its MTL, and the images that the MTL refers to."""
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
    """The path of its file, if it is not packed."""


@contextlib.contextmanager
def _named_images(obj: bpy.types.Object, stem: str, *, packed_only: bool) -> Iterator[dict[str, _NamedImage]]:
    """Within the block, give the object's images unique file names without spaces that start with ``stem``."""
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
    """Rewrite the vertex lines with full float32 precision: Blender's exporter rounds to a millionth of a metre."""
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
