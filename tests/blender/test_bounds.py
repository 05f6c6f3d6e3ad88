from __future__ import annotations

import math

import bpy
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from mathutils import Euler, Matrix, Vector

from csm_refine_addon.blender.geometry import bounds
from csm_refine_addon.blender.geometry.object_hierarchy import with_children
from csm_refine_addon.core.errors import InputError
from tests.support import scenes

ERROR = 1e-5
in_one_scene = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


def measure(active, *objects, **options):
    return bounds.measure(bpy.context.evaluated_depsgraph_get(), active, objects, **options)


def error_of(measured, points) -> float:
    return scenes.box_error(measured.box, scenes.in_frame(points, measured.origin, measured.rotation))


angles = st.floats(-3.140625, 3.140625, width=32)
sides = st.floats(0.0625, 20, width=32)
scales = st.one_of(sides, sides.map(lambda side: -side))
lengths = st.floats(-30, 30, width=32)
matrices = st.builds(
    lambda place, turn, scale: Matrix.LocRotScale(Vector(place), Euler(turn), Vector(scale)),
    st.tuples(lengths, lengths, lengths),
    st.tuples(angles, angles, angles),
    st.tuples(scales, scales, scales),
)
offsets = st.tuples(*[st.floats(-3, 3, width=32)] * 3)
mirrored = Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), (-1, 2, 3))


@in_one_scene
@given(matrices, offsets, st.one_of(st.none(), matrices))
@example(mirrored, (0, 0, 0), None)
@example(mirrored, (2, 0, 0), mirrored)
def test_box_is_that_of_the_world_vertices_in_the_objects_frame(matrix, offset, parent_matrix):
    """Any rotation, scale of any sign, parent (shear included) and origin: the box holds the vertices and no more."""
    points = np.array(scenes.WEDGE) + offset
    obj = scenes.mesh_object(points=points)
    if parent_matrix:
        obj.parent = scenes.link(bpy.data.objects.new("Parent", None))
        obj.parent.matrix_world = parent_matrix
    obj.matrix_local = matrix
    measured = measure(obj)
    assert error_of(measured, scenes.world_vertices(obj)) < ERROR
    assert measured.origin == tuple(obj.matrix_world.translation)


@pytest.mark.parametrize("scale", [(1, 1, 1), (-1, 1, 1), (1, -2, 1), (-1, -1, -1), (1, 1, -3), (-2, -1, 1)])
def test_rotation_is_that_of_decompose(scale):
    """An object without shear has the rotation of its decomposed matrix, negative scale or not."""
    obj = scenes.mesh_object(matrix=Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), scale))
    measured = measure(obj)
    assert measured.rotation == pytest.approx(tuple(obj.matrix_world.decompose()[1]))
    assert measured.mirrored == (math.prod(scale) < 0)
    assert measured.warnings == ()


def test_turned_object_is_not_measured_by_its_world_box():
    """A cube turned by 45 degrees keeps its side of 2 where its world box would have 2.83."""
    bpy.ops.mesh.primitive_cube_add(size=2, rotation=(0, 0, math.radians(45)))
    assert measure(bpy.context.object).box.size == pytest.approx((2, 2, 2), rel=ERROR)


def test_sheared_object_takes_the_nearest_rotation_and_says_so():
    """With a sheared matrix M no rotation R has a greater trace(RᵀM), and the user is told."""
    obj = scenes.mesh_object()
    obj.parent = scenes.link(bpy.data.objects.new("Parent", None))
    obj.parent.scale = (1, 3, 0.5)
    obj.rotation_euler = (0.4, 0.8, 0.3)
    measured = measure(obj)
    linear = np.array(obj.matrix_world.to_3x3())
    symmetric = bounds.rotation_matrix(measured.rotation).T @ linear
    assert np.abs(symmetric - symmetric.T).max() < ERROR
    assert error_of(measured, scenes.world_vertices(obj)) < ERROR
    assert any("sheared" in warning for warning in measured.warnings)


def test_modifiers_count():
    """What the modifiers make is measured, not the mesh below them."""
    obj = scenes.mesh_object(matrix=mirrored)
    obj.modifiers.new("Array", "ARRAY").count = 3
    obj.modifiers.new("Subdivision", "SUBSURF")
    measured = measure(obj)
    assert error_of(measured, scenes.world_vertices(obj)) < ERROR
    assert measured.box.size[0] > 2.5


def _curve():
    bpy.ops.curve.primitive_bezier_circle_add()
    bpy.context.object.data.bevel_depth = 0.1


def _text():
    bpy.ops.object.text_add()
    bpy.context.object.data.extrude = 0.2


def _metaballs():
    bpy.ops.object.metaball_add(location=(1, 0, 0))
    bpy.context.object.data.elements.new().co = (1, 0.5, 0.2)


@pytest.mark.parametrize("add", [_curve, _text, _metaballs, bpy.ops.surface.primitive_nurbs_surface_sphere_add])
def test_curves_text_metaballs_and_surfaces_count(add):
    """What is no mesh is measured by the mesh that Blender shows of it."""
    add()
    obj = bpy.context.object
    obj.matrix_world = Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), (1, 2, 3))
    assert error_of(measure(obj), scenes.world_vertices(obj)) < ERROR


