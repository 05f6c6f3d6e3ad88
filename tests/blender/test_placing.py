from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from mathutils import Euler, Matrix, Vector

from csm_refine_addon.blender.background import prepare
from csm_refine_addon.blender.geometry import bounds
from csm_refine_addon.blender.scene import export, object_metadata, parenting, placing
from csm_refine_addon.core.errors import MeshUnusable
from csm_refine_addon.core.models import Box, Placement
from csm_refine_addon.core.placement import BoundsOptions, BoundsSource, PivotSource, RefineParameters, resolve
from tests.support import returned, scenes

ERROR = 1e-5
MATRIX = Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), (1, 2, 3))
UPRIGHT = Matrix.LocRotScale((1, 2, 3), Euler((0.7, math.pi / 2, -1.9)), (1, 2, 3))

angles = st.floats(-3.125, 3.125, width=32)
scales = st.one_of(st.floats(0.125, 16, width=32), st.floats(-16, -0.125, width=32))
lengths = st.floats(-16, 16, width=32)
three = st.tuples
matrices = st.builds(
    lambda place, turn, scale: Matrix.LocRotScale(Vector(place), Euler(turn), Vector(scale)),
    three(lengths, lengths, lengths),
    three(angles, angles, angles),
    three(scales, scales, scales),
)
offsets = three(*[st.floats(-2, 2, width=32)] * 3)
"""Where the origin stands from the middle of the box, in boxes: beyond 0.5 it lies outside."""
factors = three(*[st.sampled_from((0.25, 0.9, 1.0, 1.001, 4.0))] * 3)
plain = (1.0, 1.0, 1.0)


@pytest.fixture(autouse=True)
def scene():
    with object_metadata.known():
        yield scenes.empty_scene()


def asked_for(obj, choices=None) -> RefineParameters:
    return resolve(bounds.measure(bpy.context.evaluated_depsgraph_get(), obj), choices or BoundsOptions())


def prepared(folder: Path, asked: RefineParameters, factor=plain, *, fit=True) -> Path:
    """What a service returns for a request, prepared in this process; ``factor`` is its mistake.

    Without one, nothing needs to be corrected.
    """
    mesh = returned.write_glb(folder / "mesh.glb", np.array(asked.scaled_bbox) * factor, asked.pivot_point)
    scenes.empty_scene()
    report = prepare.prepare(
        mesh,
        folder / "result.blend",
        prepare.PrepareOptions("SESSION_1", asked.placement.box, fit, mirrored=asked.placement.mirrored),
    )
    assert bool(report.correction) == (fit and asked.placement.box is not None and tuple(factor) != plain)
    scenes.empty_scene()
    return folder / "result.blend"


def place(blend: Path, placement: Placement, **options) -> placing.Placed:
    return placing.place(bpy.context, blend, placement, name="Refined", **options)


def placed_object(placed: placing.Placed) -> bpy.types.Object:
    return bpy.data.objects[placed.object_name]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(matrices, offsets, st.one_of(st.none(), matrices), st.one_of(st.just(plain), factors))
