"""Raw meshes as image-to-3D models and scans give them, and the hard cases; each maker writes a file and names it.

``RAW`` and ``HARD`` are makers by name: ``maker(folder)`` returns the path of a GLB or an OBJ. Y up, about 1 m large,
numpy alone, the same bytes at each call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .raw_files import Array, Material, Piece, write_glb, write_obj
from .raw_shapes import ball, blend, box, cube, rod, sphere, surface, triangles_of, unrest

Maker = Callable[[Path], Path]


# Raw meshes


def chair(folder: Path) -> Path:
    """A chair of some 60,000 triangles with vertex colours, as an OBJ: thin spokes, sharp edges, bumps everywhere."""
    vertices, quads = surface(_chair, (-0.36, -0.04, -0.36), (0.36, 1.06, 0.36), 150)
    return write_obj(folder / "chair.obj", Piece(vertices, triangles_of(quads), colours=_chair_colours(vertices)))


def animal(folder: Path) -> Path:
    """A four-legged animal of some 40,000 triangles, as a textured GLB that is split at each of its thousand seams."""
    vertices, quads = surface(_animal, (-0.3, -0.06, -0.62), (0.3, 0.86, 0.62), 110)
    corners, uvs, pictures = _baked(vertices, quads, 2048)
    triangles = triangles_of(np.arange(len(corners)).reshape(-1, 4))
    piece = Piece(corners, triangles, uvs=uvs, material=Material(*pictures))
    return write_glb(folder / "animal.glb", [piece])


def scan(folder: Path) -> Path:
    """A bust of some 50,000 triangles with floaters, holes, fins, doubled faces, a thin sheet and a shell."""
    vertices, quads = surface(_bust, (-0.42, -0.06, -0.36), (0.42, 0.96, 0.36), 120)
    random = np.random.default_rng(5)
    parts = [
        _with_holes(vertices, triangles_of(quads), random),
        *_floaters(random),
        _sheet(0.16, 24, (0.31, 0.62, 0.0)),
        _moved(sphere(8, 12), 0.08, (0.0, 0.3, 0.0)),
    ]
    vertices, triangles = joined(parts)
    doubled = triangles[random.choice(len(triangles), 400, replace=False)]
    vertices, triangles = _with_fins(vertices, np.concatenate([triangles, doubled, doubled[:100, ::-1]]), random)
    return write_glb(folder / "scan.glb", [Piece(vertices, triangles, colours=_marble(vertices))])


def _chair(points: Array) -> Array:
    found = box(points, (0, 0.45, 0), (0.26, 0.025, 0.25), 0.01)
    for x in (-1, 1):
        found = np.minimum(found, rod(points, (x * 0.24, 0.0, 0.23), (x * 0.21, 0.44, 0.2), 0.026))
        found = np.minimum(found, rod(points, (x * 0.24, 0.0, -0.25), (x * 0.21, 0.44, -0.2), 0.026))
        found = np.minimum(found, rod(points, (x * 0.22, 0.44, -0.22), (x * 0.24, 0.96, -0.3), 0.022))
    for spoke in np.linspace(-0.15, 0.15, 5):
        found = np.minimum(found, rod(points, (spoke, 0.46, -0.21), (spoke * 1.1, 0.92, -0.29), 0.009))
    found = np.minimum(found, box(points, (0, 0.95, -0.3), (0.27, 0.05, 0.018), 0.008))
    found = np.minimum(found, rod(points, (-0.22, 0.2, 0.21), (0.22, 0.2, 0.21), 0.012))
    found = blend(found, ball(points, (0, 0.48, 0.01), (0.23, 0.05, 0.22)), 0.02)
    return found + unrest(points, 0.0016, 0.045)


def _chair_colours(points: Array) -> Array:
    grain = 0.5 + 0.5 * np.sin(points[:, 1] * 90 + 6 * np.sin(points[:, 0] * 23) + 4 * np.sin(points[:, 2] * 17))
    wood = np.array([0.45, 0.28, 0.15]) + grain[:, None] * np.array([0.18, 0.13, 0.08])
    plaid = (np.sin(points[:, 0] * 70) > 0.75) | (np.sin(points[:, 2] * 70) > 0.75)
    cloth = np.where(plaid[:, None], np.array([0.93, 0.87, 0.7]), np.array([0.62, 0.12, 0.14]))
    on_cushion = (points[:, 1] > 0.48) & (np.hypot(points[:, 0], points[:, 2]) < 0.23)
    return _rounded(np.where(on_cushion[:, None], cloth, wood))


def _animal(points: Array) -> Array:
    found = ball(points, (0, 0.45, 0.0), (0.19, 0.19, 0.34))
    found = blend(found, ball(points, (0, 0.64, 0.4), (0.13, 0.13, 0.15)), 0.12)
    found = blend(found, ball(points, (0, 0.59, 0.52), (0.07, 0.06, 0.07)), 0.06)
    for x in (-1, 1):
        found = blend(found, rod(points, (x * 0.12, 0.02, 0.22), (x * 0.1, 0.4, 0.2), 0.05), 0.06)
        found = blend(found, rod(points, (x * 0.12, 0.02, -0.24), (x * 0.1, 0.4, -0.2), 0.055), 0.06)
        found = blend(found, ball(points, (x * 0.09, 0.77, 0.36), (0.035, 0.08, 0.025)), 0.03)
    found = blend(found, rod(points, (0, 0.5, -0.32), (0.05, 0.75, -0.5), 0.025), 0.05)
    return found + unrest(points, 0.001, 0.05)


def _animal_colours(points: Array) -> Array:
    x, y, z = points.T
    spots = np.sin(x * 31 + 2 * np.sin(z * 13)) * np.sin(y * 27 + z * 9) * np.sin(z * 24 + 1) > 0.22
    fur = np.array([0.86, 0.62, 0.3]) - 0.25 * np.clip(y - 0.3, 0, 1)[:, None]
    colours = np.where(spots[:, None], np.array([0.25, 0.15, 0.1]), fur)
    colours = np.where((y < 0.07)[:, None], np.array([0.12, 0.1, 0.1]), colours)
    eyes = np.hypot(np.hypot(np.abs(x) - 0.07, y - 0.67), z - 0.52) < 0.03
    return np.asarray(np.where(eyes[:, None], np.array([0.05, 0.3, 0.1]), colours))


def _baked(vertices: Array, quads: Array, side: int) -> tuple[Array, Array, tuple[Array, Array]]:
    """Return each quad on its own with its own square in the texture, and the textures: colour, and roughness."""
    across = int(np.ceil(np.sqrt(len(quads))))
    square = side // across
    row, column = np.divmod(np.arange(len(quads)), across)
    inner = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (square - 2) + 1
    uvs = (np.stack([column, row], axis=1)[:, None, :] * square + inner) / side
    texel = (np.arange(square) - 0.5) / (square - 2)
    u, v = np.meshgrid(texel, texel)
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=-1)
    colour, rough = (np.zeros((side, side, 3), dtype=np.uint8) for _ in range(2))
    for first in range(0, len(quads), 4096):
        some = slice(first, first + 4096)
        points = np.einsum("rck,qkx->qrcx", weights, vertices[quads[some]])
        shades = np.clip(_animal_colours(points.reshape(-1, 3)), 0, 1).reshape(points.shape)
        for r, c, shade, point in zip(row[some], column[some], shades, points, strict=True):
            spot = np.s_[r * square : (r + 1) * square, c * square : (c + 1) * square]
            colour[spot] = shade * 255
            rough[(*spot, 1)] = 90 + 120 * np.clip(point[..., 1], 0, 1)
            rough[(*spot, 2)] = np.where(point[..., 1] < 0.07, 255, 0)
    return vertices[quads].reshape(-1, 3), uvs.reshape(-1, 2), (colour, rough)


def _bust(points: Array) -> Array:
    found = box(points, (0, 0.06, 0), (0.24, 0.06, 0.2), 0.015)
    found = blend(found, ball(points, (0, 0.27, 0), (0.3, 0.14, 0.16)), 0.06)
    found = blend(found, rod(points, (0, 0.3, 0), (0, 0.55, 0.02), 0.085), 0.06)
    found = blend(found, ball(points, (0, 0.68, 0.02), (0.15, 0.2, 0.17)), 0.05)
    found = blend(found, ball(points, (0, 0.67, 0.19), (0.03, 0.05, 0.05)), 0.03)
    found = np.maximum(found, -ball(points, (0.07, 0.73, 0.19), (0.035, 0.02, 0.04)))
    found = np.maximum(found, -ball(points, (-0.07, 0.73, 0.19), (0.035, 0.02, 0.04)))
    return found + unrest(points, 0.004, 0.06) + unrest(points, 0.001, 0.016)


def _marble(points: Array) -> Array:
    x, y, z = points.T
    veins = np.abs(np.sin(x * 14 + y * 9 + 2.5 * np.sin(y * 12 + z * 7) + np.sin(z * 31)))[:, None] ** 0.3
    return _rounded(np.array([0.3, 0.3, 0.36]) + veins * np.array([0.58, 0.56, 0.48]))


def _rounded(colours: Array) -> Array:
    return np.asarray(np.round(np.clip(colours, 0, 1) * 255) / 255)


def _with_holes(vertices: Array, triangles: Array, random: np.random.Generator) -> tuple[Array, Array]:
    middles = vertices[triangles].mean(axis=1)
    keep = np.ones(len(triangles), dtype=bool)
    for centre in vertices[random.choice(len(vertices), 6, replace=False)]:
        keep &= np.linalg.norm(middles - centre, axis=1) > random.uniform(0.008, 0.03)
    return vertices, triangles[keep]


def _floaters(random: np.random.Generator) -> list[tuple[Array, Array]]:
    places = random.uniform((-0.4, 0.5, -0.3), (0.4, 0.95, 0.3), (25, 3))
    return [_moved(sphere(4, 6), random.uniform(0.002, 0.008), place) for place in places]


def _with_fins(vertices: Array, triangles: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Add triangles that stand on an edge which has two already."""
    chosen = triangles[random.choice(len(triangles), 60, replace=False)]
    tips = vertices[chosen].mean(axis=1) + random.normal(0, 0.01, (60, 3))
    fins = np.stack([chosen[:, 0], chosen[:, 1], len(vertices) + np.arange(60)], axis=1)
    return np.concatenate([vertices, tips]), np.concatenate([triangles, fins])