@in_one_scene
@given(matrices, st.lists(st.tuples(matrices, st.booleans()), min_size=1, max_size=4))
def test_children_and_several_objects_share_a_box_in_the_active_ones_frame(matrix, others):
    """Selected objects and children of any depth have one box, in the frame of the active one."""
    scenes.empty_scene()
    active = scenes.mesh_object(matrix=matrix)
    chosen, last = [active], active
    for number, (other, is_child) in enumerate(others):
        obj = scenes.mesh_object(f"Other {number}", matrix=other)
        obj.parent = last if is_child else None
        chosen += [] if is_child else [obj]
        last = obj
    measured = measure(active, *chosen)
    assert error_of(measured, scenes.world_vertices(*with_children(chosen))) < ERROR
    assert measured.object_name == active.name


def test_hidden_children_do_not_count():
    """A child hidden by its eye or its screen icon is left out."""
    obj = scenes.mesh_object()
    for name in ("Eye", "Screen", "Shown"):
        child = scenes.mesh_object(name, matrix=Matrix.Translation((len(name), 0, 0)))
        child.parent = obj
    bpy.data.objects["Eye"].hide_set(True)
    bpy.data.objects["Screen"].hide_viewport = True
    assert error_of(measure(obj), scenes.world_vertices(obj, bpy.data.objects["Shown"])) < ERROR


def _spread(count: int) -> list[Matrix]:
    return [
        Matrix.LocRotScale((number * 0.7, -number % 3, number % 5), Euler((number, 2 * number, 3)), (1, 2, 0.5))
        for number in range(count)
    ]


def _expected(shape: bpy.types.Object, matrices: list[Matrix]) -> np.ndarray:
    vertices = [vertex.co for vertex in shape.data.vertices]
    return np.array([scenes.transformed(matrix, point) for matrix in matrices for point in vertices])


def test_collection_instances_count_nested_ones_too():
    """An empty that instances a collection has the box of what it shows, however deep that is nested."""
    shape = scenes.mesh_object("Shape")
    bpy.context.scene.collection.objects.unlink(shape)
    inner = bpy.data.collections.new("Inner")
    inner.objects.link(shape)
    outer = bpy.data.collections.new("Outer")
    nested = []
    for number, matrix in enumerate(_spread(4)):
        nested.append(bpy.data.objects.new(f"Nested {number}", None))
        nested[-1].instance_type, nested[-1].instance_collection = "COLLECTION", inner
        nested[-1].matrix_world = matrix
        outer.objects.link(nested[-1])
    active = scenes.link(bpy.data.objects.new("Active", None))
    active.instance_type, active.instance_collection = "COLLECTION", outer
    active.matrix_world = Matrix.LocRotScale((5, 6, 7), Euler((1, 2, 3)), (2, 2, 2))
    expected = _expected(shape, [active.matrix_world @ matrix for matrix in _spread(4)])
    assert error_of(measure(active), expected) < ERROR


