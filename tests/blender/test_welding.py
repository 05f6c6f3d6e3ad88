"""Which vertices become one again: those that an exporter has split along an edge, not those of parts that touch."""

from __future__ import annotations

import time

import bpy
import numpy as np
import pytest

from csm_refine_addon.blender.background import topology, weld
from csm_refine_addon.blender.background.merging import weld_mesh
from tests.support import scenes
from tests.support.counted import counted
from tests.support.raw_shapes import sphere

CUBE = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
CORNERS = [(x, y, z) for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)]
CARD = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.0)]


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


def split(points, faces):
    """The same with vertices of its own for each face, as a file of flat faces has them."""
    starts = np.cumsum([0, *map(len, faces)])
    return [points[corner] for face in faces for corner in face], [
        tuple(range(start, start + len(face))) for start, face in zip(starts, faces, strict=False)
    ]


def triangles(faces):
    return [(face[0], face[i], face[i + 1]) for face in faces for i in range(1, len(face) - 1)]


def boxes(*places, interleaved=False):
    """Boxes of side 1; ``interleaved``: their faces alternate, as with a primitive for each material."""
    points = [tuple(np.add(corner, place).tolist()) for place in places for corner in CORNERS]
    faces = [tuple(corner + 8 * box for corner in face) for box in range(len(places)) for face in CUBE]
    if interleaved:
        faces = [faces[6 * box + face] for face in range(6) for box in range(len(places))]
    return points, faces


def mesh_of(points, faces):
    return scenes.mesh_object(points=points, faces=faces).data


def welded(points, faces):
    mesh = mesh_of(points, faces)
    weld_mesh(mesh)
    assert not mesh.validate(), "Blender had something to mend"
    return counted(mesh)


def read_corners(mesh, name):
    attribute = mesh.attributes[name]
    values = np.empty((len(attribute.data), 4), np.float32)
    attribute.data.foreach_get("color", values.ravel())
    return values


# --- what was split ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [lambda faces: faces, triangles], ids=["quads", "triangles"])
def test_flat_cube_is_eight_vertices(cut):
    """Each face of a flat-shaded cube comes with vertices of its own; it comes back closed, in one piece."""
    found = welded(*split(CORNERS, cut(CUBE)))
    assert (found.vertices, found.pieces, found.is_watertight) == (8, 1, True)
    assert (found.triangles, found.quads) == ((0, 6) if len(cut(CUBE)) == 6 else (12, 0))


def test_ball_with_a_seam_and_split_poles_is_closed():
    """Along the seam and at both poles a UV map splits vertices: the ball comes back with those of the ball."""
    points, faces = sphere(16, 24)
    places, corners = np.unique(
        np.repeat(np.arange(len(faces)) % 5, 3) * len(points) + faces.ravel(), return_inverse=True
    )
    found = welded(points[places % len(points)], corners.reshape(-1, 3))
    assert (found.vertices, found.pieces, found.is_watertight) == (len(points), 1, True)


def test_zero_has_no_sign():
    """0 and -0 are the same place."""
    points, faces = split(CORNERS, CUBE)
    points = [
        tuple(-0.0 if part == 0 and number % 2 else part for part in point) for number, point in enumerate(points)
    ]
    assert welded(points, faces).vertices == 8


def test_places_next_to_each_other_stay_two():
    """The smallest difference of float32 is a gap: exporters repeat a vertex to the bit."""
    points, faces = split(CORNERS, CUBE)
    points[0] = (float(np.nextafter(np.float32(0), np.float32(1))), 0.0, 0.0)
    found = welded(points, faces)
    assert found.vertices == 9
    assert not found.is_watertight


def test_mesh_that_is_whole_is_left_alone():
    """Nothing to weld: the mesh is not rebuilt."""
    assert not weld_mesh(mesh_of(CORNERS, CUBE))
    assert not weld_mesh(mesh_of(CARD, [(0, 1, 2, 3)]))
    assert not weld_mesh(bpy.data.meshes.new("Empty"))


