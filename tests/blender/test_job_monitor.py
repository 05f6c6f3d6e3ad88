from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from pathlib import Path

import bpy
import pytest

from csm_refine_addon.blender import registration
from csm_refine_addon.blender.geometry import selection_bounds
from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.blender.jobs.job_cache import MOST_AT_ONCE
from csm_refine_addon.blender.jobs.worker_supervisor import RESTARTS, ServiceCheck, WorkerProcess, reap
from csm_refine_addon.blender.scene import auto_place, lost_results, object_metadata
from csm_refine_addon.blender.ui import sidebar_visibility, status_messages
from csm_refine_addon.blender.ui.operators import batch_operators
from csm_refine_addon.blender.ui.panels.job_panel import CSM_PT_jobs, CSM_UL_jobs
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import InputError
from csm_refine_addon.core.jobs import state_machine, worker
from csm_refine_addon.core.models import LOCAL, Box, JobState, Placement, Secret
from tests.support import panel, scenes
from tests.support.strict_layout import StrictLayout, draw, operators, texts

ops = bpy.ops
SIZE = (1.0, 2.0, 3.0)
NOBODY = "http://127.0.0.1:1"
"""A service on this machine that nobody runs."""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


def turn() -> float:
    """Take turns until one did more than import something; return its pause."""
    while (pause := job_monitor.tick()) == job_monitor.AT_ONCE_S:
        pass
    return pause


def until(condition, limit_s: float = 20.0) -> None:
    ends_at = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends_at, "it did not come about in time"
        time.sleep(0.02)


def result_blend(folder: Path, size=SIZE) -> str:
    """A prepared .blend as the worker leaves it, holding one mesh that fills its box around its origin."""
    points = [tuple(part * side for part, side in zip(point, size, strict=True)) for point in scenes.WEDGE]
    made = scenes.mesh_object("Result", points)
    path = folder / "result.blend"
    bpy.data.libraries.write(str(path), {made}, fake_user=True)
    bpy.data.meshes.remove(made.data)
    return str(path)


def ready(home: Path, folder: Path, **changes):
    """A job whose result waits to be placed, asked for from this window unless ``changes`` say otherwise."""
    placement = Placement((5.0, 6.0, 7.0), (1.0, 0.0, 0.0, 0.0), Box((0.0, 0.0, 0.0), SIZE), "Cube")
    made = {
        "window": job_monitor.current().window,
        "blend_path": result_blend(folder),
        "placement": placement,
        **changes,
    }
    with panel.journal(home) as journal:
        return journal.add(panel.job(**({"state": JobState.READY} | made)))


def in_journal(home: Path, job):
    with panel.journal(home) as journal:
        return journal.get(job.id)


def objects() -> set[str]:
    return set(bpy.data.objects.keys())


def test_a_sleeping_pump_touches_nothing(home):
    """Until a panel was on screen or something was pressed, no folder, file or process comes to be."""
    for _ in range(3):
        assert job_monitor.tick() is None
    assert not home.exists()


def test_a_drawn_panel_wakes_it(home):
    """The first look at the panel is enough to see the jobs of others."""
    job = ready(home, home.parent, window="elsewhere")
    sidebar_visibility.note_draw(bpy.context)
    turn()
    assert job.id in job_monitor.current().jobs


def rests() -> bool:
    """Whether no turn follows, once what was stale is settled, and the last look and press are a while ago."""
    job_monitor.current()._woken_at -= job_monitor.LINGER_S
    until(lambda: turn() is None)
    return True


def test_the_timer_rests_while_nothing_happens(home):
    """A turn a quarter second while jobs run, and a moment after a look or a press; then none."""
    sidebar_visibility.note_draw(bpy.context)
    assert turn() == job_monitor.AWAKE_S
    assert rests()
    with panel.journal(home) as journal:
        job = journal.add(panel.job(JobState.RUNNING))
    job_monitor.current().press()
    job_monitor.current()._woken_at -= job_monitor.LINGER_S
    assert {turn() for _ in range(3)} == {job_monitor.AWAKE_S}
    with panel.journal(home) as journal:
        journal.change(job.id, lambda job: dataclasses.replace(job, state=JobState.STOPPED))
    assert rests()