# Hard cases


def thousand_loose_parts(folder: Path) -> Path:
    """A thousand small closed cubes that touch nothing."""
    places = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3) * 0.1
    parts = [_moved(cube(), 0.04, place) for place in places]
    return _plain_glb(folder / "thousand_loose_parts.glb", joined(parts))


def open_sheets(folder: Path) -> Path:
    """Twelve waving sheets that enclose nothing."""
    parts = [_sheet(0.5, 20, (0.0, 0.08 * number, 0.02 * number)) for number in range(12)]
    return _plain_glb(folder / "open_sheets.glb", joined(parts))


def self_intersections(folder: Path) -> Path:
    """Balls stuck into each other, and a ball turned through itself."""
    parts = [_moved(sphere(16, 24), 0.3, (0.25 * number, 0.1 * (number % 2), 0.0)) for number in range(4)]
    vertices, triangles = sphere(24, 32)
    parts.append((vertices * np.cos(vertices[:, 1:2] * 4) * 0.3 + (0.4, 0.5, 0.0), triangles))
    return _plain_glb(folder / "self_intersections.glb", joined(parts))


def inner_shells(folder: Path) -> Path:
    """A ball with three more inside, one of them looking inwards, as a cavity does."""
    parts = [_moved(sphere(24, 32), radius, (0.0, 0.0, 0.0)) for radius in (0.5, 0.4, 0.3, 0.2)]
    parts[1] = (parts[1][0], parts[1][1][:, ::-1])
    return _plain_glb(folder / "inner_shells.glb", joined(parts))