def test_faces_without_area_do_not_hold_a_mesh_open():
    """A triangle whose corners lie on two places goes; a corner that is there twice becomes one."""
    points = [*CORNERS, CORNERS[1]]
    faces = [face for face in CUBE if face != (0, 1, 3, 2)]
    for more in ([(0, 8, 3, 2), (0, 1, 8)], [(0, 1, 8, 3, 2)]):
        found = welded(points, [*faces, *more])
        assert (found.vertices, found.quads, found.ngons, found.is_watertight) == (8, 6, 0, True)
    only = mesh_of([CORNERS[0], CORNERS[1], CORNERS[0]], [(0, 1, 2)])
    assert not weld_mesh(only), "a mesh of nothing else is refused elsewhere"


def test_face_that_meets_itself_in_a_corner_stays_valid():
    """A face shaped like a bow tie keeps two vertices in its middle; its neighbours close up all the same."""
    middle = (0.5, 0.5, 0.0)
    points = [CARD[0], CARD[1], middle, CARD[2], CARD[3], middle]
    found = welded(*split([*points, (0.5, 0.5, 1.0)], [(0, 1, 2, 3, 4, 5), (1, 0, 6), (0, 5, 6), (2, 1, 6)]))
    assert found.vertices == 7


# --- what only touches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [lambda faces: faces, triangles], ids=["quads", "triangles"])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("place", [(1, 0, 0), (1, 1, 0), (1, 1, 1)], ids=["face", "edge", "corner"])
@pytest.mark.parametrize("make", [lambda *mesh: mesh, split], ids=["whole", "flat"])
def test_boxes_that_touch_stay_two(make, place, interleaved, cut):
    """Two boxes that share the places of a face, an edge or a corner are two closed pieces, however they come."""
    points, faces = boxes((0, 0, 0), place, interleaved=interleaved)
    found = welded(*make(points, cut(faces)))
    assert (found.vertices, found.pieces, found.is_watertight) == (16, 2, True)


@pytest.mark.parametrize("place", [(1, 0, 0), (1, 1, 0), (1, 1, 1)], ids=["face", "edge", "corner"])
def test_boxes_that_touch_stay_two_in_any_order_of_their_faces(place):
    """What belongs together otherwise decides, and not the order in the file."""
    points, faces = boxes((0, 0, 0), place)
    for seed in range(20):
        shuffled = [faces[number] for number in np.random.default_rng(seed).permutation(len(faces))]
        found = welded(*split(points, shuffled))
        assert (found.vertices, found.pieces, found.is_watertight) == (16, 2, True), seed


def test_a_block_of_boxes_stays_its_boxes():
    """27 flat boxes in a block: inside it, eight faces meet at each edge."""
    places = [(x, y, z) for x in range(3) for y in range(3) for z in range(3)]
    found = welded(*split(*boxes(*places)))
    assert (found.vertices, found.pieces, found.is_watertight) == (27 * 8, 27, True)


@pytest.mark.parametrize("back", [(4, 5, 6, 7), (7, 6, 5, 4)], ids=["same way", "back to back"])
@pytest.mark.parametrize("make", [lambda *mesh: mesh, split], ids=["whole", "flat"])
@pytest.mark.parametrize("cut", [lambda faces: faces, triangles], ids=["quads", "triangles"])
def test_doubled_card_stays_two_cards(cut, make, back):
    """Two faces at the same place, each with vertices of its own: leaves and cloth are made so."""
    found = welded(*make(CARD * 2, cut([(0, 1, 2, 3), back])))
    assert (found.vertices, found.pieces, found.open_edges) == (8, 2, 8)


def test_card_whose_back_is_cut_the_other_way_stays_two_cards():
    """The two sides of a card need not have the same diagonal."""
    found = welded(*split(CARD * 2, [(0, 1, 2), (0, 2, 3), (7, 6, 4), (6, 5, 4)]))
    assert (found.vertices, found.pieces, found.open_edges) == (8, 2, 8)


def test_curved_card_with_two_sides_stays_two_cards():
    """A bent leaf of many faces, and its back: the rims share all places."""
    row, column = np.mgrid[0:5, 0:9]
    points = np.stack([column / 8, row / 4, 0.3 * np.sin(column / 3)], axis=-1).reshape(-1, 3)
    first = (np.arange(4)[:, None] * 9 + np.arange(8)).ravel()
    quads = np.stack([first, first + 1, first + 10, first + 9], axis=1)
    faces = [*map(tuple, quads.tolist()), *map(tuple, (quads[:, ::-1] + len(points)).tolist())]
    for make in (lambda *mesh: mesh, split):
        found = welded(*make([*points.tolist()] * 2, faces))
        assert (found.vertices, found.pieces) == (2 * len(points), 2)