def test_what_wakes_the_timer(home):
    """A drawn panel, a press and another file; work in the scene for who looks, and now and then for who does not."""
    keeper = job_monitor.current()
    assert not keeper.woken()
    assert not keeper.glances()
    sidebar_visibility.note_draw(bpy.context)
    turn()
    for wake in (
        lambda: sidebar_visibility.note_draw(bpy.context),
        keeper.press,
        keeper.file_loaded,
        bpy.ops.mesh.primitive_cube_add,
    ):
        assert rests()
        before = keeper._woken_at
        wake()
        assert keeper._woken_at > before
        assert turn() == job_monitor.AWAKE_S
    sidebar_visibility._seen.at -= 10.0
    sidebar_visibility.redraw()
    assert not keeper.glances()
    keeper._turned_at -= job_monitor.GLANCE_EVERY_S
    assert keeper.glances()


def test_many_changes_are_read_in_several_turns(home):
    """So that no turn is long; the list shows them when all are there, and a new one comes on top."""
    with panel.journal(home) as journal:
        ids = [journal.add(panel.job(JobState.FAILED, created_at=at)).id for at in range(3 * MOST_AT_ONCE)]
        sidebar_visibility.note_draw(bpy.context)
        while not job_monitor.current().jobs:
            job_monitor.tick()
        assert (len(job_monitor.current().jobs), job_monitor.current().has_read) == (MOST_AT_ONCE, False)
        assert listed() == []
        turn()
        assert listed() == ids[::-1]
        newest = journal.add(panel.job(JobState.FAILED, created_at=100.0)).id
        turn()
        assert listed() == [newest, *ids[::-1]]
        journal.remove(ids[3])
        turn()
        assert listed() == [newest, *(each for each in ids[::-1] if each != ids[3])]


def listed() -> list[str]:
    return [row.name for row in bpy.context.window_manager.csm_refine.jobs]


def test_a_ready_result_is_placed_where_it_belongs(home, tmp_path):
    """The window that asked for it gets it: in its place, measured, its source hidden, written down, selected."""
    job = ready(home, tmp_path)
    job_monitor.current().press()
    turn()
    done = in_journal(home, job)
    placed = bpy.data.objects[done.placed_object]
    assert done.state is JobState.PLACED
    assert done.fit_error < 1e-6
    assert tuple(placed.location) == (5.0, 6.0, 7.0)
    assert tuple(placed.dimensions) == pytest.approx(SIZE)
    assert bpy.data.objects["Cube"].hide_get()
    assert bpy.context.view_layer.objects.active == placed


def test_several_sources_are_hidden_and_shown_alike(home, tmp_path):
    """Three objects refined as one: named as three, hidden for the result, shown by one button, also after a rename.

    The result takes the place of the selection, and stays visible below the parent of them all.
    """
    panel.settings().service = "LOCAL"
    root = scenes.link(bpy.data.objects.new("Root", None))
    first, second, third = made = [scenes.mesh_object(name) for name in ("First", "Second", "Third")]
    first.parent, second.parent = root, first
    scenes.select(second, first, third)
    assert ops.csm_refine.create_session() == {"FINISHED"}
    (made_job,) = job_monitor.current().jobs.values()
    assert "3 objects" in drawn_row(made_job)
    assert "3 objects" in texts(draw(CSM_PT_jobs))
    job = ready(home, tmp_path, placement=made_job.placement)
    object_metadata.mark_source(job)
    third.name = "Renamed"
    turn()
    result = bpy.data.objects[in_journal(home, job).placed_object]
    assert (result.parent, result.visible_get()) == (root, True)
    assert list(bpy.context.view_layer.objects.selected) == [result]
    assert [(obj.hide_get(), obj.hide_render) for obj in made] == [(True, True)] * 3
    assert ops.csm_refine.swap(job=job.id) == {"FINISHED"}
    assert [(obj.hide_get(), obj.hide_render) for obj in (*made, result)] == [(False, False)] * 3 + [(True, True)]
    assert ops.csm_refine.swap(job=job.id) == {"FINISHED"}
    assert [(obj.hide_get(), obj.hide_render) for obj in (*made, result)] == [(True, True)] * 3 + [(False, False)]


def test_the_source_stays_visible_where_that_is_wanted(home, tmp_path):
    """What happens to the source object is the user's choice."""
    panel.preferences().source_after = "KEEP"
    ready(home, tmp_path)
    job_monitor.current().press()
    turn()
    assert not bpy.data.objects["Cube"].hide_get()


def test_one_undo_takes_all_back(home, tmp_path):
    """One undo step holds the placed mesh, the hidden source and the selection; a redo brings them back."""
    bpy.ops.ed.undo_push(message="Before")
    before = objects()
    job = ready(home, tmp_path)
    job_monitor.current().press()
    turn()
    name = in_journal(home, job).placed_object
    bpy.ops.ed.undo()
    assert objects() == before
    assert not bpy.data.objects["Cube"].hide_get()
    bpy.ops.ed.redo()
    assert name in objects()


