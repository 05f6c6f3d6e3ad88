"""Objects know their session and job: after renaming, copying, saving and appending; results and sources are found."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import bpy
import pytest

from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.blender.scene import auto_place, object_metadata, visibility
from csm_refine_addon.core.errors import InputError
from csm_refine_addon.core.models import CSM_BASE_URL, Box, Job, JobState, Placement, RefineRequest
from tests.support import panel, scenes
from tests.support.panel import CODE, KEY

SIZE = (1.0, 2.0, 3.0)
BOX = Box((0.25, 0.0, 0.0), SIZE)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


@pytest.fixture
def blend(tmp_path) -> str:
    """A prepared .blend as the worker leaves it."""
    points = [tuple(part * side for part, side in zip(point, SIZE, strict=True)) for point in scenes.WEDGE]
    made = scenes.mesh_object("Result", points)
    path = tmp_path / "result.blend"
    bpy.data.libraries.write(str(path), {made}, fake_user=True)
    bpy.data.meshes.remove(made.data)
    return str(path)


def chair(**changes) -> bpy.types.Object:
    """The source object, with a child."""
    source = scenes.mesh_object("Chair")
    child = scenes.mesh_object("Leg")
    child.parent = source
    for name, value in changes.items():
        setattr(source, name, value)
    scenes.select(source)
    return source


def added(blend: str, state=JobState.READY, **changes) -> Job:
    """A ready job that this window asked for; its source is the chair."""
    placement = Placement((5.0, 6.0, 7.0), (1.0, 0.0, 0.0, 0.0), BOX, "Chair")
    made = {"blend_path": blend, "placement": placement, "window": job_monitor.current().window, **changes}
    return job_monitor.current().add(panel.job(state, **made))


def placed(job: Job) -> Job:
    job_monitor.current().press()
    while job_monitor.tick() == job_monitor.AT_ONCE_S:
        pass
    job = job_monitor.current().jobs[job.id]
    assert job.state is JobState.PLACED
    return job


def names() -> set[str]:
    return set(bpy.data.objects.keys())


def test_result_and_source_know_their_job(blend):
    """The result knows session, job, service and box; the source knows the job; neither knows anything secret."""
    source = chair()
    job = placed(added(blend))
    mark = object_metadata.of(bpy.data.objects[job.placed_object])
    assert (mark.session_code, mark.job, mark.service) == (CODE, job.id, CSM_BASE_URL)
    assert object_metadata.box_of(mark.id_data) == BOX
    assert object_metadata.of(source).source_of == job.id
    kept = {prop.identifier for prop in mark.bl_rna.properties} - {"rna_type", "name"}
    assert kept == {
        *(
            "session_code",
            "job",
            "service",
            "has_box",
            "box_centre",
            "box_size",
            "mirrored",
            "source_of",
            "merged_into",
        ),
        *("hid_in_viewport", "hid_in_render"),
    }


def test_no_secret_gets_into_the_file(blend, tmp_path, monkeypatch):
    """The saved file holds neither the key nor a path of the job's files."""
    monkeypatch.setenv("CSM_API_KEY", KEY)
    chair()
    placed(added(blend))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), compress=False, copy=True)
    content = (tmp_path / "scene.blend").read_bytes()
    assert CODE.encode() in content
    assert KEY.encode() not in content
    assert blend.encode() not in content


def test_renamed_objects_are_found(blend):
    """A result and a source that were renamed are found by what they know, not by another's name."""
    source = chair()
    job = placed(added(blend))
    result = bpy.data.objects[job.placed_object]
    result.name, source.name = "Hero", "Old Chair"
    scenes.mesh_object("Chair refined")
    scenes.mesh_object("Chair")
    assert object_metadata.find_result(job) == result
    assert object_metadata.find_source(job) == source
    assert auto_place.placed_object(job) == result
    assert bpy.ops.csm_refine.fit(job=job.id) == {"FINISHED"}
    assert job_monitor.current().jobs[job.id].placed_object == "Hero"


def test_a_copy_knows_it_too(blend):
    """A copy carries the mark; while both are there, the one with the recorded name is meant."""
    chair()
    job = placed(added(blend))
    result = bpy.data.objects[job.placed_object]
    copy = scenes.link(result.copy())
    copy.name = "A copy"
    assert object_metadata.of(copy).job == job.id
    assert object_metadata.find_result(job) == result
    bpy.data.objects.remove(result)
    assert object_metadata.find_result(job) == copy


def test_saving_and_loading_keeps_it(blend, tmp_path):
    """After saving, renaming and opening again the result and its source are found."""
    source = chair()
    job = placed(added(blend))
    bpy.data.objects[job.placed_object].name, source.name = "Hero", "Old Chair"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert (object_metadata.find_result(job).name, object_metadata.find_source(job).name) == ("Hero", "Old Chair")
    assert object_metadata.box_of(bpy.data.objects["Hero"]) == BOX