def doubled_faces(folder: Path) -> Path:
    """A ball whose every face is there twice, half of them turned."""
    vertices, triangles = _moved(sphere(24, 32), 0.5, (0.0, 0.0, 0.0))
    again = np.where((np.arange(len(triangles)) % 2)[:, None] == 0, triangles, triangles[:, ::-1])
    return _plain_glb(folder / "doubled_faces.glb", (vertices, np.concatenate([triangles, again])))


def single_triangle(folder: Path) -> Path:
    """One triangle."""
    return _plain_glb(folder / "single_triangle.glb", (np.eye(3), np.array([[0, 1, 2]])))


def two_million_triangles(folder: Path) -> Path:
    """A knobbly ball of two million triangles."""
    vertices, triangles = sphere(1001, 1000)
    knobs = 1 + 0.1 * np.sin(9 * vertices[:, :1]) * np.sin(11 * vertices[:, 1:2]) + 0.01 * np.sin(61 * vertices[:, 2:])
    return _plain_glb(folder / "two_million_triangles.glb", (vertices * knobs * 0.5, triangles))


def needles(folder: Path) -> Path:
    """A ball drawn out to a ten-thousandth of its width, and a fan of slivers."""
    vertices, triangles = sphere(12, 400)
    fan = np.stack([np.cos(np.linspace(0, 0.01, 200)), np.sin(np.linspace(0, 0.01, 200)), np.zeros(200)], axis=1)
    slivers = np.stack([np.zeros(199, dtype=int), np.arange(1, 200), np.arange(2, 201)], axis=1)
    parts = [(vertices * (0.5, 0.00005, 0.5), triangles), (np.concatenate([np.zeros((1, 3)), fan]), slivers)]
    return _plain_glb(folder / "needles.glb", joined(parts))