def test_an_undone_result_does_not_come_back_by_itself(home, tmp_path):
    """After an undo the job stays placed; *Place Again* is the user's."""
    bpy.ops.ed.undo_push(message="Before")
    ready(home, tmp_path)
    job_monitor.current().press()
    turn()
    bpy.ops.ed.undo()
    before = objects()
    turn()
    assert objects() == before


def test_a_result_that_a_repeated_operator_took_is_placed_again(home, tmp_path, monkeypatch):
    """*Adjust Last Operation* undoes to before the operation and runs it again: the result stands at the end of it.

    Once, also where it is repeated many times; an undo of the placing, and what the user deleted, stay as they are.
    """
    monkeypatch.setattr(lost_results, "QUIET_S", 0.0)
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.mesh.primitive_cylinder_add("EXEC_DEFAULT", True, vertices=8)
    job = ready(home, tmp_path)
    job_monitor.current().press()
    turn()
    for vertices in (9, 10):
        repeated(vertices, steps=2 if vertices == 9 else 1)
    assert not object_metadata.find_result(in_journal(home, job))
    turn()
    turn()
    assert [obj.name for obj in bpy.data.objects if object_metadata.is_result(obj)] == [
        in_journal(home, job).placed_object
    ]
    assert len(bpy.data.objects["Cylinder"].data.vertices) == 20
    bpy.ops.ed.undo()
    turn()
    assert not object_metadata.find_result(in_journal(home, job))
    bpy.ops.ed.redo()
    turn()
    bpy.data.objects.remove(object_metadata.find_result(in_journal(home, job)))
    bpy.ops.ed.undo_push(message="Delete")
    bpy.ops.mesh.primitive_cylinder_add("EXEC_DEFAULT", True, vertices=8)
    repeated(9, steps=1)
    turn()
    assert not object_metadata.find_result(in_journal(home, job))


def repeated(vertices: int, steps: int) -> None:
    """What Blender does when a value of the last operation is changed, so many undo steps ago."""
    for _ in range(steps):
        bpy.ops.ed.undo()
    bpy.ops.mesh.primitive_cylinder_add("EXEC_DEFAULT", True, vertices=vertices)


def drawn_row(job) -> list[str]:
    recorded = []
    row = bpy.context.window_manager.csm_refine.jobs[job.id]
    CSM_UL_jobs.draw_item(None, bpy.context, StrictLayout(recorded), None, row, 0, None, "active")
    return [*operators(recorded), *texts(recorded)]


def test_a_result_that_is_gone_is_placed_again_from_its_row(home, tmp_path):
    """After an undo the row says that it is not in this file, with one button that places it again."""
    bpy.ops.ed.undo_push(message="Before")
    job = ready(home, tmp_path)
    job_monitor.current().press()
    turn()
    assert "csm_refine.place" not in drawn_row(job)
    bpy.ops.ed.undo()
    turn()
    object_metadata.mark_stale()
    object_metadata.update(job_monitor.current().jobs.values(), math.inf)
    assert [part for part in drawn_row(job) if part in {"Not in this file", "Place Again"}] == [
        "Place Again",
        "Not in this file",
    ]
    ops.csm_refine.place(job=job.id)
    object_metadata.update(job_monitor.current().jobs.values(), math.inf)
    assert "Not in this file" not in drawn_row(job)


def test_a_result_is_placed_once(home, tmp_path):
    """Later turns leave it alone."""
    ready(home, tmp_path)
    job_monitor.current().press()
    turn()
    once = objects()
    turn()
    assert objects() == once


def test_another_windows_result_is_left_alone(home, tmp_path):
    """A result that another open file asked for does not land in this one."""
    job = ready(home, tmp_path, window="elsewhere")
    before = objects()
    job_monitor.current().press()
    turn()
    assert objects() == before
    assert in_journal(home, job).state is JobState.READY