@example(MATRIX, (2.0, 0.0, 0.0), None, plain)
@example(Matrix.LocRotScale(None, Euler((0.1, math.pi / 2, 0.3)), (1, -1, 1)), (0.0, 0.0, 0.5), None, (2.0, 1.0, 0.5))
def test_result_stands_in_the_box_and_origin_of_any_source(tmp_path, matrix, offset, parent_matrix, factor):
    """Measured, sent, returned (in a wrong size too), prepared, placed: box and origin are the source's, to 1e-5.

    Seen by Blender, and by an independent reader of the exported file.
    """
    scenes.empty_scene()
    source = scenes.mesh_object(points=np.array(scenes.WEDGE) - offset)
    if parent_matrix:
        source.parent = scenes.link(bpy.data.objects.new("Parent", None))
        source.parent.matrix_world = parent_matrix
    source.matrix_local = matrix
    asked = asked_for(source)
    origin, vertices = tuple(source.matrix_world.translation), scenes.world_vertices(source)
    placement = asked.placement
    assert max(map(abs, asked.pivot_point)) <= 0.5

    placed = place(prepared(tmp_path, asked, factor), placement)
    result = placed_object(placed)
    assert tuple(result.matrix_world.translation) == origin
    assert placed.fit_error < ERROR
    export.export(result, tmp_path / "result.glb")
    for points in (scenes.world_vertices(result), returned.read_points(tmp_path / "result.glb")):
        wanted, found = (scenes.in_frame(some, placement.origin, placement.rotation) for some in (vertices, points))
        assert np.abs(wanted.min(axis=0) - found.min(axis=0)).max() < ERROR * placement.box.diagonal
        assert np.abs(wanted.max(axis=0) - found.max(axis=0)).max() < ERROR * placement.box.diagonal


similar = st.builds(
    lambda place, turn, scale: Matrix.LocRotScale(Vector(place), Euler(turn), Vector([scale] * 3)),
    three(lengths, lengths, lengths),
    three(angles, angles, angles),
    scales,
)
"""Of parents under which nothing is sheared; mirrored ones too."""


def outward(obj: bpy.types.Object) -> bool:
    """Whether each face of a convex mesh looks away from its middle, in the world."""
    turn = np.linalg.inv(np.array(obj.matrix_world)[:3, :3]).T
    points = scenes.world_vertices(obj)
    faces = [(points[list(face.vertices)].mean(axis=0), turn @ face.normal) for face in obj.data.polygons]
    return all(normal @ (place - points.mean(axis=0)) > 0 for place, normal in faces)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(matrices, offsets, st.one_of(st.none(), similar), st.one_of(st.none(), matrices), st.one_of(st.none(), similar))
@example(Matrix.Diagonal((-1, 1, 1, 1)), (0.2, 0.0, 0.0), None, None, None)
@example(MATRIX, (0.0, 0.0, 0.0), None, Matrix.Diagonal((1, -2, 1, 1)) @ MATRIX, None)
@example(UPRIGHT, (0.2, 0.0, 0.0), Matrix.LocRotScale((1, 2, 3), Euler((0, 0, 0.4)), (3, 3, 3)), None, None)
def test_result_follows_its_source(tmp_path, matrix, offset, parent_matrix, matrix_then, parent_then):
    """Moved, turned, scaled, mirrored or parented while it was refined: each vertex comes to where the source has it.

    The faces look outwards, parent and its inverse are the source's, and a sentence says that it was scaled.
    """
    scenes.empty_scene()
    source = scenes.mesh_object("Source", points=np.array(scenes.WEDGE) - offset)
    stand(source, matrix, parent_matrix)
    asked = asked_for(source)
    blend = prepared(tmp_path, asked, fit=False)
    source = scenes.mesh_object("Source", points=np.array(scenes.WEDGE) - offset)
    stand(source, matrix, parent_matrix)
    sizes = np.abs(source.matrix_world.to_scale())
    if matrix_then or parent_then:
        stand(source, matrix_then or matrix, parent_then or parent_matrix)
    bpy.context.view_layer.update()
    origin, vertices = tuple(source.matrix_world.translation), scenes.world_vertices(source)

    placed = place(blend, asked.placement)
    result = placed_object(placed)
    assert placed.fit_error < ERROR
    assert tuple(result.matrix_world.translation) == origin
    found = scenes.world_vertices(result)
    distances = np.linalg.norm(found[:, None] - vertices[None], axis=2).min(axis=0)
    assert distances.max() < ERROR * max(np.ptp(vertices, axis=0).max(), np.abs(vertices).max())
    assert outward(source)
    assert outward(result)
    assert (result.parent, result.matrix_parent_inverse) == (source.parent, source.matrix_parent_inverse)
    same_size = np.allclose(np.abs(source.matrix_world.to_scale()), sizes, rtol=2e-5)
    assert same_size or "was scaled since it was measured" in placed.remark