def one_vertex(folder: Path) -> Path:
    """Triangles that all stand on one vertex: nothing has an area."""
    return _plain_glb(folder / "one_vertex.glb", (np.zeros((1, 3)), np.zeros((1, 3), dtype=int)))


def uvs_outside(folder: Path) -> Path:
    """A textured ball whose UVs run from -3 to 5: the texture repeats."""
    vertices, triangles, uvs = _unrolled_ball(24, 32)
    return write_glb(
        folder / "uvs_outside.glb", [Piece(vertices, triangles, uvs * 8 - 3, material=Material(checker(256, 256)))]
    )


def several_materials(folder: Path) -> Path:
    """Four balls: a texture, two plain colours, and one with no material."""
    vertices, triangles, uvs = _unrolled_ball(16, 24)
    materials = [Material(checker(128, 128)), Material(colour=(0.9, 0.1, 0.1)), Material(colour=(0.1, 0.2, 0.9)), None]
    pieces = [
        Piece(vertices * 0.4 + (number * 0.9, 0, 0), triangles, uvs, material=material)
        for number, material in enumerate(materials)
    ]
    return write_glb(folder / "several_materials.glb", pieces)


def odd_textures(folder: Path) -> Path:
    """A ball with textures of 333 x 77, 1 x 1 and 5 x 641 pixels."""
    vertices, triangles, uvs = _unrolled_ball(24, 32)
    flat = np.full((641, 5, 3), (128, 128, 255), dtype=np.uint8)
    material = Material(checker(77, 333), np.full((1, 1, 3), (0, 60, 255), dtype=np.uint8), flat)
    return write_glb(folder / "odd_textures.glb", [Piece(vertices, triangles, uvs, material=material)])


def vertex_colours_only(folder: Path) -> Path:
    """A ball with a colour at each vertex, and neither UVs nor a material."""
    vertices, triangles = sphere(48, 64)
    colours = _rounded(vertices * 0.5 + 0.5)
    return write_glb(folder / "vertex_colours_only.glb", [Piece(vertices * 0.5, triangles, colours=colours)])


def no_colour(folder: Path) -> Path:
    """A ball, and nothing more."""
    return _plain_glb(folder / "no_colour.glb", _moved(sphere(24, 32), 0.5, (0.0, 0.0, 0.0)))


def negative_scale(folder: Path) -> Path:
    """A textured ball with a bump, mirrored by the scale of its node."""
    vertices, triangles, uvs = _unrolled_ball(24, 32)
    vertices[vertices[:, 0] > 0.5] *= 1.4
    piece = Piece(vertices * 0.5, triangles, uvs, material=Material(checker(128, 256)))
    return write_glb(folder / "negative_scale.glb", [piece], scale=(-1.0, 1.0, 1.0))


