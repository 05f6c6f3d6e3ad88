from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import bpy
import pytest

from csm_refine_addon.blender.background import mesh_io
from csm_refine_addon.blender.jobs import job_list, job_monitor, job_text, session_files, submit
from csm_refine_addon.blender.scene import auto_place, object_metadata
from csm_refine_addon.blender.ui.operators import result_operators, submit_operators
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import CSM_BASE_URL, LOCAL, Box, JobState, Placement, RefineRequest
from tests.support import panel, sample_meshes, scenes
from tests.support.panel import CODE, KEY
from tests.support.strict_layout import StrictLayout, texts

ops = bpy.ops


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        panel.allow_online(allowed=True)
        monkeypatch.setenv("CSM_API_KEY", KEY)
        yield tmp_path / "home"


def jobs(home):
    with panel.journal(home) as journal:
        return journal.all()


def only_job(home):
    (job,) = jobs(home)
    return job


def turn() -> None:
    """Take turns until one did more than import something."""
    while job_monitor.tick() == job_monitor.AT_ONCE_S:
        pass


def write_down(home, *made):
    with panel.journal(home) as journal:
        return [journal.add(job, again=True) for job in made]


def wedge(matrix_scale=(1.0, 2.0, 3.0)):
    made = scenes.mesh_object()
    made.scale = matrix_scale
    scenes.select(made)
    bpy.context.view_layer.update()
    return made


# --- refine ---------------------------------------------------------------------------------------------------------


def test_refine_writes_the_panels_job_down_and_returns(home):
    """The click writes one row with what the panel says, and starts nothing in this process."""
    made = wedge()
    panel.settings().session_code = f"https://api.csm.ai/image-to-3d-sessions/{CODE}"
    assert ops.csm_refine.refine() == {"FINISHED"}
    job = only_job(home)
    assert (job.state, job.service, job.request.session_code) == (JobState.PREPARED, CSM_BASE_URL, CODE)
    assert job.request.scaled_bbox == (1.0, 3.0, 2.0)
    assert job.request.pivot_point == (0.0, 0.0, 0.0)
    assert job.placement.object_name == made.name
    assert job.placement.box.size == (1.0, 2.0, 3.0)
    assert job.window == job_monitor.current().window
    assert not job_monitor.current().worker.is_alive
    assert job_list.selected_id() == job.id


def test_a_scripts_arguments_win_over_the_panel(home):
    """What is given is sent; what is not comes from the panel; 0.1 is 0.1 and not the float32 next to it."""
    wedge()
    panel.settings().session_code = "SESSION_1_2"
    ops.csm_refine.refine(session_code=CODE, scaled_bbox=(0.1, 0.2, 0.3), pivot_point=(0.0, -0.5, 0.5))
    request = only_job(home).request
    assert (request.session_code, request.scaled_bbox) == (CODE, (0.1, 0.2, 0.3))
    assert request.pivot_point == (0.0, -0.5, 0.5)


def test_the_preferences_are_the_jobs(home):
    """Limits and wishes of the preferences are written with the job."""
    values = panel.preferences()
    values.follow_hours, values.poll_first_s, values.poll_longest_s = 1.0, 7.0, 9.0
    values.fit_to_box = values.place_automatically = False
    wedge()
    ops.csm_refine.refine(session_code=CODE)
    job = only_job(home)
    assert (job.timeout_s, job.poll_first_s, job.poll_longest_s) == (3600.0, 7.0, 9.0)
    assert (job.fit_to_box, job.place_automatically) == (False, False)


def test_left_to_the_service_needs_no_object(home):
    """With bounds and pivot left out, nothing has to be selected."""
    scenes.select()
    panel.settings().bounds_mode = panel.settings().pivot_mode = "AUTO"
    ops.csm_refine.refine(session_code=CODE)
    job = only_job(home)
    assert (job.request.scaled_bbox, job.request.pivot_point, job.placement.box) == (None, None, None)


def no_selection():
    scenes.select()


def a_camera():
    scenes.select(bpy.data.objects["Camera"])


def a_flat_object():
    scenes.select(scenes.mesh_object(points=[(0, 0, 0), (1, 0, 0), (1, 1, 0)], faces=[(0, 1, 2)]))


def no_key():
    os.environ.pop("CSM_API_KEY")


def broken_key():
    os.environ["CSM_API_KEY"] = "two\nlines"


def offline():
    panel.allow_online(allowed=False)


def service(url):
    def choose():
        panel.settings().service_url = url

    return choose