def test_the_same_saved_file_gets_its_result_after_a_restart(home, tmp_path):
    """A job outlives Blender: whoever opens the file that it was made in gets its result."""
    path = str(tmp_path / "scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    job = ready(home, tmp_path, window="before the restart", blend_file=path)
    job_monitor.current().press()
    turn()
    assert in_journal(home, job).state is JobState.PLACED


def test_a_newly_loaded_file_is_another_window(home, tmp_path):
    """After another file was opened, what the last one asked for is not placed into it."""
    path = str(tmp_path / "other.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    job = ready(home, tmp_path)
    bpy.ops.wm.open_mainfile(filepath=path)
    job_monitor.current().press()
    turn()
    assert in_journal(home, job).state is JobState.READY


def start_again() -> None:
    """As after a restart of Blender: an empty file, the add-on enabled, a panel looked at."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module=panel.ADDON)
    job_monitor.current().press()


@pytest.mark.parametrize("first", ["", "first.blend"], ids=["never saved", "moved"])
def test_a_file_with_the_source_gets_its_result_after_a_restart(home, tmp_path, first):
    """First saved, or moved, after the click: the object knows of its job when the file is opened again."""
    if first:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / first))
    job = marked_job(home, tmp_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / (first or "scene.blend")))
    (tmp_path / (first or "scene.blend")).rename(tmp_path / "moved.blend")
    start_again()
    turn()
    assert in_journal(home, job).state is JobState.READY
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved.blend"))
    turn()
    assert in_journal(home, job).state is JobState.PLACED
    assert bpy.data.objects["Cube"].hide_get()


def test_what_is_placed_at_once_is_not_said_to_wait(home, tmp_path):
    """A file that knows its job by the object alone, opened while it runs: one sentence, that it is placed."""
    job = marked_job(home, tmp_path, state=JobState.PREPARING)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    start_again()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    sidebar_visibility.redraw()  # asked to be drawn, and not drawn: the tab is closed
    turn()
    assert not object_metadata.has_looked()
    status_messages._waiting.clear()
    with panel.journal(home) as journal:
        journal.change(job.id, lambda job: dataclasses.replace(job, state=JobState.READY))
    turn()
    assert in_journal(home, job).state is JobState.PLACED
    assert ["is placed as" in text for _kind, text in status_messages._waiting] == [True]


def marked_job(home, tmp_path, **changes):
    """A job of the open file whose result waits, as its source object knows."""
    job = ready(home, tmp_path, blend_file=bpy.data.filepath, **changes)
    object_metadata.mark_source(job)
    return job


def test_a_copy_of_the_file_lists_its_jobs_and_places_none_by_itself(home, tmp_path):
    """Saved under another name while the first file stays: that one gets the result, or who presses Place."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "first.blend"))
    job = marked_job(home, tmp_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "second.blend"))
    start_again()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "second.blend"))
    turn()
    turn()
    assert in_journal(home, job).state is JobState.READY
    assert [listed.id for listed in batch_operators.ready_jobs()] == [job.id]
    assert bpy.ops.csm_refine.place(job=job.id) == {"FINISHED"}
    assert bpy.data.objects["Cube"].hide_get()


