"""Asymmetric, textured sample meshes as files: what a user would bring, for tests and for the demo.

Every mesh is in glTF's axes (+X right, +Y up, +Z front). No two sides of it look alike, so a mirrored, turned or
swapped axis shows in the numbers and in a picture.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import trimesh
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXTURE_SIZE = 256
CAR_SIZE = (4.0, 1.6, 1.9)
"""Width, height, depth of :func:`asymmetric_mesh`, API axes."""


def texture(size: int = TEXTURE_SIZE) -> Image.Image:
    """Return a picture whose four quarters differ in colour, with a checker over it."""
    rows, columns = np.mgrid[0:size, 0:size]
    half = size // 2
    quarter = (rows >= half) * 2 + (columns >= half)
    colours = np.array([[214, 66, 50], [240, 180, 60], [60, 120, 200], [70, 160, 90]], dtype=np.uint8)
    checker = ((rows // (size // 16) + columns // (size // 16)) % 2).astype(np.uint8)[..., None]
    return Image.fromarray((colours[quarter] * (1 - checker * 0.25)).astype(np.uint8))


def asymmetric_mesh(subdivisions: int = 2) -> trimesh.Trimesh:
    """Return one textured mesh: a long body, a cabin towards +X, a nose towards +Z, a fin on the -X side.

    Closed boxes, each subdivided; width, height and depth are :data:`CAR_SIZE`; its centre is not the origin.
    """
    parts = [
        _box((4.0, 0.9, 1.6), (0.0, 0.45, 0.0)),
        _box((1.6, 0.8, 1.2), (0.7, 1.2, 0.0)),
        _box((0.5, 0.4, 0.4), (1.0, 0.4, 0.9)),
        _box((0.2, 0.6, 0.3), (-1.8, 1.1, -0.65)),
    ]
    mesh: trimesh.Trimesh = trimesh.util.concatenate(parts)
    for _ in range(subdivisions):
        mesh = mesh.subdivide()
    mesh.visual = trimesh.visual.TextureVisuals(uv=_flat_uv(mesh.vertices), material=_material())
    return mesh


def glb(mesh: trimesh.Trimesh | None = None) -> bytes:
    """Return one mesh as GLB; by default :func:`asymmetric_mesh`."""
    return _exported(mesh or asymmetric_mesh(), "glb")


def multi_part_glb(mirrored: bool = False) -> bytes:
    """Return a GLB of an empty root with two mesh children, each moved and turned; one mirrored if asked for."""
    scene = trimesh.Scene(base_frame="root")
    body, ball = asymmetric_mesh(1), trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    turned = trimesh.transformations.rotation_matrix(0.5, (0.2, 1.0, 0.3))
    turned[:3, 3] = (1.0, 2.0, 3.0)
    if mirrored:
        turned = turned @ np.diag((-1.0, 1.0, 1.0, 1.0))
    scene.add_geometry(body, node_name="body", geom_name="body", parent_node_name="root", transform=turned)
    moved = trimesh.transformations.translation_matrix((-3.0, 0.5, 0.0))
    scene.add_geometry(ball, node_name="ball", geom_name="ball", parent_node_name="root", transform=moved)
    return _exported(scene, "glb")


def obj_zip(mesh: trimesh.Trimesh | None = None, folder: str = "SESSION_1700000000_1234567") -> bytes:
    """Return a zip of ``folder/mesh.obj`` with its MTL and its texture, laid out like CSM's."""
    files = obj_files(mesh)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{folder}/{name}", content)
    return packed.getvalue()


def obj_files(mesh: trimesh.Trimesh | None = None) -> dict[str, bytes]:
    """Return ``mesh.obj``, its MTL and its texture, by file name."""
    text, others = trimesh.exchange.obj.export_obj(
        mesh or asymmetric_mesh(), return_texture=True, mtl_name="mesh.mtl", include_normals=False, digits=9
    )
    return {"mesh.obj": text.encode(), **others}


def obj_text() -> bytes:
    """Return a bare OBJ without material."""
    text = trimesh.exchange.obj.export_obj(asymmetric_mesh(), include_texture=False, include_normals=False, digits=9)
    return str(text).encode()


def load(content: bytes, kind: str) -> trimesh.Trimesh:
    """Return the content of a GLB, OBJ or zip of OBJ as one mesh with node transforms applied, as trimesh reads it."""
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".obj"))
            content, kind = archive.read(name), "obj"
    scene = trimesh.load_scene(io.BytesIO(content), file_type=kind, process=False)
    return scene.to_geometry()


def _box(size: tuple[float, ...], centre: tuple[float, ...]) -> trimesh.Trimesh:
    return trimesh.creation.box(extents=size, transform=trimesh.transformations.translation_matrix(centre))


def _flat_uv(vertices: NDArray[Any]) -> NDArray[Any]:
    least, greatest = vertices.min(axis=0), vertices.max(axis=0)
    return ((vertices - least) / (greatest - least))[:, :2]


def _material() -> Any:
    return trimesh.visual.material.PBRMaterial(baseColorTexture=texture(), metallicFactor=0.0, roughnessFactor=0.8)


def _exported(geometry: Any, kind: str) -> bytes:
    content: bytes = geometry.export(file_type=kind)
    return content
