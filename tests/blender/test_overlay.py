from __future__ import annotations

import math

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Vector

from csm_refine_addon.blender.geometry import bounds, selection_bounds
from csm_refine_addon.blender.jobs import job_list, job_monitor
from csm_refine_addon.blender.scene import object_metadata
from csm_refine_addon.blender.ui import overlay, overlay_geometry, sidebar_visibility
from csm_refine_addon.core import placement
from csm_refine_addon.core.models import Box, JobState, Placement
from csm_refine_addon.core.placement import BoundsOptions, BoundsSource, PivotSource
from tests.support import panel, scenes

TURNED = Matrix.Translation((3.0, -2.0, 1.0)) @ Euler((0.4, -0.7, 1.1)).to_matrix().to_4x4()
SCALED = TURNED @ Matrix.Diagonal((2.0, 0.5, 3.0, 1.0))
MIRRORED = TURNED @ Matrix.Diagonal((-2.0, 0.5, 3.0, 1.0))
SHEARED = SCALED @ Matrix(((1, 0.4, 0, 0), (0, 1, 0.2, 0), (0, 0, 1, 0), (0, 0, 0, 1)))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        bpy.data.batch_remove(bpy.data.objects)
        bpy.context.view_layer.update()
        yield tmp_path / "home"


def wedge(matrix: Matrix = TURNED) -> bpy.types.Object:
    """A selected object that the timer has measured; its matrix is its parent's, because its own cannot be sheared."""
    parent = scenes.link(bpy.data.objects.new("Parent", None))
    found = scenes.mesh_object()
    found.parent, found.matrix_parent_inverse = parent, matrix
    scenes.select(found)
    measure()
    return found


def measure() -> None:
    selection_bounds.mark_stale()
    selection_bounds.update(bpy.context, selection_bounds.AT_ONCE, 0.0, math.inf)


def composed(*jobs) -> overlay_geometry.Picture:
    return overlay.compose(bpy.context, {job.id: job for job in jobs})


def selected(home, job):
    """The job as it is in the list, selected."""
    with panel.journal(home) as journal:
        journal.add(job)
    job_monitor.current().refresh()
    job_list.show(job_monitor.current().jobs, select=job.id)
    return job


def world(shown: overlay_geometry.Sketch, points, obj: bpy.types.Object | None = None) -> np.ndarray:
    frame = shown.frame(obj.matrix_world if obj else None)
    return np.array([frame @ Vector(point) for point in points])


