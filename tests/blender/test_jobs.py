from __future__ import annotations

import math
import os
import statistics
import time

import bpy
import pytest

from csm_refine_addon.blender.jobs import batch_submit, deferred_imports, job_list, job_monitor
from csm_refine_addon.blender.jobs.job_cache import MOST_AT_ONCE
from csm_refine_addon.blender.scene import object_metadata
from csm_refine_addon.blender.ui import menus, operators as ours, panels, status_bar
from csm_refine_addon.blender.ui.panels.job_panel import CSM_UL_jobs
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import LOCAL, Box, JobState, Placement, RemoteKind, RemoteStatus
from tests.support import panel, scenes
from tests.support.panel import KEY
from tests.support.strict_layout import StrictLayout, draw, operators, texts

ops = bpy.ops
UNDER_WAY = (JobState.PREPARED, JobState.SUBMITTING, JobState.RUNNING, JobState.DOWNLOADING, JobState.PREPARING)
FOR_SCRIPTS = {"wait", "select", "notice"}
NOT_PREPARED = state_machine.job_error(errors.PrepareFailed("The background Blender ended.", "Retry."))
DRAW_LIMIT_S = 0.05  # far above the 2 ms that it takes; a slow machine is no fault


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        panel.allow_online(allowed=True)
        monkeypatch.setenv("CSM_API_KEY", KEY)
        yield tmp_path / "home"
        batch_submit.drop()


def show(home, *made):
    with panel.journal(home) as journal:
        written = [journal.add(job) for job in made]
    job_monitor.current().refresh()
    job_list.show(job_monitor.current().jobs)
    return written


def jobs(home):
    with panel.journal(home) as journal:
        return journal.all()


def kept():
    return bpy.context.window_manager.csm_refine


class List:
    """The list's own filter, for the text typed into it."""

    bitflag_filter_item = 1 << 30

    def __init__(self, text: str = "") -> None:
        self.filter_name = text

    filter_items = CSM_UL_jobs.filter_items
    _is_wanted = CSM_UL_jobs._is_wanted


def listed(text: str = "") -> list[str]:
    """The object names of the rows that the list shows, in its order."""
    flags, order = List(text).filter_items(bpy.context, kept(), "jobs")
    rows = [(order[row] if order else row, row) for row, flag in enumerate(flags) if flag]
    names = [job.name for job in kept().jobs]
    return [job_monitor.current().jobs[names[row]].placement.object_name for _, row in sorted(rows)]


def of(name: str, state: JobState = JobState.RUNNING, **changes):
    return panel.job(state, placement=Placement(box=Box((0, 0, 0), (1, 2, 3)), object_name=name), **changes)


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_shows_one_files_jobs_or_all(home, tmp_path):
    """A job is of this file if its window is this one, if it was made from the same saved file, or is known here."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "open.blend"))
    here = of("Here", window=job_monitor.current().window, created_at=3.0)
    saved = of("Saved", blend_file=str(tmp_path / "open.blend"), created_at=2.0)
    known = of("Known", JobState.PLACED, blend_file="/other.blend", created_at=1.0)
    object_metadata.mark_result(bpy.data.objects["Cube"], known)
    show(home, here, saved, known, of("Elsewhere", blend_file="/other.blend", created_at=0.0))
    object_metadata.update([], math.inf)
    assert listed() == ["Here", "Saved", "Known", "Elsewhere"]
    kept().files = "THIS"
    assert listed() == ["Here", "Saved", "Known"]


def test_a_file_that_was_never_saved_does_not_own_the_jobs_of_another(home):
    """An empty path is no file."""
    show(home, of("Elsewhere"))
    kept().files = "THIS"
    assert listed() == []


@pytest.mark.parametrize(
    ("text", "found"), [("chair", ["Chair"]), ("FAIL", ["Table"]), ("6037625", ["Chair", "Table"]), ("c*r", ["Chair"])]
)
def test_the_list_is_searched_by_object_code_and_state(home, text, found):
    """The list's own search finds what a row shows, in whatever case."""
    show(home, of("Chair", created_at=2.0), of("Table", JobState.FAILED, created_at=1.0))
    assert listed(text) == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("NEWEST", ["bed", "Chair", "Arch", "Door"]),
        ("OBJECT", ["Arch", "bed", "Chair", "Door"]),
        ("STATE", ["Chair", "Door", "bed", "Arch"]),
    ],
)
def test_the_list_is_sorted(home, order, found):
    """By state, what waits for the user comes first, and what is done last."""
    states = {"Arch": JobState.PLACED, "bed": JobState.RUNNING, "Chair": JobState.FAILED, "Door": JobState.READY}
    made = {"bed": 4.0, "Chair": 3.0, "Arch": 2.0, "Door": 1.0}
    show(home, *(of(name, states[name], created_at=at) for name, at in made.items()))
    kept().sort = order
    assert listed() == found