def armature_and_shape_keys(folder: Path) -> Path:
    """A rod on a chain of three bones, with a shape key."""
    vertices, triangles = sphere(24, 16)
    vertices = vertices * (0.1, 0.3, 0.1) + (0.0, 0.3, 0.0)
    bone = np.clip(vertices[:, 1] / 0.2, 0, 2).astype(int)
    joints = np.stack([bone, bone * 0, bone * 0, bone * 0], axis=1)
    weights = np.tile((1.0, 0.0, 0.0, 0.0), (len(vertices), 1))
    piece = Piece(vertices, triangles, joints=joints, weights=weights, moved=vertices * (1.5, 1.0, 1.5))
    return write_glb(folder / "armature_and_shape_keys.glb", [piece], bones=3)


def checker(rows: int, columns: int) -> Array:
    """Return a picture whose quarters differ, with a checker over it: (rows, columns, 3) uint8."""
    row, column = np.mgrid[0:rows, 0:columns]
    quarter = (2 * row // rows) * 2 + 2 * column // columns
    colours = np.array([[214, 66, 50], [240, 180, 60], [60, 120, 200], [70, 160, 90]])
    squares = (row // max(1, rows // 16) + column // max(1, columns // 16)) % 2
    return np.asarray((colours[quarter] * (1 - squares[..., None] * 0.25)).astype(np.uint8))


def joined(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return several parts, each vertices and triangles, as one."""
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    triangles = [part + offset for (_, part), offset in zip(parts, offsets[:-1], strict=True)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(triangles)


def _plain_glb(path: Path, part: tuple[Array, Array]) -> Path:
    return write_glb(path, [Piece(*part)])


def _moved(part: tuple[Array, Array], scale: float, place: tuple[float, float, float] | Array) -> tuple[Array, Array]:
    return part[0] * scale + np.asarray(place), part[1]


def _sheet(side: float, cells: int, place: tuple[float, float, float]) -> tuple[Array, Array]:
    row, column = (part.ravel() for part in np.mgrid[0 : cells + 1, 0 : cells + 1])
    u, v = column / cells - 0.5, row / cells - 0.5
    vertices = np.stack([u, 0.06 * np.sin(9 * u) * np.cos(7 * v), v], axis=1) * side + place
    a = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    return vertices, triangles_of(np.stack([a, a + cells + 1, a + cells + 2, a + 1], axis=1))


def _unrolled_ball(rings: int, segments: int) -> tuple[Array, Array, Array]:
    """Return a ball with a seam, radius 1: vertices, triangles, UVs."""
    row, column = (part.ravel() for part in np.mgrid[0 : rings + 1, 0 : segments + 1])
    down, around = np.pi * row / rings, 2 * np.pi * column / segments
    vertices = np.stack([np.sin(down) * np.cos(around), np.cos(down), -np.sin(down) * np.sin(around)], axis=1)
    a = (np.arange(rings)[:, None] * (segments + 1) + np.arange(segments)).ravel()
    quads = np.stack([a, a + segments + 1, a + segments + 2, a + 1], axis=1)
    triangles = triangles_of(quads)
    corners = vertices[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return vertices, triangles[area > 1e-9], np.stack([column / segments, row / rings], axis=1)


def _named(*makers: Maker) -> Mapping[str, Maker]:
    return {maker.__name__: maker for maker in makers}


RAW = _named(chair, animal, scan)
"""What the benchmark measures where it is given no other meshes."""
HARD = _named(
    thousand_loose_parts,
    open_sheets,
    self_intersections,
    inner_shells,
    doubled_faces,
    single_triangle,
    two_million_triangles,
    needles,
    one_vertex,
    uvs_outside,
    several_materials,
    odd_textures,
    vertex_colours_only,
    no_colour,
    negative_scale,
    armature_and_shape_keys,
)
"""What a refinery must not fail on; only ``one_vertex`` may be refused, since nothing of it has an area."""