def drawn_box(shown: overlay_geometry.Sketch, obj: bpy.types.Object, rotation) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest corner of what is drawn, seen from the object in its rotation."""
    points = scenes.in_frame(
        world(shown, overlay_geometry.edges(shown.box), obj), obj.matrix_world.translation, rotation
    )
    return points.min(axis=0), points.max(axis=0)


@pytest.mark.parametrize("matrix", [TURNED, SCALED, MIRRORED, SHEARED], ids=["turned", "scaled", "mirrored", "sheared"])
def test_the_box_encloses_the_object_in_its_own_rotation(matrix):
    """What is drawn touches the vertices on all six sides, however the object is turned, scaled or sheared."""
    obj = wedge(matrix)
    rotation = bounds.frame(obj).rotation
    low, high = drawn_box(composed().request, obj, rotation)
    vertices = scenes.in_frame(scenes.world_vertices(obj), obj.matrix_world.translation, rotation)
    assert np.allclose(low, vertices.min(axis=0), atol=1e-5)
    assert np.allclose(high, vertices.max(axis=0), atol=1e-5)


@pytest.mark.parametrize("matrix", [TURNED, SHEARED], ids=["turned", "sheared"])
def test_the_box_follows_a_moved_object_without_being_measured(matrix):
    """While the object is moved and turned, the same reading is drawn around it as it stands."""
    obj = wedge(matrix)
    shown = composed().request
    move = Matrix.Translation((1, 2, 3)) @ Euler((0.2, 0.9, -0.3)).to_matrix().to_4x4()
    before = world(shown, overlay_geometry.edges(shown.box), obj)
    obj.parent.matrix_world = move
    bpy.context.view_layer.update()
    expected = np.array([move @ Vector(point) for point in before])
    assert np.allclose(world(shown, overlay_geometry.edges(shown.box), obj), expected, atol=1e-4)
    assert composed().request == shown


@pytest.mark.parametrize(
    "choices",
    [
        BoundsOptions(),
        BoundsOptions(pivot=PivotSource.BOTTOM),
        BoundsOptions(BoundsSource.TYPED, PivotSource.TYPED, (1.0, 2.0, 3.0), (-0.5, 0.5, 0.25)),
        BoundsOptions(BoundsSource.TYPED, PivotSource.AUTO, (1.0, 2.0, 3.0)),
    ],
    ids=["object", "bottom", "typed", "pivot left out"],
)
def test_what_is_drawn_is_what_is_asked(choices):
    """The box and the pivot stand where the result will: as the placement of the same choices says."""
    obj = wedge()
    measured = selection_bounds.current().measured
    asked = placement.resolve(measured, choices)
    shown = overlay_geometry.following(measured, asked.placement)
    there = overlay_geometry.standing(asked.placement)
    assert np.allclose(world(shown, [shown.pivot], obj), [asked.placement.origin], atol=1e-5)
    assert np.allclose(
        world(shown, overlay_geometry.edges(shown.box), obj), world(there, overlay_geometry.edges(there.box)), atol=1e-5
    )


def test_bounds_left_to_the_service_leave_the_pivot_at_the_origin():
    """There is no box then, and the result's origin comes to the object's."""
    obj = wedge()
    panel.settings().bounds_mode = "AUTO"
    shown = composed().request
    assert shown.box is None
    assert np.allclose(world(shown, [shown.pivot], obj), [obj.matrix_world.translation])


def test_nothing_selected_draws_nothing_or_what_was_typed():
    """Without an object there is no box of it; typed bounds stand at the world's origin."""
    measure()
    assert composed().request is None
    panel.settings().bounds_mode = panel.settings().pivot_mode = "TYPED"
    panel.settings().bbox = (1.0, 2.0, 3.0)
    shown = composed().request
    assert (shown.object_name, shown.offset, shown.box.size) == ("", (0.0, 0.0, 0.0), (1.0, 3.0, 2.0))


def test_an_origin_outside_the_box_shows_the_pivot_that_is_sent():
    """The cross stands on the nearest point of the box, and the true origin is where the object's is."""
    obj = scenes.mesh_object(points=[(x + 2.0, y, z) for x, y, z in scenes.WEDGE])
    scenes.select(obj)
    measure()
    shown = composed().request
    assert shown.pivot == pytest.approx((1.5, 0.0, 0.0))
    assert shown.offset == pytest.approx((0.0, 0.0, 0.0))


def test_bounds_that_cannot_be_sent_draw_nothing():
    """A typed box without a side is refused in words; the viewport does not pretend."""
    wedge()
    panel.settings().bounds_mode = "TYPED"
    panel.settings().bbox = (1.0, 0.0, 3.0)
    assert composed().request is None


@pytest.mark.parametrize("state", list(JobState))
def test_only_a_result_shows_where_it_belongs(home, state):
    """The selected job's box is drawn when there is something to place, or placed and still here."""
    job = selected(home, panel.job(state))
    object_metadata.mark_result(scenes.mesh_object("Chair refined"), job)
    object_metadata.update([job], math.inf)
    shown = composed(job).target
    assert (shown is not None) == (state in (JobState.READY, JobState.PLACED))
    if shown:
        assert shown == overlay_geometry.standing(job.placement)