def test_what_is_listed_is_not_kept_in_the_file(home, tmp_path):
    """Filter and order are the user's, not the file's: a saved window manager does not hold them."""
    kept().files, kept().sort = "THIS", "OBJECT"
    assert not [key for key in ("files", "sort") if kept().get(key) is not None]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "file.blend"))
    job_list.forget()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "file.blend"))
    assert (kept().files, kept().sort) == ("ALL", "NEWEST")


def test_a_job_that_is_not_listed_shows_no_details(home):
    """The details below the list are those of a row in it."""
    show(home, of("Elsewhere", JobState.FAILED))
    jobs_panel = next(kind for kind in panels.CLASSES if kind.__name__ == "CSM_PT_jobs")
    assert "csm_refine.retry" in operators(draw(jobs_panel))
    kept().files = "THIS"
    assert "csm_refine.retry" not in operators(draw(jobs_panel))


def test_a_service_out_of_reach_is_seen_in_the_row(home):
    """A job that waits for the network has another icon than one that goes on."""
    show(home, of("Chair", trouble="The service is out of reach."))
    recorded = []
    CSM_UL_jobs.draw_item(None, bpy.context, StrictLayout(recorded), None, kept().jobs[0], 0, None, "active")
    assert recorded[2].arguments["icon"] == "INTERNET_OFFLINE"


def test_two_hundred_jobs_are_drawn_quickly(home):
    """Filtering, sorting and drawing does not grow with what the user has done before."""
    show(home, *(of(f"Object {number}", window=job_monitor.current().window) for number in range(200)))
    kept().files, kept().sort = "THIS", "STATE"
    jobs_panel = next(kind for kind in panels.CLASSES if kind.__name__ == "CSM_PT_jobs")
    took = []
    for _ in range(5):
        began = time.perf_counter()
        draw(jobs_panel)
        List("object").filter_items(bpy.context, kept(), "jobs")
        took.append(time.perf_counter() - began)
    assert statistics.median(took) < DRAW_LIMIT_S


# --- the status bar ---------------------------------------------------------------------------------------------------


def bar() -> list[str]:
    class Header:
        layout = StrictLayout([])

    status_bar.draw(Header, bpy.context)
    return texts(Header.layout._drawn)


@pytest.mark.parametrize("state", UNDER_WAY)
def test_the_status_bar_names_what_one_job_does(home, state):
    """Every state under way has its words with the object's name; and it says nothing that is not under way."""
    assert "Chair" in status_bar.text_of([of("Chair", state)])


def test_the_status_bar_shows_progress():
    """A percent keeps its width, so that nothing beside it jumps."""
    texts = [
        status_bar.text_of([of("Monkey", remote=RemoteStatus("refining", RemoteKind.RUNNING, percent))])
        for percent in (30.0, 5.0)
    ]
    assert texts == ["Refining Monkey 30 %", "Refining Monkey \N{FIGURE SPACE}5 %"]


def test_the_status_bar_counts_several_jobs():
    """Several are a number, and those that wait for the service are told apart."""
    running, waiting = of("A"), of("B", trouble="The service is out of reach.")
    assert status_bar.text_of([running, running, of("C", JobState.PLACED)]) == "2 refines running"
    assert status_bar.text_of([running, waiting]) == "2 refines running, 1 waiting for the service"
    assert status_bar.text_of([waiting]) == "B: waiting for the service"


