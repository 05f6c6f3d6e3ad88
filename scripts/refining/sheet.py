"""The contact sheet: what each tool made of a mesh, in colour, in wireframe, and its UV layout."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from PIL import Image, ImageDraw

from .rounds import Entry, placed
from .solids import Array, Polygons, Solid, read_polygons, read_solid
from .tools import TOOLS

PICTURE = "picture.png"
SIDE = 360
FINER = 3
LABEL = 34
TO_CAMERA = np.array([0.62, 0.42, 1.0]) / np.linalg.norm([0.62, 0.42, 1.0])
LIGHT = np.array([0.25, 0.75, 0.6]) / np.linalg.norm([0.25, 0.75, 0.6])
PAPER, CLAY, WIRE = np.array([0.96, 0.96, 0.96]), np.array([0.80, 0.80, 0.78]), np.array([0.13, 0.2, 0.35])


def write_all(entries: Sequence[Entry], folder: Path) -> None:
    """Write one sheet for each mesh and number of faces."""
    for (mesh, faces), group in groupby(entries, key=lambda entry: (entry.label, entry.faces)):
        _write(list(group), folder / f"{mesh}_{faces}.png")


def has_picture(entry: Entry) -> bool:
    """Tell whether the tool left a picture of source and result of its own, as ours does."""
    return (entry.folder / PICTURE).is_file()


def name_of_picture(entry: Entry) -> str:
    """Return the name of that picture's copy."""
    return f"{entry.label}_{entry.tool}_{entry.faces}.png"


def copy_pictures(entries: Sequence[Entry], folder: Path) -> None:
    """Copy the tools' own pictures, in fewer colours."""
    for entry in entries:
        if has_picture(entry):
            with Image.open(entry.folder / PICTURE) as picture:
                _save(picture.convert("RGB"), folder / name_of_picture(entry))


def _save(picture: Image.Image, path: Path) -> None:
    picture.quantize(128).save(path, optimize=True)


def _write(entries: list[Entry], path: Path) -> None:
    source = read_solid(entries[0].mesh)
    centre, middle, span = _centre(source), *_framed(source)
    done = [entry for entry in entries if entry.measures]
    columns = [_column("source", source, _triangles(source), middle, span, triangles=True)]
    for entry in done:
        tool = TOOLS[entry.tool]
        result, polygons = read_solid(entry.folder / tool.result), read_polygons(entry.folder / tool.polygons)
        shift = centre if tool.is_centred else 0.0
        polygons = Polygons(polygons.vertices + shift, polygons.corners, polygons.sizes)
        measures = entry.measures
        label = f"{entry.title}\n{measures['distance']:.2f}, {measures['look']:.1f} dB, {measures['quads']:.0%} quads"
        columns.append(_column(label, placed(tool, result, centre), polygons, middle, span))
    sheet = Image.new("RGB", (SIDE * len(columns), columns[0].height), "white")
    for number, column in enumerate(columns):
        sheet.paste(column, (number * SIDE, 0))
    _save(sheet, path)


def _column(
    label: str, solid: Solid, polygons: Polygons, centre: Array, span: float, *, triangles: bool = False
) -> Image.Image:
    column = Image.new("RGB", (SIDE, LABEL + 3 * SIDE), "white")
    ImageDraw.Draw(column).text((6, 4), label.replace("`", ""), fill="black")
    pictures = (
        shaded(solid, centre, span),
        wired(polygons, centre, span),
        None if triangles else unrolled(solid),
    )
    for number, picture in enumerate(pictures):
        if picture is not None:
            column.paste(_image(picture), (0, LABEL + number * SIDE))
    return column


def shaded(solid: Solid, centre: Array, span: float) -> Array:
    """Return a picture in base colour, lit from above, with the vertices' normals."""
    covered, triangle, weights = _hits(solid.corners, centre, span)
    normals = _smooth_normals(solid)[triangle]
    normal = np.einsum("nc,ncx->nx", weights, normals)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    normal *= np.where(normal @ TO_CAMERA < 0, -1, 1)[:, None]
    light = 0.45 + 0.65 * np.maximum(normal @ LIGHT, 0)
    return _painted(covered, np.clip(solid.colour_at(triangle, weights) * light[:, None], 0, 1))


def wired(polygons: Polygons, centre: Array, span: float) -> Array:
    """Return a picture of the faces as they are, each with its edges; what lies behind is hidden."""
    triangles, inner = _fans(polygons)
    corners = polygons.vertices[triangles]
    covered, triangle, weights = _hits(corners, centre, span)
    flat = _flat(corners, centre, span)[triangle]
    opposite = np.linalg.norm(np.roll(flat, -1, axis=1) - np.roll(flat, 1, axis=1), axis=2)
    side, other = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    area = np.abs(side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0])
    away = weights * area[:, None] / np.maximum(opposite, 1e-9)
    away[inner[triangle]] = np.inf
    is_edge = away.min(axis=1) < 0.45 * FINER
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-30)
    light = 0.55 + 0.45 * np.abs(normal[triangle] @ TO_CAMERA)
    return _painted(covered, np.where(is_edge[:, None], WIRE, CLAY * light[:, None]))