def test_cards_that_cross_stay_two_cards():
    """Two flat cards through a common line, each of two faces: each face keeps the neighbour of its own card."""
    points = [(x, 0.0, z) for z in (0.0, 1.0) for x in (-1.0, 0.0, 1.0)]
    points += [(0.0, y, z) for z in (0.0, 1.0) for y in (-1.0, 0.0, 1.0)]
    card = [(0, 1, 4, 3), (1, 2, 5, 4)]
    found = welded(*split(points, [*card, *(tuple(corner + 6 for corner in face) for face in card)]))
    assert (found.vertices, found.pieces, found.quads) == (12, 2, 4)
    assert found.non_manifold_edges == 0


def test_fin_on_a_body_stays_a_fin():
    """A closed body whose edge a single face touches stays closed; the fin stays open."""
    points, faces = boxes((0, 0, 0))
    fin = [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (-1.0, -1.0, 1.0)]
    for more in ([*faces, (8, 9, 10)], [(8, 9, 10), *faces], [(10, 9, 8), *faces]):
        found = welded(*split([*points, *fin], more))
        assert (found.vertices, found.pieces, found.open_edges) == (11, 2, 3)


def test_three_cards_that_meet_in_a_line_stay_three():
    """Nothing tells which two of them would be one surface."""
    outer = [(1.0, 0.0), (-0.5, 0.8), (-0.5, -0.8)]
    points = [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0), *((x, y, 1.0) for x, y in outer)]
    found = welded(*split(points, [(0, 1, 2), (1, 0, 3), (0, 1, 4)]))
    assert (found.vertices, found.pieces) == (9, 3)


@pytest.mark.parametrize("turned", [False, True])
def test_strip_closed_to_a_ring_or_a_moebius_strip(turned):
    """A ring closes; the strip that is turned over has one place where its faces disagree, and stays open there."""
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    tilt = angle / 2 if turned else np.zeros(32)
    out, up = np.cos(tilt) * 0.3, np.sin(tilt) * 0.3 if turned else np.full(32, 0.3)
    sides = [np.stack([(1 + s * out) * np.cos(angle), (1 + s * out) * np.sin(angle), s * up], axis=1) for s in (-1, 1)]
    after = [(i + 1) % 32 for i in range(32)]
    faces = [(i, after[i], 32 + after[i], 32 + i) for i in range(31)]
    faces.append((31, 32, 0, 63) if turned else (31, 0, 32, 63))
    found = welded(*split(np.concatenate(sides).tolist(), faces))
    assert (found.pieces, found.vertices) == (1, 66 if turned else 64)
    assert (found.open_edges, found.non_manifold_edges) == (66 if turned else 64, 0)


def test_loose_edges_and_vertices_stay():
    """What has no faces belongs to the box of the mesh."""
    points, faces = split(CORNERS, CUBE)
    mesh = bpy.data.meshes.new("Loose")
    mesh.from_pydata([*points, (5.0, 0.0, 0.0), (6.0, 0.0, 0.0), (9.0, 9.0, 9.0)], [(24, 25)], faces)
    assert weld_mesh(mesh)
    assert (len(mesh.vertices), len(mesh.edges)) == (11, 13)
    assert max(vertex.co.x for vertex in mesh.vertices) == 9.0


# --- what the corners show --------------------------------------------------------------------------------------------


def painted_cube():
    """A flat cube with two UV maps, colours by corner and by point, an attribute by point, and two materials."""
    mesh = mesh_of(*split(CORNERS, CUBE))
    chance = np.random.default_rng(3)
    for name in ("first", "second"):
        mesh.uv_layers.new(name=name).uv.foreach_set("vector", chance.random(48).astype(np.float32))
    mesh.uv_layers["second"].active_render = True
    mesh.uv_layers.active = mesh.uv_layers["second"]
    for kind, domain in (("BYTE_COLOR", "CORNER"), ("FLOAT_COLOR", "POINT")):
        values = chance.random(96).astype(np.float32)
        mesh.color_attributes.new(domain, kind, domain).data.foreach_set("color", values)
    mesh.attributes.active_color_name, mesh.attributes.default_color_name = "POINT", "CORNER"
    mesh.attributes.new("_heat", "FLOAT", "POINT").data.foreach_set("value", [v.co.x for v in mesh.vertices])
    for name in ("A", "B"):
        mesh.materials.append(bpy.data.materials.new(name))
    mesh.polygons.foreach_set("material_index", [0, 1, 0, 1, 0, 1])
    mesh.update()
    return mesh