def stand(obj: bpy.types.Object, matrix: Matrix, parent_matrix: Matrix | None) -> None:
    """Give an object a place, below a new parent where it is to have one, with an inverse of its own."""
    if parent_matrix:
        obj.parent = scenes.link(bpy.data.objects.new("Parent", None))
        obj.parent.matrix_world = parent_matrix
        obj.matrix_parent_inverse = Matrix.Translation((1, 2, 3))
    obj.matrix_basis = matrix
    bpy.context.view_layer.update()


def test_nothing_is_said_of_a_source_that_was_only_moved(tmp_path):
    """Location and rotation are followed without a word, and so are several collections."""
    blend, placement = ready(tmp_path)
    source = scenes.mesh_object("Source", matrix=Matrix.LocRotScale((9, 8, 7), Euler((1, 2, 3)), (1, 2, 3)))
    for name in ("Shelf", "Box"):
        bpy.context.scene.collection.children.link(bpy.data.collections.new(name))
        bpy.data.collections[name].objects.link(source)
    placed = place(blend, placement)
    result = placed_object(placed)
    assert placed.remark == ""
    assert tuple(result.location) == (9, 8, 7)
    assert tuple(result.scale) == pytest.approx((1, 1, 1), abs=1e-6)
    assert set(result.users_collection) == set(source.users_collection)


def test_fit_goes_to_where_the_source_is(tmp_path):
    """*Fit to Box* on a placed object brings it to its source's present place and size, around its origin."""
    source = scenes.mesh_object("Source", matrix=MATRIX)
    asked = asked_for(source)
    blend = prepared(tmp_path, asked, (2, 1, 1), fit=False)
    source = scenes.mesh_object("Source", matrix=MATRIX)
    result = placed_object(place(blend, asked.placement))
    source.matrix_world = Matrix.LocRotScale((5, 6, 7), Euler((0.5, 0.6, 0.7)), (3, -2, 1))
    bpy.context.view_layer.update()
    placing.fit(result, asked.placement, source)
    assert np.abs(scenes.world_vertices(result) - scenes.world_vertices(source)).max() < 1e-5 * 14


@pytest.mark.parametrize("pivot", [PivotSource.CENTER, PivotSource.BOTTOM, PivotSource.TYPED, PivotSource.AUTO])
def test_result_fills_the_box_whatever_the_pivot(pivot, tmp_path):
    """Another pivot moves the result's origin, not its geometry."""
    source = scenes.mesh_object(points=np.array(scenes.WEDGE) - (0.3, 2, 0.1), matrix=MATRIX)
    asked, vertices = (
        asked_for(source, BoundsOptions(pivot=pivot, typed_pivot=(0.1, 0.2, 0.3))),
        scenes.world_vertices(source),
    )
    sent = dataclasses.replace(asked, pivot_point=asked.pivot_point or (0.0, 0.0, 0.0))
    result = placed_object(place(prepared(tmp_path, sent, fit=False), asked.placement))
    assert np.abs(scenes.world_vertices(result) - vertices).max() < ERROR * asked.placement.box.diagonal


def test_typed_bounds_stand_on_the_same_point_of_the_source(tmp_path):
    """A taller box with its pivot at the bottom stands on the source's bottom centre."""
    source = scenes.mesh_object(matrix=Matrix.Translation((1, 2, 3)))
    choices = BoundsOptions(BoundsSource.TYPED, PivotSource.BOTTOM, typed_bbox=(2.0, 5.0, 3.0))
    asked = asked_for(source, choices)
    assert (asked.scaled_bbox, asked.pivot_point) == ((2.0, 5.0, 3.0), (0.0, -0.5, 0.0))
    result = placed_object(place(prepared(tmp_path, asked, fit=False), asked.placement))
    points = scenes.world_vertices(result)
    assert points.min(axis=0) == pytest.approx((0, 0.5, 2.5))
    assert points.max(axis=0) == pytest.approx((2, 3.5, 7.5))