def test_the_status_bar_says_that_results_wait():
    """Results that arrive in Edit Mode are not placed, and the panel that tells why may be closed."""
    assert status_bar.text_of([of("Chair", JobState.READY)], 2) == "Results that wait to be placed: 2"
    assert status_bar.text_of([of("Chair")], 2) == "Refining Chair 42 %"


def test_the_status_bar_cuts_a_long_name():
    """A name of the user's does not push Blender's own words out of the window."""
    assert len(status_bar.text_of([of("x" * 63)])) < 63


def test_the_timer_fills_and_empties_the_status_bar(home):
    """A job under way is there after the next turn, and gone when it has ended; then nothing is drawn."""
    job = of("Chair")
    job_monitor.current().press()
    with panel.journal(home) as journal:
        journal.add(job)
    while not status_bar.shown() and job_monitor.tick():
        pass
    assert bar() == [status_bar.shown()]
    ops.csm_refine.stop(job=job.id)
    job_monitor.tick()
    assert bar() == []


def test_the_status_bar_is_redrawn_only_when_its_text_changes():
    """The same jobs once more are no news."""
    assert status_bar.follow([of("Chair")])
    assert not status_bar.follow([of("Chair")])
    assert status_bar.follow([])


# --- many at once -----------------------------------------------------------------------------------------------------


def three_objects():
    cube = scenes.mesh_object("Cube of mine")
    cube.rotation_euler = (0.3, 0.2, 0.1)
    tall = scenes.mesh_object("Tall")
    tall.scale = (1.0, 1.0, 4.0)
    flat = scenes.mesh_object("Flat", points=[(0, 0, 0), (1, 0, 0), (1, 1, 0)], faces=[(0, 1, 2)])
    camera = bpy.data.objects["Camera"]
    scenes.select(cube, tall, flat, camera)
    return cube, tall


def test_refine_each_makes_one_job_per_object(home):
    """Each gets its own source and its own box; what cannot be refined is left out, and the others go on."""
    three_objects()
    assert ops.csm_refine.refine_each() == {"FINISHED"}
    made = {job.placement.object_name: job for job in jobs(home)}
    assert sorted(made) == ["Cube of mine", "Tall"]
    assert made["Tall"].request.scaled_bbox == pytest.approx((1.0, 4.0, 1.0))
    assert made["Cube of mine"].request.scaled_bbox == pytest.approx((1.0, 1.0, 1.0), abs=1e-5)
    assert {job.service for job in made.values()} == {LOCAL}
    assert all(os.path.isfile(job.source_blend) and job.source_objects == (name,) for name, job in made.items())
    assert len({job.source_blend for job in made.values()}) == 2


def test_refine_each_says_how_many_and_which_not(home):
    """The confirmation counts what will be refined, with a sentence for each that cannot."""
    three_objects()
    plan = batch_submit.plan(bpy.context)
    recorded = []
    ours.batch_operators.draw_plan(StrictLayout(recorded), plan)
    said = texts(recorded)
    assert "2 of 4 selected objects, each in a box of its own" in said
    assert "Not refined: 2" in said
    assert any("“Flat” is flat" in text for text in said)
    assert any("“Camera” has no geometry" in text for text in said)


def test_refine_each_takes_a_parent_with_its_children():
    """A child of a selected object belongs to it, as in a single refine, and is not refined twice."""
    cube, tall = three_objects()
    tall.parent = cube
    bpy.context.view_layer.update()
    assert [order.asked.placement.object_name for order in batch_submit.plan(bpy.context).orders] == ["Cube of mine"]


def test_refine_each_does_not_give_all_the_typed_box(home):
    """A box that is typed in is for one object; each of many keeps its own, also where the typed one is wrong."""
    three_objects()
    panel.settings().bounds_mode = "TYPED"
    panel.settings().bbox = (0.0, 1.0, 1.0)
    panel.settings().pivot_mode = "BOTTOM"
    ops.csm_refine.refine_each()
    assert sorted(job.request.scaled_bbox[1] for job in jobs(home)) == pytest.approx([1.0, 4.0], abs=1e-5)
    assert {job.request.pivot_point for job in jobs(home)} == {(0.0, -0.5, 0.0)}


