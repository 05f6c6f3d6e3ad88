"""Mesh files as the judge sees them: triangles with a colour at each point, and the faces as they were written."""

from __future__ import annotations

import dataclasses
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

Array = np.ndarray[Any, Any]
WHITE = np.ones((1, 1, 3))


@dataclasses.dataclass(frozen=True)
class Solid:
    """Triangles (f, 3, 3) with Y up; per corner UVs (f, 3, 2) and colours (f, 3, 3), sRGB; per triangle its picture.

    ``pictures`` are (rows, columns, 3), sRGB, 0 to 1; a triangle's colour is that of its picture times its corners'.
    """

    corners: Array
    uvs: Array | None
    colours: Array
    picture_of: Array
    pictures: list[Array]
    has_normal_map: bool

    @cached_property
    def welded(self) -> tuple[Array, Array]:
        """Vertices (v, 3), those at the same place being one, and triangles (f, 3)."""
        return weld(self.corners)

    @cached_property
    def normals(self) -> Array:
        """Unit normals (f, 3); zero where a triangle has no area."""
        cross = np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0])
        length = np.linalg.norm(cross, axis=1, keepdims=True)
        return np.asarray(cross / np.where(length > 0, length, 1.0))

    @cached_property
    def diagonal(self) -> float:
        return float(np.linalg.norm(np.ptp(self.corners.reshape(-1, 3), axis=0)))

    def colour_at(self, triangles: Array, weights: Array) -> Array:
        """Return the base colour, (n, 3), sRGB, at points given by triangles (n,) and barycentric weights (n, 3)."""
        colour = np.einsum("nc,ncx->nx", weights, self.colours[triangles])
        if self.uvs is None:
            return np.asarray(colour)
        uv = np.einsum("nc,ncx->nx", weights, self.uvs[triangles])
        for number, picture in enumerate(self.pictures):
            mine = self.picture_of[triangles] == number
            colour[mine] *= sampled(picture, uv[mine])
        return np.asarray(colour)


@dataclasses.dataclass(frozen=True)
class Polygons:
    """Faces of any size as they were written: vertices (v, 3), and the corners of each face one after the other."""

    vertices: Array
    corners: Array
    sizes: Array


def weld(corners: Array) -> tuple[Array, Array]:
    """Return vertices and triangles out of corners (f, 3, 3): the same float32 values are the same vertex."""
    flat = np.ascontiguousarray(corners.reshape(-1, 3).astype(np.float32)) + np.float32(0)  # -0.0 becomes 0.0
    _, first, number = np.unique(flat.view("V12").ravel(), return_index=True, return_inverse=True)
    return corners.reshape(-1, 3)[first], number.reshape(-1, 3)


def sampled(picture: Array, uv: Array) -> Array:
    """Return the colours of a picture at UVs (n, 2), V up, bilinear, repeating."""
    rows, columns = picture.shape[:2]
    x, y = uv[:, 0] * columns - 0.5, (1.0 - uv[:, 1]) * rows - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, low_share = (x - left)[:, None], (y - top)[:, None]
    found = np.zeros((len(uv), 3))
    for row, row_share in ((top, 1 - low_share), (top + 1, low_share)):
        for column, column_share in ((left, 1 - right_share), (left + 1, right_share)):
            found += picture[row % rows, column % columns] * row_share * column_share
    return found


def read_solid(path: Path) -> Solid:
    """Read a GLB, or an OBJ with its MTL or with colours behind its vertices."""
    scene = trimesh.load_scene(path, process=False)
    found = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    parts = [_part(part, is_linear=path.suffix == ".glb") for part in found]
    has_uvs = any(part.uvs is not None for part in parts)
    return Solid(
        corners=np.concatenate([part.corners for part in parts]),
        uvs=np.concatenate([part.filled_uvs for part in parts]) if has_uvs else None,
        colours=np.concatenate([part.colours for part in parts]),
        picture_of=np.concatenate([np.full(len(part.corners), number) for number, part in enumerate(parts)]),
        pictures=[part.picture for part in parts],
        has_normal_map=any(part.has_normal_map for part in parts),
    )


def read_polygons(path: Path) -> Polygons:
    """Read the faces of an OBJ, or of the OBJ in a zip, without making triangles of them."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".obj"))
            lines = archive.read(name).splitlines()
    else:
        lines = path.read_bytes().splitlines()
    vertices = np.array([line.split()[1:4] for line in lines if line.startswith(b"v ")], dtype=np.float64)
    faces = [[int(corner.split(b"/")[0]) - 1 for corner in line.split()[1:]] for line in lines if line[:2] == b"f "]
    sizes = np.array([len(face) for face in faces])
    return Polygons(vertices, np.array([corner for face in faces for corner in face]), sizes)


@dataclasses.dataclass
class _Part:
    corners: Array
    colours: Array
    uvs: Array | None = None
    picture: Array = dataclasses.field(default_factory=WHITE.copy)
    has_normal_map: bool = False

    @property
    def filled_uvs(self) -> Array:
        return np.zeros((len(self.corners), 3, 2)) if self.uvs is None else self.uvs


def _part(mesh: trimesh.Trimesh, *, is_linear: bool) -> _Part:
    """Return one mesh of a file. A GLB's colours at vertices and its factors are linear, an OBJ's are sRGB."""
    faces = np.asarray(mesh.faces)
    corners = np.asarray(mesh.vertices, dtype=np.float64)[faces]
    part = _Part(corners, np.ones(corners.shape))
    if mesh.visual.kind == "vertex":
        part.colours = np.asarray(mesh.visual.vertex_colors)[:, :3][faces] / 255.0
        part.colours = _srgb(part.colours) if is_linear else part.colours
    elif mesh.visual.kind == "texture":
        _read_material(part, mesh.visual, faces)
    return part


def _read_material(part: _Part, visual: Any, faces: Array) -> None:
    if visual.uv is not None:
        part.uvs = np.asarray(visual.uv, dtype=np.float64)[faces]
    material = visual.material
    if isinstance(material, trimesh.visual.material.PBRMaterial):
        image, factor = material.baseColorTexture, material.baseColorFactor
        part.has_normal_map = material.normalTexture is not None
        if factor is not None:
            part.colours = part.colours * _srgb(np.asarray(factor)[:3] / 255.0)
    else:
        image = material.image
        if image is None:
            part.colours = part.colours * np.asarray(material.diffuse)[:3] / 255.0
    if image is not None:
        part.picture = np.asarray(image.convert("RGB"), dtype=np.float64) / 255.0


def _srgb(light: Array) -> Array:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