def test_without_a_box_the_mesh_stands_at_the_origin_in_the_rotation(tmp_path):
    """Bounds left to the service: size as returned, origin and rotation of the source, no fit error."""
    source = scenes.mesh_object(matrix=MATRIX)
    asked = asked_for(source, BoundsOptions(BoundsSource.AUTO, PivotSource.AUTO))
    assert (asked.scaled_bbox, asked.pivot_point, asked.placement.box) == (None, None, None)
    guess = dataclasses.replace(asked, scaled_bbox=(1.0, 2.0, 1.5), pivot_point=(0.0, 0.0, 0.0))
    placed = place(prepared(tmp_path, guess), asked.placement)
    assert placed.fit_error is None
    assert placed.dimensions == pytest.approx((1, 1.5, 2))
    expected = Matrix.LocRotScale(MATRIX.translation, MATRIX.to_quaternion(), None)
    assert np.abs(np.array(placed_object(placed).matrix_world) - np.array(expected)).max() < 1e-6


def test_fit_error_is_measured(tmp_path):
    """A result of twice the width that may not be fitted has an error that says so; *Fit to box* mends it."""
    source = scenes.mesh_object(matrix=MATRIX)
    asked = asked_for(source)
    placed = place(prepared(tmp_path, asked, (2, 1, 1), fit=False), asked.placement)
    assert placed.fit_error == pytest.approx(1 / math.sqrt(14), rel=1e-4)
    result = placed_object(placed)
    result.location.x += 5
    result.scale.z = 3
    assert "changed to 1 x 2 x 3" in placing.fit(result, asked.placement)
    assert placing.measure_fit(result, asked.placement) < ERROR
    assert placing.fit(result, asked.placement) == ""


def test_fit_goes_through_modifiers_and_edit_mode(tmp_path):
    """Fitting counts what modifiers make, leaves a shared mesh alone, and comes back to Edit Mode."""
    asked = asked_for(scenes.mesh_object(matrix=MATRIX))
    result = placed_object(place(prepared(tmp_path, asked), asked.placement))
    twin = scenes.link(bpy.data.objects.new("Twin", result.data))
    result.modifiers.new("Array", "ARRAY").count = 3
    scenes.select(result)
    bpy.ops.object.mode_set(mode="EDIT")
    placing.fit(result, asked.placement)
    assert result.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert placing.measure_fit(result, asked.placement) < ERROR
    assert (
        placing.measure_fit(twin, dataclasses.replace(asked.placement, origin=(0, 0, 0), rotation=(1, 0, 0, 0))) < ERROR
    )


def test_fit_without_a_box_is_refused():
    """What has no box cannot be fitted: a sentence."""
    with pytest.raises(MeshUnusable, match="no box"):
        placing.fit(scenes.mesh_object(), Placement())


def ready(tmp_path) -> tuple[Path, Placement]:
    asked = asked_for(scenes.mesh_object("Source", matrix=MATRIX))
    return prepared(tmp_path, asked), asked.placement


