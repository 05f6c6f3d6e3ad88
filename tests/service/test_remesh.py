"""The geometry work inside Blender: cleaning, normals, box and pivot."""

from __future__ import annotations

import bpy  # before bmesh

# isort: split
import bmesh
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from csm_refine_addon.blender.background import mesh_io
from csm_refine_addon.blender.background.topology import connected_components
from csm_refine_addon.core import axes
from csm_refine_addon.core.errors import MeshUnusable
from csm_refine_addon.remesh.cleaning import clean
from csm_refine_addon.remesh.final_fit import fit
from csm_refine_addon.remesh.refine_settings import RefineSettings, Topology
from csm_refine_addon.remesh.source_reader import read_source
from tests.support.counted import counted
from tests.support.raw_files import Piece, write_glb

SIDES = st.floats(1e-3, 1e3)
PIVOTS = st.floats(-0.5, 0.5)


def cube(size=2.0, centre=(0.0, 0.0, 0.0), *, inwards=False):
    mesh = bmesh.new()
    mesh.loops.layers.uv.verify()
    bmesh.ops.create_cube(mesh, size=size, calc_uvs=True)
    bmesh.ops.translate(mesh, verts=mesh.verts, vec=centre)
    if inwards:
        bmesh.ops.reverse_faces(mesh, faces=mesh.faces)
    return mesh


def joined(*parts):
    """One Blender mesh out of several bmeshes."""
    whole = bpy.data.meshes.new("whole")
    into = bmesh.new()
    for part in parts:
        single = bpy.data.meshes.new("part")
        part.to_mesh(single)
        into.from_mesh(single)
    into.to_mesh(whole)
    return whole


def volume(mesh) -> float:
    measured = bmesh.new()
    measured.from_mesh(mesh)
    return measured.calc_volume(signed=True)


def split_into_triangles(source):
    """The same surface with no vertex shared between two faces, as a GLB with flat normals brings it."""
    bmesh.ops.triangulate(source, faces=source.faces)
    bmesh.ops.split_edges(source, edges=source.edges)
    return source


def test_doubles_become_one_and_uvs_stay():
    """Vertices at one place are merged; the UV map keeps its corners."""
    mesh = joined(split_into_triangles(cube()))
    corners = [tuple(corner.uv) for corner in mesh.uv_layers[0].data]
    clean(mesh)
    assert (len(mesh.vertices), len(mesh.polygons)) == (8, 12)
    assert sorted(tuple(corner.uv) for corner in mesh.uv_layers[0].data) == sorted(corners)


@pytest.mark.parametrize(("topology", "pieces"), [(Topology.KEEP, 4), (Topology.TRIS, 2)])
def test_parts_that_touch_stay_apart_where_the_faces_are_kept(topology, pieces, tmp_path):
    """A GLB of two boxes that share a face, and a card with two sides: only a new topology needs one surface."""
    positions, faces = [], []
    for part in (cube(), cube(centre=(2.0, 0.0, 0.0)), card(), card(turned=True)):
        bmesh.ops.triangulate(part, faces=part.faces)
        for face in part.faces:
            faces.append(range(len(positions), len(positions) + 3))
            positions += [tuple(vertex.co) for vertex in face.verts]
    write_glb(tmp_path / "mesh.glb", [Piece(np.array(positions), np.array([*map(list, faces)]))])
    (tmp_path / "scratch").mkdir()
    order = {"mesh": str(tmp_path / "mesh.glb"), "code": "C"}
    obj, _notes = read_source(tmp_path, order, RefineSettings(topology=topology))
    assert counted(obj.data).pieces == pieces


def card(*, turned=False):
    mesh = bmesh.new()
    bmesh.ops.create_grid(mesh, x_segments=1, y_segments=1, size=1)
    bmesh.ops.translate(mesh, verts=mesh.verts, vec=(0, 9, 0))
    if turned:
        bmesh.ops.reverse_faces(mesh, faces=mesh.faces)
    return mesh


def test_what_has_no_faces_is_dropped():
    """Loose vertices and loose edges go; the faces stay."""
    part = cube()
    ends = [part.verts.new((9, 9, 9)), part.verts.new((9, 9, 8))]
    part.edges.new(ends)
    part.verts.new((-9, 0, 0))
    mesh = joined(part)
    clean(mesh)
    assert (len(mesh.vertices), len(mesh.edges), len(mesh.polygons)) == (8, 12, 6)


def test_a_mesh_without_area_is_refused():
    """A mesh whose faces all collapse is no mesh."""
    part = cube(size=1e-9)
    part.verts.new((1, 1, 1))
    with pytest.raises(MeshUnusable, match="no area"):
        clean(joined(part))