def test_an_appended_result_knows_its_session(blend, tmp_path):
    """Brought into another file with libraries.load, the result still knows session, job and box."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"), copy=True)
    chair()
    job = placed(added(blend))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "other.blend"))
    with bpy.data.libraries.load(str(tmp_path / "scene.blend")) as (found, wanted):
        wanted.objects = [name for name in found.objects if name == job.placed_object]
    scenes.link(wanted.objects[0])
    assert object_metadata.find_result(job) == wanted.objects[0]
    assert object_metadata.of(wanted.objects[0]).session_code == CODE
    assert object_metadata.box_of(wanted.objects[0]) == BOX


def test_a_source_renamed_while_the_job_runs_is_hidden(blend):
    """The click marks the source: renamed while the service worked, it is still the one that is replaced."""
    source = chair()
    job = added(blend)
    source.name = "Stool"
    job = placed(job)
    assert source.hide_get()
    assert job.placed_object == "Stool refined"
    assert bpy.data.objects["Stool refined"].users_collection == source.users_collection


def test_a_source_that_was_deleted_is_no_obstacle(blend):
    """The result stands where the source stood, called after it."""
    source = chair()
    job = added(blend)
    bpy.data.objects.remove(source)
    job = placed(job)
    result = bpy.data.objects[job.placed_object]
    assert (job.placed_object, tuple(result.location)) == ("Chair refined", (5.0, 6.0, 7.0))


@pytest.mark.parametrize("file", ["", "/other/scene.blend"], ids=["never saved", "saved"])
def test_another_files_job_leaves_a_namesake_alone(blend, file):
    """Placed by hand, its result comes into the active collection; an object of the same name is not its source."""
    source = chair()
    beside = bpy.data.collections.new("Beside")
    bpy.context.scene.collection.children.link(beside)
    bpy.context.view_layer.active_layer_collection = bpy.context.view_layer.layer_collection.children["Beside"]
    job = added(blend, window="another", blend_file=file)
    assert bpy.ops.csm_refine.place(job=job.id) == {"FINISHED"}
    assert not any(each.hide_get() or each.hide_render for each in (source, bpy.data.objects["Leg"]))
    assert not object_metadata.is_marked(source)
    assert [each.name for each in bpy.data.objects["Chair refined"].users_collection] == ["Beside"]
    assert object_metadata.find_source(job) is None


def test_without_its_mark_a_source_of_this_file_counts_by_name(blend, tmp_path):
    """An undo took the mark: in the window that asked, and in the saved file, it is still the one that is replaced."""
    source = chair()
    asked = added(blend)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), copy=True)
    source.property_unset("csm_refine")
    assert object_metadata.find_source(asked) == source
    assert object_metadata.find_source(dataclasses.replace(asked, window="", blend_file=bpy.data.filepath)) is None
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert object_metadata.find_source(dataclasses.replace(asked, window="", blend_file=bpy.data.filepath)) == source


def test_an_object_remembers_some_jobs_only():
    """A source that is refined over and over does not grow without bounds."""
    chair()
    placement = Placement(object_name="Chair")
    for number in range(object_metadata.MOST_JOBS + 5):
        object_metadata.mark_source(
            panel.job(id=f"job{number}", placement=placement, window=job_monitor.current().window)
        )
    known = object_metadata.of(bpy.data.objects["Chair"]).source_of.split()
    assert (len(known), known[-1]) == (object_metadata.MOST_JOBS, f"job{object_metadata.MOST_JOBS + 4}")


def test_objects_that_are_no_results_stay_as_they_are():
    """To look for marks leaves none on the objects of the user's file."""
    source = chair()
    job_monitor.current().press()
    object_metadata.mark_stale()
    object_metadata.update([], math.inf)
    assert not object_metadata.is_result(source)
    assert not source.is_property_set("csm_refine")
    assert not source.keys()


def test_the_index_follows_the_file(blend):
    """What draw may know is looked up by the timer: names as they are now, nothing where an object is gone."""
    source = chair()
    job = placed(added(blend))
    jobs = job_monitor.current().jobs.values()
    later = iter(range(1, 100))
    assert object_metadata.update(jobs, math.inf) or object_metadata.result_name(job)
    object_metadata.forget()
    assert not object_metadata.has_looked()
    assert object_metadata.update(jobs, next(later))
    assert (object_metadata.result_name(job), object_metadata.source_name(job)) == ("Chair refined", "Chair")
    assert not object_metadata.update(jobs, next(later))
    bpy.data.objects["Chair refined"].name = "Hero"
    bpy.data.objects.remove(source)
    object_metadata.mark_stale()
    assert object_metadata.update(jobs, next(later) + 10)
    assert (object_metadata.result_name(job), object_metadata.source_name(job)) == ("Hero", "")