def test_nothing_that_can_be_refined_is_a_sentence():
    """A selection of cameras makes no job, and says why."""
    scenes.select(bpy.data.objects["Camera"])
    with pytest.raises(RuntimeError, match="None of the selected objects"):
        ops.csm_refine.refine_each()


def test_in_a_window_one_job_is_made_in_a_turn(home):
    """Writing forty sources at once would make Blender stand still; an object deleted meanwhile is left out."""
    _cube, tall = three_objects()
    keeper = job_monitor.current()
    waiting(keeper)
    bpy.data.objects.remove(tall)
    while batch_submit.is_waiting():
        before = len(jobs(home))
        job_monitor.tick()
        assert len(jobs(home)) - before <= 1
    assert [job.placement.object_name for job in jobs(home)] == ["Cube of mine"]
    assert keeper.trouble == ""


def waiting(keeper):
    """Have a batch wait as in a window, where a job is made in a turn."""
    keeper.press()
    batch_submit._waiting.extend(
        batch_submit._One(order.asked.placement.object_name, order, keeper.window)
        for order in batch_submit.plan(bpy.context).orders
    )


def test_a_batch_waits_for_a_locked_journal(home):
    """While another process writes, each turn tries the same job with the same file, and the worker is kept up."""
    three_objects()
    show(home, *(of(str(number), service="http://127.0.0.1:1") for number in range(MOST_AT_ONCE + 2)))
    keeper = job_monitor.current()
    waiting(keeper)
    with panel.locked(home, "IMMEDIATE"):
        pauses = {turn() for _ in range(3)}
        (folder,) = folders(home)
        assert (pauses, keeper.worker.is_alive) == ({job_monitor.AWAKE_S}, True)
        keeper._locked_since -= 6.0
        turn()
        assert "locked by another process" in keeper.trouble
        turn()
        assert (len(keeper.jobs), folders(home)) == (MOST_AT_ONCE + 2, [folder])
    while batch_submit.is_waiting():
        job_monitor.tick()
    assert sorted(folders(home)) == sorted(job.id for job in jobs(home) if job.source_blend)
    assert folder in folders(home)
    assert keeper.trouble == ""


def test_a_batch_in_trouble_keeps_nothing_else_from_going_on(home, tmp_path):
    """No source can be written, turn after turn: all jobs stay listed, a result is placed, the worker is kept up."""
    three_objects()
    result = ready(tmp_path, "Cube", place_automatically=True, created_at=0.0)
    made = [result, *(of(str(number), JobState.FAILED) for number in range(2 * MOST_AT_ONCE))]
    with panel.journal(home) as journal:
        ids = {journal.add(job).id for job in [*made, of("Running", service="http://127.0.0.1:1")]}
    (home / "jobs").write_text("not a folder")
    keeper = job_monitor.current()
    waiting(keeper)
    while turn() == job_monitor.AT_ONCE_S:
        pass
    for _ in range(3):
        assert turn() == job_monitor.AFTER_TROUBLE_S
        assert "cannot be written" in keeper.trouble
        assert set(keeper.jobs) == ids == {row.name for row in kept().jobs}
    assert keeper.jobs[result.id].state is JobState.PLACED
    assert keeper.worker.is_alive
    (home / "jobs").unlink()
    while batch_submit.is_waiting():
        job_monitor.tick()
    assert keeper.trouble == ""


@pytest.mark.parametrize("end", [batch_submit.drop, lambda: (job_monitor.current().file_loaded(), turn())])
def test_a_batch_that_is_dropped_leaves_no_file(home, end):
    """What was written for a job that could not be written down goes with it."""
    three_objects()
    waiting(job_monitor.current())
    job_monitor.current().journal()
    with panel.locked(home, "IMMEDIATE"):
        turn()
    assert len(folders(home)) == 1
    end()
    while batch_submit.is_waiting():
        job_monitor.tick()
    assert folders(home) == []


def turn() -> float:
    """Take a turn that does more than import something; return its pause."""
    while deferred_imports.next_one():
        pass
    return job_monitor.tick()


def folders(home) -> list[str]:
    return [path.name for path in (home / "jobs").glob("*")]