def test_result_joins_the_collection_of_its_source(tmp_path):
    """It lies beside its source, and the file keeps no trace of the prepared one."""
    blend, placement = ready(tmp_path)
    source = scenes.mesh_object("Source")
    shelf = bpy.data.collections.new("Shelf")
    bpy.context.scene.collection.children.link(shelf)
    shelf.objects.link(source)
    bpy.context.scene.collection.objects.unlink(source)
    result = placed_object(place(blend, placement))
    assert list(result.users_collection) == [shelf]
    assert (result.name, result.data.name) == ("Refined", "Refined")
    assert not bpy.data.libraries
    assert source.visible_get()
    assert not source.hide_render


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize(
    ("selected", "expected", "expected_if_hidden"),
    [
        (["Source"], ["Refined"], ["Refined"]),
        (["Source", "Child"], ["Refined"], ["Refined"]),
        (["Other"], ["Other"], ["Other"]),
        (["Source", "Other"], ["Source", "Other"], ["Refined", "Other"]),
        (["Other", "Source"], ["Other", "Source"], ["Other", "Refined"]),
        ([], [], []),
    ],
    ids=["source", "family", "other", "source and other", "other and source", "nothing"],
)
def test_selection_stays_as_it_is(selected, expected, expected_if_hidden, hide, tmp_path):
    """The first one is active. The result takes its source's place only where that is all, or can be selected no more.

    Importing in the window is no different.
    """
    asked = asked_for(scenes.mesh_object("Source", matrix=MATRIX))
    blend = prepared(tmp_path, asked)
    bring = placing.place, placing.import_here
    for place_it, path in zip(bring, (blend, tmp_path / "mesh.glb"), strict=True):
        scenes.empty_scene()
        source, child, _other = (scenes.mesh_object(name) for name in ("Source", "Child", "Other"))
        child.parent = source
        scenes.select(*(bpy.data.objects[name] for name in selected))
        place_it(bpy.context, path, asked.placement, name="Refined", hide_source=hide)
        wanted = expected_if_hidden if hide else expected
        bpy.context.view_layer.update()
        assert {obj.name for obj in bpy.context.view_layer.objects.selected} == set(wanted)
        active = bpy.context.view_layer.objects.active
        assert (active.name if active else None) == (wanted[0] if wanted else None)


def test_renamed_source_or_hidden_collection_is_no_obstacle(tmp_path):
    """With the source gone, or where it cannot be seen, the result goes where it is seen."""
    blend, placement = ready(tmp_path)
    assert list(placed_object(place(blend, placement)).users_collection) == [bpy.context.scene.collection]
    shelf = bpy.data.collections.new("Shelf")
    bpy.context.scene.collection.children.link(shelf)
    source = bpy.data.objects.new("Source", None)
    shelf.objects.link(source)
    bpy.context.view_layer.layer_collection.children["Shelf"].exclude = True
    assert placed_object(place(blend, placement)).visible_get()


def test_source_is_hidden_with_its_children_if_wanted(tmp_path):
    """Hidden means in viewport and render, and what hangs on it."""
    blend, placement = ready(tmp_path)
    source, child = scenes.mesh_object("Source"), scenes.mesh_object("Child")
    child.parent = source
    place(blend, placement, hide_source=True)
    assert all(obj.hide_get() and obj.hide_render for obj in (source, child))


@pytest.mark.parametrize("mode", ["EDIT", "SCULPT", "WEIGHT_PAINT"])
def test_users_mode_is_respected(mode, tmp_path):
    """Edit Mode is left; sculpting and painting go on, with their object active and not hidden."""
    blend, placement = ready(tmp_path)
    source = scenes.mesh_object("Source")
    scenes.select(source)
    bpy.ops.object.mode_set(mode=mode)
    placed = place(blend, placement, hide_source=mode != "EDIT")
    assert placed.fit_error < ERROR
    assert source.mode == ("OBJECT" if mode == "EDIT" else mode)
    assert (bpy.context.view_layer.objects.active == source) == (mode != "EDIT")
    assert source.visible_get()


def datablocks() -> set[str]:
    return {repr(block) for kind in placing.APPENDED + placing.BESIDE for block in getattr(bpy.data, kind)}