# --- undo -----------------------------------------------------------------------------------------------------------


def test_undo_takes_exactly_the_placing_back(blend):
    """Source and children visible again, selection and active object back, marks gone; redo brings it all again."""
    source, other = chair(), scenes.mesh_object("Other")
    scenes.select(source, other)
    job = added(blend)
    bpy.ops.ed.undo_push(message="Before")
    before = (names(), set(bpy.data.meshes.keys()), set(bpy.data.materials.keys()))
    placed(job)
    bpy.ops.ed.undo()
    source, child = bpy.data.objects["Chair"], bpy.data.objects["Leg"]
    assert (names(), set(bpy.data.meshes.keys()), set(bpy.data.materials.keys())) == before
    assert not any(each.hide_get() or each.hide_render for each in (source, child))
    assert not object_metadata.of(source).hid_in_viewport
    assert {obj.name for obj in bpy.context.selected_objects} == {"Chair", "Other"}
    assert bpy.context.view_layer.objects.active == source
    bpy.ops.ed.redo()
    result = bpy.data.objects["Chair refined"]
    assert bpy.context.view_layer.objects.active == result
    assert object_metadata.of(result).job == job.id
    assert bpy.data.objects["Chair"].hide_get()


def test_undo_keeps_the_code_of_a_session_made_here(blend, tmp_path):
    """The field was filled before the result came: taking the result back does not empty it."""
    chair()
    bpy.ops.ed.undo_push(message="Before")
    job = added(blend, JobState.RUNNING, request=RefineRequest(""), source_blend=str(tmp_path / "source.blend"))
    with panel.journal(tmp_path / "home") as journal:
        journal.change(job.id, lambda job: dataclasses.replace(job, request=RefineRequest(CODE)))
        for state in (JobState.DOWNLOADING, JobState.PREPARING, JobState.READY):
            journal.change(job.id, lambda job, state=state: dataclasses.replace(job, state=state))
    placed(job)
    assert panel.settings().session_code == CODE
    bpy.ops.ed.undo()
    assert "Chair refined" not in names()
    assert panel.settings().session_code == CODE


def test_after_an_undo_the_job_is_placed_again_on_request(blend):
    """The journal says placed while the object is gone: *Place* brings it back into the same place."""
    chair()
    bpy.ops.ed.undo_push(message="Before")
    job = placed(added(blend))
    bpy.ops.ed.undo()
    assert object_metadata.find_result(job) is None
    assert bpy.ops.csm_refine.place(job=job.id) == {"FINISHED"}
    assert tuple(object_metadata.find_result(job).location) == (5.0, 6.0, 7.0)


def test_undo_while_a_job_runs_disturbs_neither(blend):
    """Jobs, their rows and the selected one stand outside of undo; the job is placed afterwards."""
    chair()
    bpy.ops.ed.undo_push(message="Before")
    job = added(blend, state=JobState.RUNNING)
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="Cube")
    rows = [row.name for row in bpy.context.window_manager.csm_refine.jobs]
    bpy.ops.ed.undo()
    assert "Cube.001" not in names()
    assert [row.name for row in bpy.context.window_manager.csm_refine.jobs] == rows == [job.id]
    assert job_monitor.current().jobs[job.id].state is JobState.RUNNING
    ready = job_monitor.current().change(job.id, lambda job: dataclasses.replace(job, state=JobState.DOWNLOADING))
    for state in (JobState.PREPARING, JobState.READY):
        ready = job_monitor.current().change(job.id, lambda job, state=state: dataclasses.replace(job, state=state))
    assert placed(ready).placed_object == "Chair refined"
    assert bpy.data.objects["Chair"].hide_get()


# --- before and after -------------------------------------------------------------------------------------------------


def shown() -> set[str]:
    both = {name for name in names() if not bpy.data.objects[name].hide_get()}
    assert both == {name for name in names() if not bpy.data.objects[name].hide_render}
    return both & {"Chair", "Leg", "Chair refined"}


def test_swap_shows_the_source_and_then_the_result(blend):
    """One press shows the source with its children, the next one the result; the shown one is selected and active."""
    chair()
    job = placed(added(blend))
    assert shown() == {"Chair refined"}
    assert bpy.ops.csm_refine.swap(job=job.id) == {"FINISHED"}
    assert shown() == {"Chair", "Leg"}
    assert bpy.context.view_layer.objects.active.name == "Chair"
    assert [obj.name for obj in bpy.context.selected_objects] == ["Chair"]
    bpy.ops.csm_refine.swap(job=job.id)
    assert shown() == {"Chair refined"}
    assert bpy.context.view_layer.objects.active.name == "Chair refined"