def unrolled(solid: Solid) -> Array | None:
    """Return the UV layout over the texture."""
    if solid.uvs is None:
        return None
    picture = Image.fromarray((solid.pictures[0] * 255).astype(np.uint8)).resize((SIDE * FINER, SIDE * FINER))
    drawn = ImageDraw.Draw(picture)
    for triangle in solid.uvs * (1, -1) * SIDE * FINER + (0, SIDE * FINER):
        drawn.polygon([tuple(point) for point in triangle.tolist()], outline=(255, 255, 255))
    drawn.rectangle((0, 0, SIDE * FINER - 1, SIDE * FINER - 1), outline=(0, 0, 0))
    return np.asarray(picture, dtype=np.float64) / 255.0


def _hits(corners: Array, centre: Array, span: float) -> tuple[Array, Array, Array]:
    """Return which pixels are covered (rows, columns), and for those the triangle and the weights in it."""
    right, up = _axes()
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(((corners - centre) / span).astype(np.float32)))
    count = SIDE * FINER
    across = (np.arange(count) + 0.5) / count - 0.5
    u, v = np.meshgrid(across, -across)
    origins = u.ravel()[:, None] * right + v.ravel()[:, None] * up + TO_CAMERA * 2
    hits = scene.run(
        origins.astype(np.float32), np.broadcast_to(-TO_CAMERA, origins.shape).astype(np.float32), output=True
    )
    covered = hits["primID"] >= 0
    second, third = hits["u"][covered].astype(np.float64), hits["v"][covered].astype(np.float64)
    weights = np.stack([1 - second - third, second, third], axis=1)
    return covered.reshape(count, count), hits["primID"][covered], weights


def _flat(corners: Array, centre: Array, span: float) -> Array:
    """Return corners in pixels of the finer picture."""
    right, up = _axes()
    there = (corners - centre) / span * SIDE * FINER
    return np.stack([there @ right, there @ up], axis=-1)


def _axes() -> tuple[Array, Array]:
    right = np.cross((0, 1, 0), TO_CAMERA)
    right /= np.linalg.norm(right)
    return right, np.cross(TO_CAMERA, right)


def _painted(covered: Array, colours: Array) -> Array:
    picture = np.empty((*covered.shape, 3))
    picture[:] = PAPER
    picture[covered] = colours
    return picture


def _image(picture: Array) -> Image.Image:
    return Image.fromarray((picture * 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BOX)


def _smooth_normals(solid: Solid) -> Array:
    """Return each corner's normal: the mean of the faces' around its vertex, by area."""
    vertices, triangles = solid.welded
    cross = np.cross(solid.corners[:, 1] - solid.corners[:, 0], solid.corners[:, 2] - solid.corners[:, 0])
    total = np.zeros((len(vertices), 3))
    for corner in triangles.T:
        np.add.at(total, corner, cross)
    return np.asarray(total[triangles])


def _fans(polygons: Polygons) -> tuple[Array, Array]:
    """Return the polygons as triangles, and which corners lie opposite to an edge that is none of the polygon."""
    starts = np.concatenate([[0], np.cumsum(polygons.sizes)[:-1]])
    count = polygons.sizes - 2
    face = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    first = starts[face]
    triangles = polygons.corners[np.stack([first, first + step + 1, first + step + 2], axis=1)]
    is_last, is_first = step == count[face] - 1, step == 0
    return triangles, np.stack([np.zeros(len(face), dtype=bool), ~is_last, ~is_first], axis=1)


def _framed(solid: Solid) -> tuple[Array, float]:
    """Return the point that the camera looks at, and how much of the world it sees from side to side."""
    right, up = _axes()
    points = solid.corners.reshape(-1, 3)
    along = np.stack([points @ right, points @ up, points @ TO_CAMERA], axis=1)
    low, high = along.min(axis=0), along.max(axis=0)
    middle = (low + high) / 2 @ np.stack([right, up, TO_CAMERA])
    return np.asarray(middle), float((high - low)[:2].max() * 1.06)


def _triangles(solid: Solid) -> Polygons:
    vertices, triangles = solid.welded
    return Polygons(vertices, triangles.ravel(), np.full(len(triangles), 3))


def _centre(solid: Solid) -> Array:
    corners = solid.corners.reshape(-1, 3)
    return np.asarray((corners.min(axis=0) + corners.max(axis=0)) / 2)
