"""A result whose files are on another machine is offered again and fetched without a refine."""

from __future__ import annotations

import bpy
import pytest
from mathutils import Euler, Matrix

from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.blender.scene import object_metadata, refetch
from csm_refine_addon.blender.ui.panels.result_panel import CSM_PT_fetch
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.state_machine import Step
from csm_refine_addon.core.models import CSM_BASE_URL, LOCAL, Box, JobState, Placement
from tests.support import panel, scenes
from tests.support.panel import CODE, KEY
from tests.support.strict_layout import draw, operators, texts

MATRIX = Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), (1, 1, 1))
BOX = Box((0.0, 0.0, 1.5), (1.0, 2.0, 3.0))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        panel.allow_online(allowed=True)
        monkeypatch.setenv("CSM_API_KEY", KEY)
        yield tmp_path / "home"


def result(service=CSM_BASE_URL, box=BOX, matrix=MATRIX):
    """A result that another machine has placed, in the file that was opened here."""
    made = scenes.mesh_object("Chair refined", matrix=matrix)
    object_metadata.mark_result(
        made, panel.job(JobState.PLACED, id="elsewhere", service=service, placement=Placement(box=box))
    )
    scenes.select(made)
    return made


def jobs():
    return list(job_monitor.current().jobs.values())


def offered() -> bool:
    job_monitor.current().refresh()
    while job_monitor.tick() == job_monitor.AT_ONCE_S:
        pass
    return CSM_PT_fetch.poll(bpy.context)


def test_it_is_offered_where_the_journal_knows_nothing():
    """The active object is a result, and no job of this machine has its files: the panel says so and has the button."""
    result()
    job_monitor.current().press()
    assert offered()
    drawn = draw(CSM_PT_fetch)
    assert operators(drawn) == ["csm_refine.fetch_again"]
    assert CODE in " ".join(texts(drawn))


def test_nothing_is_offered_before_the_journal_was_read():
    """A panel that vanishes at once would make the others jump."""
    result()
    assert not CSM_PT_fetch.poll(bpy.context)


@pytest.mark.parametrize("state", [JobState.PLACED, JobState.READY, JobState.RUNNING])
def test_it_is_not_offered_where_the_result_is_or_comes(home, state):
    """A job of this session with its files, or under way, is enough."""
    result()
    job_monitor.current().add(panel.job(state))
    assert not offered()


def test_it_is_offered_after_a_failure():
    """A job that failed has no files."""
    result()
    job_monitor.current().add(panel.job(JobState.FAILED))
    assert offered()


def test_other_objects_are_no_results():
    """Nothing active, or an object of the user's own: no offer, and the operator says why."""
    scenes.select(scenes.mesh_object())
    job_monitor.current().press()
    assert not offered()
    with pytest.raises(RuntimeError, match="no result"):
        bpy.ops.csm_refine.fetch_again()
    bpy.context.view_layer.objects.active = None
    assert not offered()
    assert not bpy.ops.csm_refine.fetch_again.poll()


def test_the_job_sends_nothing_and_knows_the_place():
    """One job that reads and never posts; its result goes where the object stands, into the box that was asked for."""
    made = result()
    assert bpy.ops.csm_refine.fetch_again() == {"FINISHED"}
    (job,) = jobs()
    assert (job.fetch_only, job.state, state_machine.next_step(job)) == (True, JobState.PREPARED, Step.FETCH)
    assert (job.request.session_code, job.service, job.window) == (CODE, CSM_BASE_URL, job_monitor.current().window)
    assert (job.request.scaled_bbox, job.request.pivot_point) == (None, None)
    assert (job.placement.box, job.placement.object_name) == (BOX, "Chair refined")
    assert job.placement.origin == tuple(made.matrix_world.translation)
    assert object_metadata.of(made).source_of == job.id


def test_a_scaled_object_scales_the_box():
    """What the user has done to the object since is done to its box."""
    result(matrix=Matrix.LocRotScale((1, 2, 3), None, (2, 3, 4)))
    bpy.ops.csm_refine.fetch_again()
    assert jobs()[0].placement.box == Box((0.0, 0.0, 6.0), (2.0, 6.0, 12.0))


def test_without_a_box_none_is_made_up():
    """A result whose size the service chose comes back in that size."""
    result(box=None)
    bpy.ops.csm_refine.fetch_again()
    assert jobs()[0].placement.box is None


def test_a_file_does_not_choose_who_gets_the_key():
    """The object names another service than the one in use: a sentence, no job, and no button to press."""
    made = result(service="https://evil.example")
    assert "not the service in use" in str(refetch.obstacle(made))
    with pytest.raises(RuntimeError, match=r"evil\.example"):
        bpy.ops.csm_refine.fetch_again()
    assert jobs() == []
    panel.settings().service_url = "https://evil.example"
    assert bpy.ops.csm_refine.fetch_again() == {"FINISHED"}


def test_a_local_result_needs_neither_key_nor_network(monkeypatch):
    """The local service is asked offline."""
    monkeypatch.delenv("CSM_API_KEY")
    panel.allow_online(allowed=False)
    panel.settings().service = "LOCAL"
    result(service=LOCAL)
    assert bpy.ops.csm_refine.fetch_again() == {"FINISHED"}


def test_a_missing_key_is_said(monkeypatch):
    """Before anything is asked of a service, its key has to be there."""
    monkeypatch.delenv("CSM_API_KEY")
    result()
    with pytest.raises(RuntimeError, match="no API key"):
        bpy.ops.csm_refine.fetch_again()


def test_a_second_press_does_not_fetch_twice():
    """While it is being fetched, the same session is not fetched again."""
    result()
    bpy.ops.csm_refine.fetch_again()
    with pytest.raises(RuntimeError):
        bpy.ops.csm_refine.fetch_again()
    assert len(jobs()) == 1


def test_retry_of_a_fetch_asks_for_no_money():
    """A fetch that failed before it was read is retried without the question that a refine needs."""
    from csm_refine_addon.blender.jobs import submit

    made = panel.job(JobState.FAILED, fetch_only=True, accepted_at=None, sent_at=None)
    assert state_machine.retry_state(made) is JobState.PREPARED
    assert not submit.needs_yes(made)