@pytest.mark.parametrize(
    ("arrange", "arguments", "sentence"),
    [
        (None, {"session_code": "hello"}, "There is no session code"),
        (None, {"session_code": "SESSION-12"}, "odd form"),
        (None, {}, "No session code was given"),
        (None, {"scaled_bbox": (0.0, 1.0, 1.0)}, "width is 0"),
        (None, {"scaled_bbox": (1.0, -1.0, 1.0)}, "height is -1"),
        (None, {"scaled_bbox": (1.0, 1.0, float("nan"))}, "not a finite number"),
        (None, {"scaled_bbox": (1.0, 1.0, float("inf"))}, "not a finite number"),
        (None, {"pivot_point": (0.6, 0.0, 0.0)}, "between -0.5 and 0.5"),
        (no_selection, {"session_code": CODE}, "Nothing is selected"),
        (a_camera, {"session_code": CODE}, "no geometry"),
        (a_flat_object, {"session_code": CODE}, "is flat"),
        (no_key, {"session_code": CODE}, "There is no API key"),
        (broken_key, {"session_code": CODE}, "line breaks"),
        (offline, {"session_code": CODE}, "online access is off"),
        (service("example.com"), {"session_code": CODE}, "not a URL with http"),
        (service("https://me:secret@example.com"), {"session_code": CODE}, "name or password"),
        (service("http://example.com"), {"session_code": CODE}, "plain http"),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_written(home, arrange, arguments, sentence):
    """Each wrong input is named, with a cure; no job comes to be."""
    wedge()
    if arrange:
        arrange()
    given = arguments if not arguments or "session_code" in arguments else {"session_code": CODE, **arguments}
    with pytest.raises(RuntimeError, match=sentence):
        ops.csm_refine.refine(**given)
    assert jobs(home) == []


def test_the_same_session_is_not_sent_twice(home):
    """A second click on a session that is under way is refused: it would be paid for twice."""
    wedge()
    ops.csm_refine.refine(session_code=CODE)
    with pytest.raises(RuntimeError, match="being refined already"):
        ops.csm_refine.refine(session_code=CODE)
    assert len(jobs(home)) == 1


def test_an_unclear_submission_blocks_the_same_session(home):
    """As long as it is unclear whether a refine arrived, a click does not send another one."""
    wedge()
    write_down(home, panel.job(JobState.UNCERTAIN))
    with pytest.raises(RuntimeError, match="may have been sent already"):
        ops.csm_refine.refine(session_code=CODE)


def test_a_loopback_service_needs_no_network(home):
    """Blender offline, a service on this machine: allowed."""
    offline()
    service("http://127.0.0.1:8787")()
    wedge()
    ops.csm_refine.refine(session_code=CODE)
    assert only_job(home).service == "http://127.0.0.1:8787"


def test_a_session_of_another_object_is_asked_about(home):
    """Both names stand in the question; renamed or not, the object that the session was made from needs none."""
    panel.settings().service = "LOCAL"
    made = wedge()
    made.name = "Chair"
    placement = Placement(object_name="Chair")
    request = RefineRequest(CODE)
    window = job_monitor.current().window
    maker = {"request": request, "service": LOCAL, "placement": placement, "window": window}
    write_down(home, panel.job(JobState.PLACED, source_objects=("Chair",), **maker))
    panel.settings().session_code = CODE
    assert made_from() == ""
    made.name = "Old Chair"
    object_metadata.of(made).source_of = next(iter(job_monitor.current().jobs))
    assert made_from() == ""
    table = scenes.mesh_object("Table")
    scenes.select(table)
    assert made_from() == "Old Chair"
    drawn = []
    submit_operators.draw_order(
        StrictLayout(drawn), submit.refine_order(bpy.context, job_monitor.current().jobs.values())
    )
    said = " ".join(texts(drawn))
    assert "Old Chair" in said
    assert "Table" in said
    assert ops.csm_refine.refine() == {"FINISHED"}


def made_from() -> str:
    job_monitor.current().refresh()
    return submit.refine_order(bpy.context, job_monitor.current().jobs.values()).made_from


def test_the_confirmation_shows_what_will_be_sent(home):
    """Code, box, pivot and service stand in the question, and that it may cost; the local service costs nothing."""
    wedge()
    panel.settings().session_code = CODE
    order = submit.refine_order(bpy.context, [])
    assert order.may_charge
    drawn = []
    submit_operators.draw_order(StrictLayout(drawn), order)
    shown = texts(drawn)
    assert {CODE, "1 × 3 × 2", "0, 0, 0", "CSM"} <= set(shown)
    assert any("may charge" in text for text in shown)
    panel.settings().service = "LOCAL"
    assert not submit.refine_order(bpy.context, []).may_charge


# --- the buttons' polls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrange", "sentence"),
    [
        (lambda: setattr(panel.settings(), "session_code", ""), "No session code was given"),
        (no_key, "There is no API key"),
        (offline, "online access is off"),
        (service("http://example.com"), "plain http"),
    ],
)
def test_the_disabled_button_says_why_and_what_to_do(home, arrange, sentence):
    """In the sidebar, Refine is disabled with the reason and the cure as its tooltip."""
    wedge()
    panel.settings().session_code = CODE
    with panel.on_button():
        assert ops.csm_refine.refine.poll()
        arrange()
        assert not ops.csm_refine.refine.poll()
        with pytest.raises(RuntimeError, match=sentence):
            ops.csm_refine.refine()


def test_the_new_session_button_needs_a_selection(home):
    """Without a selection there is nothing to make a session of."""
    panel.settings().service = "LOCAL"
    scenes.select()
    with panel.on_button():
        assert not ops.csm_refine.create_session.poll()


def test_placing_buttons_need_object_mode(home):
    """Nobody is thrown out of Edit Mode by a button."""
    wedge()
    assert ops.csm_refine.place.poll()
    bpy.ops.object.mode_set(mode="EDIT")
    assert not ops.csm_refine.place.poll()
    assert not ops.csm_refine.fit.poll()
    assert not ops.csm_refine.import_here.poll()


# --- jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.PREPARED, JobState.RUNNING, JobState.UNCERTAIN, JobState.PREPARING])
def test_stop_works_at_once(home, state):
    """*Stop following* ends the following in every state, and what runs at the service is said to run on."""
    (job,) = write_down(home, panel.job(state))
    ops.csm_refine.stop(job=job.id)
    assert only_job(home).state is JobState.STOPPED


def test_retry_follows_on_without_sending_again(home):
    """A job that was sent is taken up where it was left."""
    (job,) = write_down(home, panel.job(JobState.STOPPED))
    ops.csm_refine.retry(job=job.id)
    assert only_job(home).state is JobState.RUNNING


def test_retry_asks_only_where_it_would_send_and_cost(home):
    """A failed refine is sent anew; what is followed on, or local, needs no yes."""
    failed = panel.job(JobState.FAILED)
    assert submit.needs_yes(failed)
    assert not submit.needs_yes(dataclasses.replace(failed, service=LOCAL))
    assert not submit.needs_yes(panel.job(JobState.STOPPED))
    (job,) = write_down(home, failed)
    ops.csm_refine.retry(job=job.id)
    assert only_job(home).state is JobState.PREPARED


def test_sending_again_is_only_for_what_is_unclear(home):
    """It is refused for any other job, and starts anew with nothing of the first submission."""
    unclear, failed = write_down(home, panel.job(JobState.UNCERTAIN), panel.job(JobState.FAILED))
    with pytest.raises(RuntimeError, match="cannot be done"):
        ops.csm_refine.send_again(job=failed.id)
    ops.csm_refine.send_again(job=unclear.id)
    again = job_monitor.current().jobs[unclear.id]
    assert (again.state, again.sent_at, again.baseline) == (JobState.PREPARED, None, None)


def test_remove_takes_a_job_off_the_list(home):
    """It is gone from journal and list; a job under way has to be stopped first."""
    running, placed = write_down(home, panel.job(JobState.RUNNING), panel.job(JobState.PLACED))
    with pytest.raises(RuntimeError, match="cannot be done"):
        ops.csm_refine.remove(job=running.id)
    ops.csm_refine.remove(job=placed.id)
    assert [job.id for job in jobs(home)] == [running.id]
    assert placed.id not in [row.name for row in bpy.context.window_manager.csm_refine.jobs]


def test_a_session_that_cannot_be_written_down_leaves_no_file(home):
    """Pressed while another process writes, it says so and leaves nothing; pressed again, there is one source."""
    wedge()
    with panel.locked(home):
        assert ops.csm_refine.create_session() == {"CANCELLED"}
    assert folders(home) == []
    assert ops.csm_refine.create_session() == {"FINISHED"}
    assert folders(home) == [only_job(home).id]


def test_a_source_that_cannot_be_written_leaves_no_folder(home):
    """Where nothing of the selection is visible, the folder of the job to come goes, too."""
    made = wedge()
    made.hide_set(True)
    with pytest.raises(errors.InputError, match="is hidden"):
        session_files.write(made)
    assert folders(home) == []


def folders(home) -> list[str]:
    return [path.name for path in (home / "jobs").glob("*")]


NOT_PREPARED = state_machine.job_error(errors.PrepareFailed("The background Blender ended.", "Retry."))


@pytest.mark.parametrize(
    ("job", "is_here", "loss"),
    [
        (panel.job(JobState.FAILED, mesh_path="/nowhere/mesh.glb", error=NOT_PREPARED), False, "is not placed"),
        (panel.job(JobState.READY), False, "is not placed"),
        (panel.job(JobState.STOPPED, mesh_path="/nowhere/mesh.glb"), False, "is not placed"),
        (panel.job(JobState.PLACED), False, "not in this file"),
        (panel.job(JobState.PLACED), True, ""),
        (panel.job(JobState.UNCERTAIN), False, "may have been sent"),
        (panel.job(JobState.STOPPED), False, "may have been sent"),
        (panel.job(JobState.STOPPED, sent_at=None), False, ""),
        (panel.job(JobState.FAILED), False, ""),
    ],
    ids=lambda value: str(value.state) if hasattr(value, "state") else None,
)
def test_what_is_lost_is_asked_for(job, is_here, loss):
    """Nobody loses what was paid for unasked: a mesh that stands nowhere, or a refine that may run."""
    found = job_text.loss(job, is_here=is_here)
    assert loss in found
    assert bool(found) == bool(loss)


def test_remove_knows_an_undone_placing(home, tmp_path):
    """What was placed and undone is asked for; what stands in the file is not."""
    job = placeable(home, tmp_path)
    bpy.ops.ed.undo_push(message="Before")
    ops.csm_refine.place("EXEC_DEFAULT", True, job=job.id)
    assert removal(job.id) == ""
    bpy.ops.ed.undo()
    assert "not in this file" in removal(job.id)


def removal(job_id: str) -> str:
    return result_operators.loss(job_monitor.current().jobs[job_id])


def test_without_an_id_it_is_the_selected_job(home):
    """A script that names no job means the selected one."""
    first, second = write_down(home, panel.job(JobState.RUNNING), panel.job(JobState.RUNNING))
    job_monitor.current().refresh()
    job_list.show(job_monitor.current().jobs, select=first.id)
    ops.csm_refine.stop()
    assert {job.id: job.state for job in jobs(home)} == {first.id: JobState.STOPPED, second.id: JobState.RUNNING}


def test_an_unknown_job_is_a_sentence(home):
    """An id that is not there changes nothing."""
    with pytest.raises(RuntimeError, match="no such job"):
        ops.csm_refine.stop(job="nothing")


def placeable(home, tmp_path, size=(2.0, 2.0, 2.0)):
    made = scenes.mesh_object("Result")
    path = tmp_path / "result.blend"
    bpy.data.libraries.write(str(path), {made}, fake_user=True)
    bpy.data.meshes.remove(made.data)
    placement = Placement((1.0, 2.0, 3.0), box=Box((0.0, 0.0, 0.0), size), object_name="Cube")
    (job,) = write_down(home, panel.job(JobState.READY, blend_path=str(path), placement=placement, window="elsewhere"))
    return job


def test_place_brings_any_result_into_this_file(home, tmp_path):
    """The button places a result of another window too, and measures it."""
    job = placeable(home, tmp_path)
    ops.csm_refine.place(job=job.id)
    placed = only_job(home)
    assert placed.state is JobState.PLACED
    assert placed.fit_error == pytest.approx(1.0 / 12**0.5, rel=1e-5)
    assert tuple(bpy.data.objects[placed.placed_object].location) == (1.0, 2.0, 3.0)


def test_the_result_of_a_result_is_not_named_twice():
    """Refining what was refined keeps the name short."""
    job = panel.job(JobState.READY, placement=Placement(object_name="Chair refined.001"))
    assert auto_place.result_name(job) == "Chair refined"


def test_fit_corrects_what_was_returned_in_another_size(home, tmp_path):
    """A cube of 1 comes to fill the box of 2 that was asked for; the new error is written down."""
    job = placeable(home, tmp_path)
    ops.csm_refine.place(job=job.id)
    ops.csm_refine.fit(job=job.id)
    fitted = only_job(home)
    assert tuple(bpy.data.objects[fitted.placed_object].dimensions) == pytest.approx((2.0, 2.0, 2.0), rel=1e-6)
    assert fitted.fit_error < 1e-6


def test_place_while_another_process_writes(home, tmp_path):
    """The object stands, so the operator has finished: one undo takes it, and only it, back; the note follows."""
    job = placeable(home, tmp_path)
    bpy.ops.ed.undo_push(message="Before")
    before = set(bpy.data.objects.keys())
    with panel.locked_by_the_next_change(home):
        assert ops.csm_refine.place("EXEC_DEFAULT", True, job=job.id) == {"FINISHED"}
        once = set(bpy.data.objects.keys())
        assert job_monitor.current().jobs[job.id].state is JobState.PLACED
        assert ops.csm_refine.place(job=job.id) == {"CANCELLED"}
        assert set(bpy.data.objects.keys()) == once == before | {"Cube refined"}
    bpy.ops.ed.undo()
    assert set(bpy.data.objects.keys()) == before
    turn()
    assert only_job(home).state is JobState.PLACED


def test_fit_while_another_process_writes(home, tmp_path):
    """What was fitted is fitted: the operator has finished, and the new error is written down by a later turn."""
    job = placeable(home, tmp_path)
    ops.csm_refine.place(job=job.id)
    with panel.locked_by_the_next_change(home):
        assert ops.csm_refine.fit(job=job.id) == {"FINISHED"}
        assert job_monitor.current().jobs[job.id].fit_error < 1e-6
    assert only_job(home).fit_error > 0.1
    turn()
    assert only_job(home).fit_error < 1e-6


def test_fit_of_a_deleted_object_is_a_sentence(home, tmp_path):
    """What was placed may have been deleted since."""
    job = placeable(home, tmp_path)
    ops.csm_refine.place(job=job.id)
    bpy.data.objects.remove(bpy.data.objects[only_job(home).placed_object])
    with pytest.raises(RuntimeError, match="not in this file any more"):
        ops.csm_refine.fit(job=job.id)


def test_a_selected_row_is_the_one_whose_details_are_shown(home):
    """A click on a row's second line selects it too."""
    first, _second = write_down(home, panel.job(created_at=1.0), panel.job(created_at=2.0))
    job_monitor.current().refresh()
    ops.csm_refine.select(job=first.id)
    assert job_list.selected_id() == first.id


def test_every_operator_has_a_description():
    """Each button's tooltip says what it does."""
    for name in dir(ops.csm_refine):
        described = getattr(ops.csm_refine, name).get_rna_type()
        assert described.description.strip(), name
        assert not described.description.endswith("."), name


# --- a whole job ------------------------------------------------------------------------------------------------------


def test_a_script_refines_the_selection_in_two_lines(tmp_path):
    """New session, wait: the mesh comes back into the box of the source, in a process without a window."""
    script = (
        "import os, sys, bpy\n"
        "bpy.ops.preferences.addon_enable(module='csm_refine_addon')\n"
        "bpy.context.object.rotation_euler = (0.3, 0.2, 0.1)\n"
        "bpy.ops.csm_refine.create_session()\n"
        "bpy.ops.csm_refine.wait()\n"
        "monitor = __import__('csm_refine_addon.blender.jobs.job_monitor', fromlist=['x'])\n"
        "job = next(iter(monitor.current().jobs.values()))\n"
        "print('RESULT', job.state, job.fit_error < 1e-5, job.placed_object in bpy.data.objects, flush=True)\n"
        "bpy.ops.preferences.addon_disable(module='csm_refine_addon')\n"
        "os._exit(0)\n"
    )
    environment = {**os.environ, "CSM_REFINE_HOME": str(tmp_path / "script")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "RESULT PLACED True True" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("ending", ["glb", "blend"])
def test_import_here_places_what_could_not_be_prepared(home, tmp_path, ending):
    """A mesh that the background Blender failed on comes into the box with Blender's own importer, as one undo step."""
    mesh = tmp_path / f"mesh.{ending}"
    if ending == "glb":
        mesh.write_bytes(sample_meshes.glb())
    else:
        mesh_io.export_mesh(scenes.mesh_object("Other"), mesh)
    failed = state_machine.failed(
        panel.job(JobState.PREPARING), errors.PrepareFailed("It crashed.", "Import it here."), 0.0
    )
    box = Box((0.1, 0.2, 0.3), (4.0, 2.0, 1.0))
    placement = dataclasses.replace(failed.placement, box=box)
    (job,) = write_down(home, dataclasses.replace(failed, mesh_path=str(mesh), placement=placement))
    assert ops.csm_refine.import_here(job=job.id) == {"FINISHED"}
    placed = only_job(home)
    assert placed.state is JobState.PLACED
    assert placed.fit_error < 1e-5
    assert tuple(bpy.data.objects[placed.placed_object].dimensions) == pytest.approx(box.size, rel=1e-5)