def test_an_appended_source_draws_no_result_away(home, tmp_path):
    """The file that asked is still there: the result waits for it, and the appended object stays as it is."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "props.blend"))
    job = marked_job(home, tmp_path)
    bpy.ops.wm.save_mainfile()
    start_again()
    with bpy.data.libraries.load(str(tmp_path / "props.blend")) as (_found, wanted):
        wanted.objects = ["Cube"]
    scenes.link(wanted.objects[0])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    turn()
    assert in_journal(home, job).state is JobState.READY
    assert object_metadata.is_of_this_file(job)
    assert not bpy.data.objects["Cube"].hide_get()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "props.blend"))
    turn()
    assert in_journal(home, job).state is JobState.PLACED


def test_an_object_linked_from_another_file_brings_no_result(home, tmp_path):
    """The result belongs into the file that has the source, not into one that shows it."""
    job = ready(home, tmp_path)
    object_metadata.mark_source(job)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "props.blend"))
    start_again()
    with bpy.data.libraries.load(str(tmp_path / "props.blend"), link=True) as (_found, wanted):
        wanted.objects = ["Cube"]
    scenes.link(wanted.objects[0])
    turn()
    assert in_journal(home, job).state is JobState.READY


def test_a_result_waits_for_the_scene_of_its_source(home, tmp_path):
    """In another scene it waits, and the panel says for what; in its own it is placed, and the source hidden."""
    job = ready(home, tmp_path)
    first, second = bpy.context.scene, bpy.data.scenes.new("Second")
    bpy.context.window.scene = second
    job_monitor.current().press()
    turn()
    assert job_monitor.current().waiting == {job.id: auto_place.IN_OTHER_SCENE}
    assert not second.objects
    bpy.context.window.scene = first
    turn()
    assert in_journal(home, job).placed_object in first.objects
    assert bpy.data.objects["Cube"].hide_get()
    assert not job_monitor.current().waiting


def test_who_waits_for_a_scene_does_not_go_through_all_objects(home, tmp_path, monkeypatch):
    """Each turn asks anew whether the result may come; the objects are gone through only when that is due."""
    job = ready(home, tmp_path)
    bpy.context.window.scene = bpy.data.scenes.new("Second")
    job_monitor.current().press()
    turn()
    walks, walk = [], object_metadata._marked
    monkeypatch.setattr(object_metadata, "_marked", lambda: walks.append(1) or walk())
    object_metadata._index.due_at = math.inf
    for _ in range(3):
        object_metadata.mark_stale()
        turn()
    assert job_monitor.current().waiting == {job.id: auto_place.IN_OTHER_SCENE}
    assert walks == []


def test_a_result_that_is_new_waits_until_its_source_is_looked_up(home, tmp_path):
    """Results that are read one after the other all know in which scene their sources are."""
    first = ready(home, tmp_path)
    bpy.context.window.scene = bpy.data.scenes.new("Second")
    job_monitor.current().press()
    turn()
    object_metadata._index.due_at = math.inf
    second = ready(home, tmp_path)
    sidebar_visibility.redraw()  # asked to be drawn, and not drawn: the tab is closed
    turn()
    assert job_monitor.current().waiting.keys() == {first.id}
    job_monitor.current()._woken_at -= job_monitor.LINGER_S
    job_monitor.current().waiting.clear()
    assert job_monitor.current()._is_busy(time.monotonic())
    object_metadata._index.due_at = 0.0
    turn()
    assert job_monitor.current().waiting.keys() == {first.id, second.id}


def test_a_press_places_in_the_scene_at_hand(home, tmp_path):
    """Who presses Place in another scene gets the result there, and keeps the source as it is."""
    job = ready(home, tmp_path)
    first, second = bpy.context.scene, bpy.data.scenes.new("Second")
    bpy.context.window.scene = second
    assert bpy.ops.csm_refine.place(job=job.id) == {"FINISHED"}
    assert in_journal(home, job).placed_object in second.objects
    assert not bpy.data.objects["Cube"].hide_get(view_layer=first.view_layers[0])


def test_a_source_in_no_scene_is_not_waited_for(home, tmp_path):
    """It was taken out of every scene, and something keeps it in the file: the result stands where it stood."""
    job = ready(home, tmp_path)
    bpy.data.scenes.new("Second")
    bpy.data.objects["Cube"].use_fake_user = True
    bpy.data.objects["Cube"].users_collection[0].objects.unlink(bpy.data.objects["Cube"])
    job_monitor.current().press()
    turn()
    assert in_journal(home, job).state is JobState.PLACED


def test_on_request_means_not_by_itself(home, tmp_path):
    """With *Place Automatically* off the result waits for its button."""
    job = ready(home, tmp_path, place_automatically=False)
    job_monitor.current().press()
    turn()
    assert in_journal(home, job).state is JobState.READY


def test_edit_mode_is_not_left_for_a_result(home, tmp_path):
    """In Edit Mode the result waits, and the panel says for what; back in Object Mode it is placed."""
    job = ready(home, tmp_path)
    bpy.ops.object.mode_set(mode="EDIT")
    job_monitor.current().press()
    turn()
    assert bpy.context.mode == "EDIT_MESH"
    assert "Object Mode" in job_monitor.current().waiting[job.id]
    bpy.ops.object.mode_set(mode="OBJECT")
    turn()
    assert in_journal(home, job).state is JobState.PLACED
    assert not job_monitor.current().waiting


def test_two_blenders_do_not_both_place(home, tmp_path):
    """While another Blender holds the job, it is not placed here."""
    job = ready(home, tmp_path)
    with panel.journal(home) as journal:
        assert journal.claim(job.id, "another Blender", time.time(), 60.0)
    before = objects()
    job_monitor.current().press()
    turn()
    assert objects() == before


def test_a_result_that_cannot_be_placed_fails_with_a_sentence(home, tmp_path):
    """A prepared file that is gone ends the job with a cause; nothing half-placed is left, the source is visible."""
    job = ready(home, tmp_path)
    Path(job.blend_path).unlink()
    before = objects()
    job_monitor.current().press()
    turn()
    failed = in_journal(home, job)
    assert failed.state is JobState.FAILED
    assert "cannot be read" in failed.error.message
    assert objects() == before
    assert not bpy.data.objects["Cube"].hide_get()


def test_a_locked_journal_only_delays(home, tmp_path):
    """While another process writes, the window goes on at once and nothing is placed; the next turn does it."""
    job = ready(home, tmp_path)
    job_monitor.current().press()
    with panel.locked(home):
        before = objects()
        assert turn() == job_monitor.AWAKE_S
        assert objects() == before
    turn()
    assert in_journal(home, job).state is JobState.PLACED


def test_what_could_not_be_written_down_is_not_placed_twice(home, tmp_path):
    """If the journal is locked just after placing, the object stays, the job counts as placed, the note follows."""
    job = ready(home, tmp_path)
    keeper = job_monitor.current()
    keeper.refresh()
    with contextlib.ExitStack() as stack:

        def place_then_lock(context, job):
            placed = auto_place.place(context, job)
            stack.enter_context(panel.locked(home))
            return placed

        assert keeper.place(bpy.context, job, place_then_lock).state is JobState.PLACED
        once = objects()
        turn()
        assert objects() == once
    turn()
    assert objects() == once
    assert in_journal(home, job).state is JobState.PLACED


def place_and_save_unnoted(home, tmp_path, then):
    """Place a result of a file that is saved with it, and ``then`` do something, while the journal is locked."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    job = ready(home, tmp_path, blend_file=bpy.data.filepath)
    job_monitor.current().refresh()
    with contextlib.ExitStack() as stack:

        def place_then_lock(context, job):
            placed = auto_place.place(context, job)
            stack.enter_context(panel.locked(home))
            return placed

        job_monitor.current().place(bpy.context, job, place_then_lock)
        bpy.ops.wm.save_mainfile()
        then()
    return job