def test_a_batch_does_not_fill_the_code_field(home):
    """Forty codes would run through the field that the user types into."""
    three_objects()
    ops.csm_refine.refine_each()
    assert job_monitor.current()._wanted_codes == {}


def ready(tmp_path, name, **changes):
    made = scenes.mesh_object(f"Result of {name}")
    path = tmp_path / f"{name}.blend"
    bpy.data.libraries.write(str(path), {made}, fake_user=True)
    bpy.data.meshes.remove(made.data)
    placement = Placement((1.0, 2.0, 3.0), box=Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), object_name=name)
    usual = {"window": job_monitor.current().window, "place_automatically": False, "blend_path": str(path)}
    return panel.job(JobState.READY, placement=placement, **(usual | changes))


def test_place_all_places_every_ready_job_of_this_file_in_one_undo_step(home, tmp_path):
    """One broken result does not keep the others; another file's stays; so does the selection; one undo is enough."""
    scenes.mesh_object("Chair")
    scenes.mesh_object("Table")
    good = [ready(tmp_path, "Chair", created_at=1.0), ready(tmp_path, "Table", created_at=2.0)]
    show(
        home,
        *good,
        ready(tmp_path, "Broken", blend_path="/nowhere/result.blend"),
        ready(tmp_path, "Foreign", window="elsewhere"),
    )
    selected = {obj.name for obj in bpy.context.selected_objects}
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.csm_refine.place_all("EXEC_DEFAULT", True)
    states = {job.placement.object_name: job.state for job in jobs(home)}
    assert states["Chair"] is states["Table"] is JobState.PLACED
    assert states["Broken"] is states["Foreign"] is JobState.READY
    assert {"Chair refined", "Table refined"} <= set(bpy.data.objects.keys())
    assert {obj.name for obj in bpy.context.selected_objects} == selected
    bpy.ops.ed.undo()
    assert not {"Chair refined", "Table refined"} & set(bpy.data.objects.keys())


def test_place_all_with_nothing_ready_says_so(home):
    """The button is grey where nothing is ready."""
    show(home, of("Chair"))
    assert not ops.csm_refine.place_all.poll()


def test_stop_all_stops_what_is_listed(home):
    """With this file's jobs listed, another file's job is followed on; and what was not made yet is not made."""
    mine, other = of("Mine", window=job_monitor.current().window), of("Other", JobState.PREPARING)
    show(home, mine, other, of("Done", JobState.PLACED, window=job_monitor.current().window))
    kept().files = "THIS"
    ops.csm_refine.stop_all()
    states = {job.placement.object_name: job.state for job in jobs(home)}
    assert states == {"Mine": JobState.STOPPED, "Other": JobState.PREPARING, "Done": JobState.PLACED}
    kept().files = "ALL"
    ops.csm_refine.stop_all()
    assert {job.state for job in jobs(home)} == {JobState.STOPPED, JobState.PLACED}


def test_remove_ended_keeps_what_is_of_use(home):
    """Placed, failed and stopped jobs go; a result that waits to be placed, and what is unclear, stay."""
    show(home, *(of(str(state), state) for state in JobState))
    ops.csm_refine.remove_ended()
    left = {job.state for job in jobs(home)}
    assert left == set(JobState) - {JobState.PLACED, JobState.FAILED, JobState.STOPPED}
    assert not ops.csm_refine.remove_ended.poll()


def test_many_are_stopped_and_removed_at_once(home):
    """A thousand jobs are not a thousand waits for the disk: one transaction each, and the rows are made once."""
    made = show(home, *(of(str(number), created_at=float(number)) for number in range(50)))
    keeper, transactions = job_monitor.current(), []
    keeper.journal()._connection.set_trace_callback(
        lambda said: transactions.append(said) if said == "BEGIN IMMEDIATE" else None
    )
    keeper.remove(made[7].id)
    ops.csm_refine.stop_all()
    assert len(transactions) == 2
    with panel.journal(home) as other:
        other.remove(made[8].id)
    assert keeper.change_each([made[8].id], lambda job: state_machine.stopped(job, 0.0)) == []
    ops.csm_refine.remove_ended()
    assert len(transactions) == 4
    assert len(kept().jobs) == len(keeper.jobs) == len(jobs(home)) == 0