def test_swap_leaves_hidden_what_was_hidden(blend):
    """A child that the user had hidden before the placing is not shown with its parent."""
    chair()
    bpy.data.objects["Leg"].hide_set(True)
    bpy.data.objects["Leg"].hide_render = True
    job = placed(added(blend))
    bpy.ops.csm_refine.swap(job=job.id)
    assert shown() == {"Chair"}


def test_swap_from_both_visible(blend):
    """Where the source was kept visible, the first press leaves it alone to be seen."""
    panel.preferences().source_after = "KEEP"
    chair()
    job = placed(added(blend))
    bpy.ops.csm_refine.swap(job=job.id)
    assert shown() == {"Chair", "Leg"}


def isolated(obj) -> bpy.types.Space:
    """The viewport after numpad / with this object selected."""
    scenes.select(obj)
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.localview(frame_selected=False)
    assert area.spaces.active.local_view
    return area.spaces.active


def seen_in(space) -> set[str]:
    return {obj.name for obj in bpy.context.view_layer.objects if obj.visible_get(viewport=space)}


def test_a_result_is_seen_where_its_source_is_isolated(blend):
    """In local view the placed object takes the hidden source's place: the viewport is not empty."""
    view = isolated(chair())
    assert seen_in(view) == {"Chair"}
    job = placed(added(blend))
    assert seen_in(view) == {"Chair refined"}
    bpy.ops.csm_refine.swap(job=job.id)
    assert seen_in(view) == {"Chair"}


def test_swap_where_the_result_is_isolated(blend):
    """The source and its children, which are not in that local view, come into it."""
    chair()
    job = placed(added(blend))
    view = isolated(bpy.data.objects["Chair refined"])
    bpy.ops.csm_refine.swap(job=job.id)
    assert seen_in(view) == {"Chair", "Leg"}
    bpy.ops.csm_refine.swap(job=job.id)
    assert seen_in(view) == {"Chair refined"}


def test_swap_where_another_object_is_isolated(blend):
    """A local view without the result does not get the source."""
    chair()
    other = scenes.mesh_object("Other")
    job = placed(added(blend))
    view = isolated(other)
    bpy.ops.csm_refine.swap(job=job.id)
    assert seen_in(view) == {"Other"}


def test_swap_is_one_undo_step(blend):
    """Undo takes one swap back."""
    chair()
    job = placed(added(blend))
    bpy.ops.csm_refine.swap(job=job.id)
    bpy.ops.ed.undo_push(message="Swap")  # called from Python, an operator pushes none of its own
    bpy.ops.ed.undo()
    assert shown() == {"Chair refined"}


def test_swap_finds_renamed_objects(blend):
    """Names do not matter to it."""
    source = chair()
    job = placed(added(blend))
    source.name = "Old"
    bpy.data.objects["Chair refined"].name = "New"
    assert visibility.swap(bpy.context, job).name == "Old"
    assert visibility.swap(bpy.context, job).name == "New"


@pytest.mark.parametrize(("gone", "sentence"), [("Chair", "source object “Chair” is not"), ("Chair refined", "not in")])
def test_swap_without_one_of_them_is_a_sentence(blend, gone, sentence):
    """A deleted source or result is said, and nothing is hidden."""
    chair()
    job = placed(added(blend))
    bpy.data.objects.remove(bpy.data.objects[gone])
    before = shown()
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.csm_refine.swap(job=job.id)
    assert shown() == before


def test_swap_across_scenes_is_a_sentence(blend):
    """A source that only another scene shows cannot be swapped here."""
    source = chair()
    job = placed(added(blend))
    bpy.context.scene.collection.objects.unlink(source)
    bpy.data.scenes.new("Other").collection.objects.link(source)
    with pytest.raises(InputError, match="view layer"):
        visibility.swap(bpy.context, job)


def test_a_script_without_the_add_on_marks_too(blend, tmp_path):
    """A result placed from a checkout is known by the add-on that opens the file."""
    bpy.ops.preferences.addon_disable(module=panel.ADDON)
    try:
        chair()
        job = panel.job(JobState.READY, blend_path=blend, placement=Placement(box=BOX, object_name="Chair"))
        found = auto_place.place(bpy.context, job)
        assert not hasattr(bpy.types.Object, "csm_refine")
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    finally:
        bpy.ops.preferences.addon_enable(module=panel.ADDON)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert object_metadata.find_result(job).name == found.object_name
    assert Path(bpy.data.filepath).name == "scene.blend"