def _instancing_nodes(shape: bpy.types.Object) -> bpy.types.NodeTree:
    """Geometry nodes: an instance of ``shape`` on each vertex of the mesh, and nothing of the mesh itself."""
    tree = bpy.data.node_groups.new("Nodes", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    start, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    instances, info = tree.nodes.new("GeometryNodeInstanceOnPoints"), tree.nodes.new("GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = shape
    info.inputs["As Instance"].default_value = True
    tree.links.new(start.outputs[0], instances.inputs["Points"])
    tree.links.new(info.outputs["Geometry"], instances.inputs["Instance"])
    tree.links.new(instances.outputs[0], end.inputs[0])
    return tree


def test_geometry_nodes_instances_count():
    """Instances that geometry nodes make are measured, without being made real."""
    shape = scenes.mesh_object("Shape")
    spots = [matrix.translation for matrix in _spread(200)]
    matrix = Matrix.LocRotScale((5, 6, 7), Euler((1, 2, 3)), (2, 2, 2))
    obj = scenes.mesh_object("Instancer", points=spots, faces=[], matrix=matrix)
    obj.modifiers.new("Nodes", "NODES").node_group = _instancing_nodes(shape)
    expected = _expected(shape, [matrix @ Matrix.Translation(spot) for spot in spots])
    assert error_of(measure(obj), expected) < ERROR


def test_instances_on_faces_count():
    """A child instanced on its parent's faces is measured where it is shown."""
    shape = scenes.mesh_object("Shape", matrix=Matrix.Scale(0.1, 4))
    obj = scenes.mesh_object("Instancer", matrix=Matrix.LocRotScale((5, 6, 7), Euler((1, 2, 3)), (2, 2, 2)))
    shape.parent = obj
    obj.instance_type = "FACES"
    depsgraph = bpy.context.evaluated_depsgraph_get()
    shown = [found.matrix_world.copy() for found in depsgraph.object_instances if found.is_instance]
    assert len(shown) == len(scenes.WEDGE_FACES)
    expected = np.concatenate([_expected(shape, shown), scenes.world_vertices(obj)])
    assert error_of(measure(obj), expected) < ERROR


def test_many_turned_instances_read_few_vertices():
    """Of thousands of instances only those that reach furthest are looked at vertex by vertex."""
    shape = scenes.mesh_object()
    reads = []
    pieces = [
        bounds.extent.__globals__["Piece"](
            np.array(matrix), np.full(3, -0.5), np.full(3, 0.5), lambda: reads.append(1) or np.array(scenes.WEDGE)
        )
        for matrix in _spread(5000)
    ]
    low, high = bounds.extent(pieces, np.eye(3), np.zeros(3))
    expected = _expected(shape, _spread(5000))
    assert np.abs([low - expected.min(axis=0), high - expected.max(axis=0)]).max() < ERROR
    assert len(reads) < 1000


def test_vertices_moved_by_a_script_count():
    """The cached box is not an old one, once the mesh is told of the change."""
    obj = scenes.mesh_object()
    assert measure(obj).box.size == pytest.approx((1, 1, 1))
    obj.data.vertices.foreach_set("co", np.array(scenes.WEDGE, dtype=np.float32).ravel() * 3)
    obj.data.update()
    assert measure(obj).box.size == pytest.approx((3, 3, 3))


def test_edit_mode_measures_what_is_edited():
    """Vertices moved in Edit Mode count at once."""
    import bmesh

    obj = scenes.mesh_object(matrix=mirrored)
    scenes.select(obj)
    bpy.ops.object.mode_set(mode="EDIT")
    edited = bmesh.from_edit_mesh(obj.data)
    edited.verts.ensure_lookup_table()
    edited.verts[0].co.x = -4
    bmesh.update_edit_mesh(obj.data)
    measured = measure(obj)
    assert max(measured.box.size) == pytest.approx(4.5)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert error_of(measured, scenes.world_vertices(obj)) < ERROR


def test_flat_object_is_refused_by_name_of_its_side():
    """A plane has no height: a sentence says so, and a typed thickness is used around its middle."""
    bpy.ops.mesh.primitive_plane_add(size=2, rotation=(0.3, 0.2, 0.1), location=(1, 2, 3))
    plane = bpy.context.object
    with pytest.raises(InputError, match=r"no height \(Z\)"):
        measure(plane)
    assert measure(plane, thickness=0.25).box.size == pytest.approx((2, 2, 0.25))
    assert measure(plane, allow_flat=True).box.size == pytest.approx((2, 2, 0))


def test_objects_that_are_flat_together_are_refused_in_any_rotation():
    """Float noise does not make a flat selection thick."""
    turn = Euler((0.7, 0.4, 1.1)).to_matrix().to_4x4()
    square, face = [(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [(0, 1, 2, 3)]
    active = scenes.mesh_object("Active", square, face, turn)
    other = scenes.mesh_object("Other", square, face, turn @ Matrix.Translation((3, 1, 0)) @ Matrix.Rotation(1, 4, "Z"))
    with pytest.raises(InputError, match="flat"):
        measure(active, active, other)


@pytest.mark.parametrize("add", [bpy.ops.object.camera_add, bpy.ops.object.light_add, bpy.ops.object.empty_add])
def test_object_without_geometry_is_refused(add):
    """A camera, a light, a lonely empty: a sentence with the cure, no box."""
    add()
    with pytest.raises(InputError, match="no geometry") as caught:
        measure(bpy.context.object)
    assert caught.value.action


def test_hidden_object_is_refused_as_hidden():
    """An object that is hidden is not evaluated: the sentence says so."""
    obj = scenes.mesh_object()
    obj.hide_viewport = True
    with pytest.raises(InputError, match="hidden"):
        measure(obj)


def test_empty_mesh_is_refused():
    """A mesh without vertices has no box."""
    with pytest.raises(InputError, match="no geometry"):
        measure(scenes.mesh_object(points=[], faces=[]))


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_vertices_that_are_not_finite_are_refused(value):
    """An infinite vertex is no box."""
    obj = scenes.mesh_object()
    obj.data.vertices[0].co.x = value
    with pytest.raises(InputError, match="finite"):
        measure(obj)


def test_zero_scale_is_refused():
    """A scale of zero leaves no rotation to tell."""
    obj = scenes.mesh_object()
    obj.scale.y = 0
    with pytest.raises(InputError, match="scale of zero"):
        measure(obj)


def test_nothing_selected_is_refused_and_the_active_object_comes_first():
    """The selection is the active object and all selected; an active one that is not selected does not count."""
    first, second = scenes.mesh_object("First"), scenes.mesh_object("Second")
    layer = bpy.context.view_layer
    scenes.select()
    with pytest.raises(InputError, match="Nothing is selected"):
        bounds.selection(layer)
    scenes.select(second, first)
    active, objects = bounds.selection(layer)
    assert (active, set(objects)) == (second, {first, second})
    layer.objects.active = first
    first.select_set(False)
    assert bounds.selection(layer) == (second, [second])


def test_unknown_object_is_named():
    """An object that is not there is named in the sentence."""
    with pytest.raises(InputError, match="“Nowhere”"):
        bounds.find_object(bpy.context.view_layer, "Nowhere")