def test_remove_ended_says_what_is_lost():
    """Results that are placed in this file are kept as they stand; counted is all for which Remove would ask."""
    job, unplaced, sent = of("A", JobState.PLACED), of("B", JobState.FAILED, mesh_path="/m"), of("C", JobState.STOPPED)
    unsent = of("D", JobState.STOPPED, sent_at=None)
    assert ours.batch_operators.removal([job, unplaced, sent, unsent]).startswith(
        "Jobs: 4. Their downloaded files are deleted."
    )
    assert ours.batch_operators.removal([job, unplaced, sent, unsent]).endswith("or may still come: 3.")
    object_metadata.mark_result(scenes.mesh_object("Result"), job)
    assert ours.batch_operators.removal([job, unplaced, sent, unsent]).endswith("or may still come: 2.")
    assert ours.batch_operators.removal([job, unsent]).endswith("what is placed stays.")


# --- found without the panel ------------------------------------------------------------------------------------------


def in_menus(home) -> set[str]:
    found: set[str] = set()
    unprepared = of("Chair", JobState.FAILED, mesh_path="/nowhere/mesh.glb", error=NOT_PREPARED)
    theirs = of("Chair", JobState.RUNNING, trouble=str(errors.OtherAccount()))
    pictured = of("Chair", JobState.READY, picture_path="/nowhere/picture.png")
    for job in [*(of("Chair", state) for state in JobState), unprepared, theirs, pictured]:
        show(home, job)
        job_list.show(job_monitor.current().jobs, select=job.id)
        for kind in menus.CLASSES:
            found |= {each.removeprefix("csm_refine.") for each in operators(draw(kind))}
    return found


def test_every_action_is_in_a_menu(home):
    """Blender's search goes through the menus: what stands in none of them cannot be found with F3."""
    actions = [kind for kind in ours.CLASSES if issubclass(kind, bpy.types.Operator) and not is_hidden(kind)]
    names = {kind.bl_idname.removeprefix("csm_refine.") for kind in actions}
    assert names - in_menus(home) == set()


def is_hidden(kind) -> bool:
    return "INTERNAL" in getattr(kind, "bl_options", ())


def test_no_action_is_hidden_from_the_search():
    """INTERNAL takes an operator out of the search: it is for parts of a list or a dialog, and for scripts."""
    hidden = {kind.bl_idname for kind in ours.CLASSES if is_hidden(kind)}
    internal = (*FOR_SCRIPTS, "take_session", "save_diagnostics", "delete_unneeded")
    assert hidden <= {f"csm_refine.{name}" for name in internal}


def test_the_menu_is_in_blenders_object_menus():
    """The Object menu and the object's context menu have it at their end."""
    for menu in (bpy.types.VIEW3D_MT_object, bpy.types.VIEW3D_MT_object_context_menu):
        assert menus.draw_in_object_menu in menu.draw._draw_funcs

    class Menu:
        layout = StrictLayout([])

    menus.draw_in_object_menu(Menu, bpy.context)
    assert [entry.arguments["menu"] for entry in Menu.layout._drawn if entry.what == "menu"] == ["CSM_MT_refine"]


@pytest.mark.parametrize(
    ("owner", "name", "offered"),
    [
        ("settings", "session_code", True),
        ("settings", "service_url", False),
        ("scene", "name", False),
        (None, "", False),
    ],
)
def test_a_right_click_pastes_into_the_code_field_alone(owner, name, offered):
    """On the code field the menu offers to paste a code; on any other button, and none, it stays as it is."""

    class Click:
        button_pointer = {"settings": panel.settings(), "scene": bpy.context.scene, None: None}[owner]
        button_prop = button_pointer.bl_rna.properties[name] if owner else None

    class Menu:
        layout = StrictLayout([])

    menus.draw_on_button(Menu, Click if owner else bpy.context)
    assert ("csm_refine.paste_code" in operators(Menu.layout._drawn)) == offered


def test_a_keyboard_user_is_told_what_is_missing():
    """Where no job is selected, the menu of the selected job says so instead of being empty."""
    assert "No job is selected" in texts(draw(menus.CSM_MT_job))