def shown(mesh):
    """All that the corners show, in the order of the faces."""
    corners = [loop.vertex_index for loop in mesh.loops]
    uv = [[tuple(layer.uv[i].vector) for i in range(len(corners))] for layer in mesh.uv_layers]
    colours = {}
    for one in mesh.color_attributes:
        values = [tuple(element.color) for element in one.data]
        colours[one.name] = values if one.domain == "CORNER" else [values[corner] for corner in corners]
    places = [tuple(mesh.vertices[corner].co) for corner in corners]
    return places, uv, colours, [face.material_index for face in mesh.polygons], [m.name for m in mesh.materials]


def test_corners_keep_what_they_show_to_the_bit():
    """Places, UV maps, colours and materials stay each corner's; colours by point become colours by corner."""
    mesh = painted_cube()
    before = shown(mesh)
    assert weld_mesh(mesh)
    assert len(mesh.vertices) == 8
    assert shown(mesh) == before
    assert {(one.name, one.data_type, one.domain) for one in mesh.color_attributes} == {
        ("CORNER", "BYTE_COLOR", "CORNER"),
        ("POINT", "FLOAT_COLOR", "CORNER"),
    }
    assert (mesh.attributes.active_color_name, mesh.attributes.default_color_name) == ("POINT", "CORNER")
    assert (mesh.uv_layers.active.name, [layer.active_render for layer in mesh.uv_layers]) == ("second", [False, True])
    heat = mesh.attributes["_heat"]
    assert heat.domain == "POINT", "it is the same at all corners"
    assert [element.value for element in heat.data] == [vertex.co.x for vertex in mesh.vertices]


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_split_normals_stay_split(tilt):
    """Custom normals, flat or bent, are after the merge what they were at each corner."""
    mesh = mesh_of(*split(CORNERS, CUBE))
    mesh.polygons.foreach_set("use_smooth", [True] * 6)
    normals = np.repeat([tuple(face.normal) for face in mesh.polygons], 4, axis=0)
    normals += np.random.default_rng(1).normal(size=normals.shape) * tilt
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    mesh.normals_split_custom_set(normals.tolist())
    assert weld_mesh(mesh)
    found = np.array([tuple(corner.vector) for corner in mesh.corner_normals])
    assert np.abs(found - normals).max() < 1e-3
    assert len(mesh.vertices) == 8


def test_sharp_edges_stay_marked():
    """An edge that was marked before is marked after, wherever the merge has moved it."""
    mesh = mesh_of(*split(CORNERS, CUBE))
    marked = mesh.edges[mesh.loops[0].edge_index]
    marked.use_edge_sharp = True
    ends = {tuple(mesh.vertices[vertex].co) for vertex in marked.vertices}
    weld_mesh(mesh)
    (found,) = [edge for edge in mesh.edges if edge.use_edge_sharp]
    assert {tuple(mesh.vertices[vertex].co) for vertex in found.vertices} == ends


def test_numbers_of_any_kind_pass():
    """Values that are no numbers, or too large to be squared, weld nothing that they should not, and fail nothing."""
    for value in (float("nan"), float("inf"), 3e38, 1e-45):
        places = [tuple(value if part else 0.0 for part in corner) for corner in CORNERS]
        weld_mesh(mesh_of(*split(places, CUBE)))


def test_a_large_mesh_is_quick():
    """Nothing per vertex in Python: 1.3 million flat triangles take a few seconds in the background."""
    points, faces = sphere(807, 806)
    torn = topology.Faces(np.arange(faces.size, dtype=np.int32), np.arange(0, faces.size, 3, dtype=np.int32))
    began = time.process_time()
    found = weld.weld(points[faces].reshape(-1, 3).astype(np.float32), torn)
    assert time.process_time() - began < 10
    assert len(found.vertex) == len(points)
    assert (topology.edge_uses(found.faces) == 2).all()