def test_a_result_that_is_gone_from_the_file_is_not_drawn(home):
    """A job that was placed in another file says nothing about this one, not even of a namesake."""
    scenes.mesh_object("Chair refined")
    job = selected(home, panel.job(JobState.PLACED))
    object_metadata.update([job], math.inf)
    assert composed(job).target is None


def test_a_job_that_is_not_selected_is_not_drawn(home):
    """Only the job that is looked at has its box in the viewport."""
    other = panel.job(JobState.READY)
    selected(home, panel.job(JobState.READY))
    assert composed(other).target is None


def test_the_difference_is_what_was_measured():
    """Placed: as measured in the scene. Ready: as it came back, and whether it was fitted since."""
    off = panel.job(JobState.PLACED, fit_error=0.003)
    assert overlay.fit_text(off) == "Placed. Difference to the box: 0.3 %"
    exact = panel.job(JobState.PLACED)
    assert overlay.fit_text(exact) == "Placed. Difference to the box: below 0.001 %"
    ready = panel.job(JobState.READY)
    assert overlay.fit_text(ready) == "Ready. Difference to the box: below 0.001 %"
    wide = panel.job(JobState.READY, size=(1.1, 2.0, 3.0), fit_to_box=False)
    percent = 100 * 0.1 / Box((0, 0, 0), (1.1, 2.0, 3.0)).diagonal
    assert overlay.fit_text(wide) == f"Ready. Difference to the box: {percent:.3g} %"
    fitted = panel.job(JobState.READY, size=(1.1, 2.0, 3.0))
    assert overlay.fit_text(fitted) == f"Ready, fitted. It came back with a difference of {percent:.3g} %"


@pytest.mark.parametrize("state", [JobState.READY, JobState.PLACED])
def test_nothing_measured_says_nothing(state):
    """No number is made up where there is no box, or nothing was measured."""
    assert overlay.fit_text(panel.job(state, placement=Placement())) == ""
    assert overlay.fit_text(panel.job(state, report=None, fit_error=None)) == ""


def test_the_overlay_is_not_wanted_when_nobody_looks():
    """Without a window no tab is open: the timer keeps nothing to draw, and no handler is hung up."""
    wedge()
    assert panel.settings().show_overlay
    assert not sidebar_visibility.is_tab_open()
    assert not overlay.follow(bpy.context, {})
    assert overlay.handlers() == 0


def test_the_switch_is_a_preference_and_not_in_the_file(tmp_path):
    """Switched off, it stays off in every file, and no file says otherwise."""
    bpy.ops.csm_refine.toggle_overlay()
    assert not panel.preferences().show_overlay
    assert not panel.settings().show_overlay
    assert "show_overlay" not in panel.settings().keys()  # noqa: SIM118 -- what is stored in the file
    panel.settings().show_overlay = True
    assert panel.preferences().show_overlay


def test_handlers_come_and_go():
    """Two draw handlers are hung up with a window, and both are taken down."""
    overlay.add()
    assert overlay.handlers() == 0  # this Blender has no window
    overlay.add_handlers()
    assert overlay.handlers() == 2
    overlay.take_away()
    assert overlay.handlers() == 0


def test_the_arms_are_named_in_the_apis_sense():
    """Right is +X, top is +Z, and front is -Y: what the API calls +X, +Y and +Z."""
    assert [(arm.name, arm.direction) for arm in overlay_geometry.ARMS] == [
        ("Right", (1.0, 0.0, 0.0)),
        ("Top", (0.0, 0.0, 1.0)),
        ("Front", (0.0, -1.0, 0.0)),
    ]