def test_failed_placing_leaves_nothing_behind(tmp_path):
    """A prepared file that is gone, no .blend, or without its mesh: a sentence, the file and the mode as before."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "none.blend"), copy=True)
    source = scenes.mesh_object("Source")
    bpy.data.libraries.write(str(tmp_path / "many.blend"), {source, scenes.mesh_object("Other")})
    (tmp_path / "bad.blend").write_text("no .blend")
    scenes.select(source)
    bpy.ops.object.mode_set(mode="EDIT")
    before = datablocks()
    for name in ("many.blend", "none.blend", "bad.blend", "gone.blend"):
        with pytest.raises(MeshUnusable) as caught:
            place(tmp_path / name, Placement())
        assert caught.value.action
        assert datablocks() == before
    assert source.mode == "EDIT"


def test_import_here_does_the_same_in_one_go(tmp_path):
    """Blender's own importer in the window: same place, same fit, and the user's own data untouched."""
    asked = asked_for(scenes.mesh_object("Source", matrix=MATRIX))
    mesh = returned.write_glb(tmp_path / "mesh.glb", np.array(asked.scaled_bbox) * 2, asked.pivot_point, textured=True)
    picture = bpy.data.images.new("Picture", 4, 4)
    picture.filepath_raw, picture.file_format = str(tmp_path / "elsewhere.png"), "PNG"
    picture.save()
    picture = bpy.data.images.load(str(tmp_path / "elsewhere.png"))
    spare = bpy.data.meshes.new("Spare")
    spare.use_fake_user = True
    before = datablocks()
    placed = placing.import_here(bpy.context, mesh, asked.placement, name="Refined")
    assert placed.fit_error < ERROR
    assert before <= datablocks()
    assert spare.use_fake_user
    assert not picture.packed_file
    assert len(datablocks() - before) == 4  # object, mesh, material, image


def test_failed_import_here_leaves_nothing_behind(tmp_path):
    """A file that is no mesh brings nothing into the user's scene."""
    scenes.mesh_object("Source")
    (tmp_path / "mesh.glb").write_bytes(b"glTF broken")
    before = datablocks()
    with pytest.raises(MeshUnusable):
        placing.import_here(bpy.context, tmp_path / "mesh.glb", Placement(), name="Refined")
    assert datablocks() == before


def test_euler_angles_are_those_of_the_quaternion():
    """Also next to a pitch of 90 degrees, where float32 angles are off by half a degree; with rounding, too."""
    for distance in (0.0, 1e-8, 1e-6, 1e-4, 1e-2, 1.0):
        rotation = Euler((0.7, math.pi / 2 - distance, -1.9)).to_quaternion()
        exact = bounds.rotation_matrix(tuple(rotation))
        for matrix in (exact, exact + 1e-7 * np.sin(np.arange(9)).reshape(3, 3)):
            found = np.array(Euler(parenting.euler_xyz(matrix)).to_matrix())
            assert np.abs(found - exact).max() < 1e-6


def test_placing_a_large_mesh_is_quick(tmp_path):
    """Placing does nothing per vertex in Python: 400,000 faces take well under a second on any machine."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=632, y_subdivisions=632)
    obj = bpy.context.object
    obj.name = obj.data.name = "Grid"
    bpy.data.libraries.write(str(tmp_path / "grid.blend"), {obj})
    scenes.empty_scene()
    began = time.process_time()
    place(tmp_path / "grid.blend", Placement(box=Box((0.0, 0.0, 0.0), (2.0, 2.0, 1.0))))
    assert time.process_time() - began < 0.5


def test_a_linked_source_is_hidden_and_followed(tmp_path):
    """An object of a library is a source like any other; the result goes where it can be seen."""
    scenes.mesh_object("Source", matrix=MATRIX)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    scenes.empty_scene()
    asked = asked_for(scenes.mesh_object("Source", matrix=MATRIX))
    blend = prepared(tmp_path, asked)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_found, wanted):
        wanted.objects = ["Source"]
    (source,) = wanted.objects
    scenes.select(scenes.link(source))
    placed = place(blend, asked.placement, hide_source=True)
    assert placed.fit_error < ERROR
    assert source.hide_get()
    assert list(bpy.context.view_layer.objects.selected) == [placed_object(placed)]