def test_a_part_inside_out_is_turned():
    """Of two closed parts, the one that looks inwards is turned and the other one is left alone."""
    mesh = joined(cube(), cube(centre=(5, 0, 0), inwards=True))
    assert volume(mesh) == pytest.approx(0)
    clean(mesh)
    assert volume(mesh) == pytest.approx(16)


def test_one_face_at_odds_with_its_neighbours_is_turned():
    """A single turned face is set right."""
    part = cube()
    part.faces.ensure_lookup_table()
    bmesh.ops.reverse_faces(part, faces=[part.faces[2]])
    mesh = joined(part)
    clean(mesh)
    assert volume(mesh) == pytest.approx(8)


def test_the_wall_of_a_cavity_keeps_looking_inwards():
    """A hollow body keeps its inner wall as it is."""
    mesh = joined(cube(), cube(size=1.0, inwards=True))
    clean(mesh)
    assert volume(mesh) == pytest.approx(7)


def test_an_open_surface_is_left_alone():
    """A sheet that agrees with itself is not turned, whichever way it looks."""
    sheet = bmesh.new()
    bmesh.ops.create_grid(sheet, x_segments=3, y_segments=3, size=1)
    bmesh.ops.reverse_faces(sheet, faces=sheet.faces)
    mesh = joined(sheet)
    clean(mesh)
    assert {round(face.normal.z) for face in mesh.polygons} == {-1}


def test_a_room_keeps_looking_inwards():
    """An open box whose faces look inwards is a room, not a body inside out."""
    room = cube(inwards=True)
    room.faces.ensure_lookup_table()
    bmesh.ops.delete(room, geom=[room.faces[0]], context="FACES")
    mesh = joined(room)
    clean(mesh)
    assert all(face.normal.dot(face.center) < 0 for face in mesh.polygons)


def test_custom_normals_survive_the_cleaning():
    """Custom normals point where they did, though vertices were merged; those of a turned part are turned with it."""
    parts = split_into_triangles(cube()), split_into_triangles(cube(centre=(5, 0, 0), inwards=True))
    mesh = joined(*parts)
    wanted = np.array([tuple(normal.vector) for normal in mesh.corner_normals]) + np.array([0.2, 0.1, 0.0])
    mesh.normals_split_custom_set((wanted / np.linalg.norm(wanted, axis=1, keepdims=True)).astype(np.float32))
    before = _normals_by_face(mesh)
    clean(mesh)
    after = _normals_by_face(mesh)
    assert mesh.has_custom_normals
    for centre, normal in before.items():
        sign = -1 if centre[0] > 2 else 1
        assert after[centre] == pytest.approx(sign * normal, abs=2e-3)


def _normals_by_face(mesh):
    corners = np.array([tuple(normal.vector) for normal in mesh.corner_normals])
    return {
        tuple(np.round(face.center, 4)): corners[face.loop_start : face.loop_start + face.loop_total].mean(axis=0)
        for face in mesh.polygons
    }


@settings(max_examples=60)
@given(box=st.tuples(SIDES, SIDES, SIDES), pivot=st.tuples(PIVOTS, PIVOTS, PIVOTS), moved=st.floats(-100, 100))
def test_any_box_and_pivot_are_met_to_float32(box, pivot, moved):
    """Each corner of the box stands where v' = v - c - p * box puts it, as exactly as float32 can say."""
    mesh = joined(cube(centre=(moved, 1.0, -2.0)))
    assert fit(mesh, box, pivot) == []
    positions = mesh_io.vertex_positions(mesh).astype(float)
    size, fraction = np.array(axes.size_from_scaled_bbox(box)), np.array(axes.blender_from_pivot_point(pivot))
    corners = np.array([-0.5 - fraction, 0.5 - fraction]) * size
    assert np.abs(positions.min(axis=0) - corners[0]).max() <= np.abs(corners).max() * 1e-7
    assert np.abs(positions.max(axis=0) - corners[1]).max() <= np.abs(corners).max() * 1e-7


def test_the_aspect_is_kept_where_that_is_asked():
    """The mesh is as large as the box allows without being stretched, and stands on its own pivot."""
    mesh = joined(cube())
    assert fit(mesh, (2.0, 6.0, 4.0), (0.0, -0.5, 0.0), keep_aspect=True) == []
    positions = mesh_io.vertex_positions(mesh)
    assert positions.min(axis=0) == pytest.approx([-1, -1, 0])
    assert positions.max(axis=0) == pytest.approx([1, 1, 2])


def test_parts_are_told_by_their_edges():
    """Vertices are one part where edges connect them, along however long a chain."""
    chain = np.array([[index, index + 1] for index in range(999)])[::-1]
    labels = connected_components(1003, *np.concatenate([chain, [[1001, 1002]]]).T)
    assert set(labels[:1000]) == {0}
    assert labels[1000:].tolist() == [1000, 1001, 1001]