def test_a_box_has_twelve_edges_and_eight_marked_corners():
    """Each edge once, each along one axis; a mark is a fifth of the edge that it lies on."""
    box = Box((1.0, 2.0, 3.0), (2.0, 4.0, 6.0))
    edges = np.array(overlay_geometry.edges(box)).reshape(12, 2, 3)
    assert len({frozenset(map(tuple, edge.tolist())) for edge in edges}) == 12
    lengths = np.sort(np.abs(edges[:, 1] - edges[:, 0]), axis=1)
    assert (lengths[:, :2] == 0).all()
    assert sorted(lengths[:, 2]) == [2.0] * 4 + [4.0] * 4 + [6.0] * 4
    marks = np.array(overlay_geometry.corner_marks(box)).reshape(24, 2, 3)
    assert sorted(np.abs(marks[:, 1] - marks[:, 0]).max(axis=1)) == pytest.approx([0.4] * 8 + [0.8] * 8 + [1.2] * 8)
    for points in (edges.reshape(-1, 3), marks.reshape(-1, 3)):
        assert points.min(axis=0).tolist() == [0.0, 0.0, 0.0]
        assert points.max(axis=0).tolist() == [2.0, 4.0, 6.0]


def looking_down(width=200.0, height=100.0) -> overlay_geometry.View:
    """From above, one unit 50 pixels wide and high: no perspective."""
    return overlay_geometry.View(Matrix.Diagonal((100.0 / width, 100.0 / height, -0.01, 1.0)), width, height)


def test_a_point_is_found_on_the_screen():
    """From the lower left corner; nothing is found behind the viewer."""
    assert tuple(looking_down().pixel(Vector((1.0, -0.5, 7.0)))) == pytest.approx((150.0, 25.0))
    behind = Matrix(((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, -1, 0)))
    assert overlay_geometry.View(behind, 200, 100).pixel(Vector((0, 0, 1))) is None


def test_the_cross_keeps_its_size_on_the_screen():
    """A length of so many pixels is so many pixels long, near and far."""
    assert looking_down().size_of_pixel(Vector((0, 0, 0))) == pytest.approx(1 / 50)
    lens = Matrix(((1, 0, 0, 0), (0, 2, 0, 0), (0, 0, -1, -0.2), (0, 0, -1, 0)))
    view = overlay_geometry.View(lens, 200, 100)
    for depth in (-1.0, -10.0):
        point = Vector((0.1, 0.0, depth))
        end = point + Vector((40 * view.size_of_pixel(point), 0, 0))
        assert (view.pixel(end) - view.pixel(point)).length == pytest.approx(40.0, rel=1e-5)


def test_an_arms_name_stands_beyond_its_end():
    """It does not cover the arm; one that points at the viewer has no name."""
    pivot, size = Vector((100, 100)), (30.0, 10.0)
    right = overlay_geometry.beside_arm(pivot, Vector((140, 100)), 40.0, size, 5.0)
    assert tuple(right) == (145.0, 95.0)
    left = overlay_geometry.beside_arm(pivot, Vector((60, 100)), 40.0, size, 5.0)
    assert tuple(left) == (25.0, 95.0)
    assert overlay_geometry.beside_arm(pivot, Vector((105, 100)), 40.0, size, 5.0) is None


def test_the_difference_stands_below_the_box_and_in_sight():
    """Centred below; pushed in where sidebar or border would cut it off; not there when the box is out of sight."""
    room, size = overlay_geometry.Room(0.0, 0.0, 400.0, 300.0), (100.0, 10.0)
    assert tuple(overlay_geometry.below([Vector((100, 50)), Vector((200, 150))], size, room, 5.0)) == (100.0, 35.0)
    assert tuple(overlay_geometry.below([Vector((350, -50)), Vector((450, 100))], size, room, 5.0)) == (295.0, 5.0)
    assert tuple(overlay_geometry.below([Vector((-50, 50)), Vector((20, 60))], size, room, 5.0)) == (5.0, 35.0)
    beside_toolbar = room._replace(left=40.0, bottom=30.0)
    assert tuple(overlay_geometry.below([Vector((0, 0)), Vector((60, 60))], size, beside_toolbar, 5.0)) == (45.0, 35.0)
    assert overlay_geometry.below([Vector((500, 50)), Vector((600, 60))], size, room, 5.0) is None
    assert overlay_geometry.below([], size, room, 5.0) is None