def test_what_could_not_be_written_down_is_when_blender_closes(home, tmp_path):
    """The saved file has the result: opened later, it does not get a second one."""
    job = place_and_save_unnoted(home, tmp_path, lambda: None)
    job_monitor.current().close()
    assert in_journal(home, job).state is JobState.PLACED


def test_what_could_not_be_written_down_outlives_its_file(home, tmp_path):
    """With another file open, later turns still write it down; until then the first one gets no second result."""
    job = place_and_save_unnoted(home, tmp_path, bpy.ops.wm.read_homefile)
    assert in_journal(home, job).state is JobState.READY
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    once = objects()
    turn()
    assert in_journal(home, job).state is JobState.PLACED
    assert objects() == once


def test_a_job_removed_while_it_is_placed_is_forgotten(home, tmp_path):
    """The mesh stays where it was placed; the job does not come back, and the timer goes on."""
    job = ready(home, tmp_path)
    keeper = job_monitor.current()
    keeper.refresh()

    def place_then_remove(context, job):
        placed = auto_place.place(context, job)
        with panel.journal(home) as journal:
            journal.remove(job.id)
        return placed

    keeper.place(bpy.context, job, place_then_remove)
    turn()
    assert keeper.trouble == ""
    assert job.id not in keeper.jobs


def test_a_home_that_cannot_be_used_is_said_and_got_over(home):
    """Trouble with the data folder stands in the panel as a sentence, and goes away with its cause."""
    home.write_text("not a folder")
    job_monitor.current().press()
    turn()
    assert "cannot be used" in job_monitor.current().trouble
    home.unlink()
    turn()
    assert job_monitor.current().trouble == ""


def test_the_new_sessions_code_comes_into_the_field(home):
    """When the local service has made the session, its code stands where the user would have typed it."""
    job = panel.job(JobState.STOPPED, service=LOCAL, source_blend="/nowhere/source.blend")
    waiting = dataclasses.replace(job, request=dataclasses.replace(job.request, session_code=""))
    job_monitor.current().add(waiting)
    turn()
    with panel.journal(home) as journal:
        journal.change(job.id, lambda _: dataclasses.replace(job))
    turn()
    assert panel.settings().session_code == panel.CODE


def test_the_readout_follows_the_selection(home):
    """A change marks it stale, the turn measures, and only while the panel is looked at."""
    sidebar_visibility.note_draw(bpy.context)
    turn()
    assert selection_bounds.current().measured.object_name == "Cube"
    scenes.select(scenes.mesh_object("Other"))
    registration.on_change()
    until(lambda: turn() is not None and selection_bounds.current().measured.object_name == "Other")


def test_measuring_rests_twenty_times_as_long_as_it_took():
    """A heavy object cannot take more than a twentieth of the main thread's time."""
    selection_bounds.mark_stale()
    began = time.perf_counter()
    selection_bounds.update(bpy.context, selection_bounds.AT_ONCE, 0.0, 100.0)
    took = time.perf_counter() - began
    assert selection_bounds._cache.due_at >= 100.0 + selection_bounds.LEAST_PAUSE_S
    assert selection_bounds._cache.due_at <= 100.0 + max(selection_bounds.LEAST_PAUSE_S, 20 * took)
    scenes.select(scenes.mesh_object("Other"))
    selection_bounds.mark_stale()
    assert not selection_bounds.update(bpy.context, selection_bounds.AT_ONCE, 0.0, 100.0)
    assert selection_bounds.current().measured.object_name == "Cube"
    assert selection_bounds.update(bpy.context, selection_bounds.AT_ONCE, 0.0, selection_bounds._cache.due_at)
    assert selection_bounds.current().measured.object_name == "Other"


def test_an_unfinished_job_starts_the_worker_and_closing_ends_it(home, monkeypatch):
    """The worker is a process of its own; it ends by itself when Blender lets go of it."""
    monkeypatch.setenv("CSM_API_KEY", panel.KEY)
    job_monitor.current().add(panel.job(service=NOBODY))
    turn()
    process = job_monitor.current().worker._process
    assert process.poll() is None
    job_monitor.current().close()
    until(lambda: process.poll() is not None, 5.0)


def test_no_unfinished_job_no_worker(home, tmp_path):
    """What is ready or has ended needs no process."""
    ready(home, tmp_path, window="elsewhere")
    job_monitor.current().press()
    turn()
    assert not job_monitor.current().worker.is_alive


@pytest.mark.parametrize("remove", [ops.csm_refine.remove, ops.csm_refine.remove_ended])
def test_a_script_that_removes_a_job_deletes_its_files(home, remove):
    """Without a window no turn comes, and no worker is started."""
    with panel.journal(home) as journal:
        job = journal.add(panel.job(JobState.FAILED))
    folder = home / "jobs" / job.id
    folder.mkdir(parents=True)
    (folder / "mesh.glb").touch()
    job_monitor.current().refresh()
    assert remove() == {"FINISHED"}
    assert not folder.exists()


def test_files_of_removed_jobs_are_deleted_where_nothing_runs(home):
    """The removal starts a worker, which deletes the files; once, so that it may end."""
    with panel.journal(home) as journal:
        job = journal.add(panel.job(JobState.FAILED))
    folder = home / "jobs" / job.id
    keeper = job_monitor.current()
    bpy.ops.csm_refine.remove(job=job.id)
    folder.mkdir(parents=True)  # as in a window, which deletes nothing itself
    turn()
    assert keeper.worker.is_alive
    until(lambda: not folder.exists())
    keeper.worker.let_go()
    turn()
    assert not keeper.worker.is_alive


def test_a_dead_worker_is_replaced_but_not_for_ever(home):
    """After three restarts in a minute the panel says where to look; a minute later, or a click, tries again."""
    now = 0.0
    keeper = WorkerProcess(clock=lambda: now)
    line = worker.control_line(False, {})
    folder = DataDir(home)
    for _ in range(RESTARTS + 1):
        keeper.keep_up(folder, line)
        keeper._process.kill()
        keeper._process.wait()
    keeper.keep_up(folder, line)
    assert not keeper.is_alive
    assert "signal 9." in keeper.trouble
    assert str(folder.worker_log) in keeper.trouble
    now = 61.0
    keeper.keep_up(folder, line)
    assert keeper.is_alive
    assert keeper.trouble == ""
    process = keeper._process
    keeper.let_go()
    until(lambda: process.poll() is not None, 5.0)
    reap()


def test_a_worker_that_cannot_start_says_why(home):
    """What it wrote last is in the panel's sentence, without the log's date and name."""
    folder = DataDir(home)
    folder.journal.mkdir(parents=True)
    keeper = WorkerProcess()
    for _ in range(RESTARTS + 1):
        keeper.keep_up(folder, worker.control_line(False, {}))
        until(lambda: not keeper.is_alive)
    keeper.keep_up(folder, worker.control_line(False, {}))
    said = folder.worker_log.read_text().splitlines()[-1].partition(" ERROR ")[2]
    assert said
    assert f"in a minute: {said} " in keeper.trouble
    keeper.let_go()
    reap()


def test_the_key_goes_only_where_it_is_meant_to_go(home, monkeypatch):
    """The chosen service and those of unfinished jobs with an account get the key; local and finished ones do not."""
    monkeypatch.setenv("CSM_API_KEY", panel.KEY)
    panel.settings().service_url = "https://chosen.example"
    keeper = job_monitor.current()
    active = panel.job(JobState.RUNNING, service="https://active.example", account="0123456789abcdef")
    foreign = panel.job(JobState.RUNNING, service="https://foreign.example")
    ended = panel.job(JobState.FAILED, service="https://ended.example")
    local = panel.job(JobState.RUNNING, service=LOCAL)
    keeper.know({job.id: job for job in (active, foreign, ended, local)})
    assert told(keeper) == {"https://chosen.example", "https://active.example"}
    panel.settings().service_url = "half typed"
    assert told(keeper) == {"https://active.example"}
    assert json.loads(keeper._control_line())["chosen"] == []


def told(keeper) -> set[str]:
    return set(json.loads(keeper._control_line())["keys"])


def test_a_check_answers_with_a_sentence(home):
    """A service that does not answer is told as a sentence, by a process that ends."""
    check = ServiceCheck(DataDir(home), NOBODY, worker.control_line(False, {NOBODY: Secret(panel.KEY)}))
    until(lambda: check._process.poll() is not None)
    answer = check.answer()
    assert not answer.is_good
    assert "reached" in answer.message or "answer" in answer.message


def test_an_end_that_an_operator_read_first_is_told(home):
    """Whoever reads the journal first, each end is told once, by a turn, and marks are looked up anew."""
    status_messages._waiting.clear()
    with panel.journal(home) as journal:
        failing, arriving = [journal.add(panel.job(JobState.RUNNING)) for _ in range(2)]
        job_monitor.current().press()
        turn()
        journal.change(failing.id, lambda job: state_machine.failed(job, InputError("It broke.", "Mend it."), 1.0))
        for state in (JobState.DOWNLOADING, JobState.PREPARING, JobState.READY):
            journal.change(arriving.id, lambda job, state=state: dataclasses.replace(job, state=state))
        object_metadata._index.stale = False
        job_monitor.current().refresh()
        assert object_metadata.is_stale()
        assert status_messages._waiting == []
        turn()
        (broke, arrived) = sorted(status_messages._waiting)[::-1]
        turn()
    assert broke == ("WARNING", "CSM Refine: It broke.")
    assert arrived[0] == "INFO"
    assert "is ready to be placed" in arrived[1]
    assert len(status_messages._waiting) == 2


def test_a_jobs_end_leaves_the_others_alone(home, tmp_path):
    """Of two results only one is placed in a turn, so that the window stands still as little as possible."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    jobs = [ready(home, tmp_path / "a"), ready(home, tmp_path / "b")]
    job_monitor.current().press()
    turn()
    assert [in_journal(home, job).state for job in jobs].count(JobState.PLACED) == 1
    turn()
    assert [in_journal(home, job).state for job in jobs].count(JobState.PLACED) == 2


def test_a_mistake_of_ours_does_not_stop_the_timer(home):
    """A timer that raises is removed by Blender: whatever happens, the next turn comes, and the panel says why."""
    job_monitor.current().press()
    turn()
    job_monitor.current().active = None
    assert job_monitor.tick() == job_monitor.AFTER_TROUBLE_S
    assert "made a mistake" in job_monitor.current().trouble


def test_a_damaged_journal_is_told_once(home):
    """What became of it stands in the panel until the user presses something; the jobs that were saved are there."""
    with panel.journal(home) as journal:
        job = journal.add(panel.job(JobState.READY, window="elsewhere"))
    content = (home / "journal.sqlite").read_bytes()
    (home / "journal.sqlite").write_bytes(b"?" * 100 + content[100:])
    sidebar_visibility.note_draw(bpy.context)
    turn()
    assert "was damaged" in job_monitor.current().told
    assert list(job_monitor.current().jobs) == [job.id]
    job_monitor.current().press()
    turn()
    assert job_monitor.current().told == ""


def test_a_journal_that_is_locked_for_long(home):
    """For a moment nothing is said; for longer the panel says why it stands still, until the lock is gone."""
    sidebar_visibility.note_draw(bpy.context)
    turn()
    with panel.locked(home):
        assert (turn(), job_monitor.current().trouble) == (job_monitor.AWAKE_S, "")
        job_monitor.current()._locked_since -= 6.0
        assert turn() == job_monitor.AFTER_TROUBLE_S
        assert "locked by another process" in job_monitor.current().trouble
    turn()
    assert job_monitor.current().trouble == ""


def test_a_result_that_another_blender_has_just_placed(home, tmp_path):
    """What was placed and let go of between our look at the journal and our turn is not placed a second time."""
    job = ready(home, tmp_path)
    job_monitor.current().press()
    with panel.journal(home) as other:
        assert auto_place.claimed(other, job, "another")
        other.change(job.id, lambda job: state_machine.placed(job, "There", 0.0, 1.0))
        other.release(job.id, "another")
        assert not auto_place.claimed(other, job, job_monitor.current().window)
        assert other.claim(job.id, "anybody", 1e10, 15.0)
        assert not auto_place.claimed(other, panel.job(JobState.READY), "nobody's")
    before = objects()
    with pytest.raises(InputError):
        job_monitor.current().place(bpy.context, job)
    assert objects() == before
