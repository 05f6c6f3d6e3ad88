from __future__ import annotations

import dataclasses

import bpy
import pytest

from csm_refine_addon.blender.geometry import selection_bounds
from csm_refine_addon.blender.jobs import job_list, job_monitor
from csm_refine_addon.blender.ui import panels
from csm_refine_addon.blender.ui.panels import layouts
from csm_refine_addon.blender.ui.panels.job_panel import CSM_UL_jobs
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import LOCAL, JobState, RemoteKind, RemoteStatus
from tests.support import panel, scenes
from tests.support.panel import CODE, KEY
from tests.support.strict_layout import StrictLayout, draw, operators, texts

PANELS = [kind for kind in panels.CLASSES if issubclass(kind, bpy.types.Panel)]
MAIN, BOUNDS, SEND, JOBS = "CSM_PT_refine", "CSM_PT_bounds", "CSM_PT_send", "CSM_PT_jobs"
DEEDS = {
    JobState.PREPARED: {"stop"},
    JobState.SUBMITTING: {"stop"},
    JobState.UNCERTAIN: {"stop", "retry", "send_again", "remove", "copy_error"},
    JobState.RUNNING: {"stop"},
    JobState.DOWNLOADING: {"stop"},
    JobState.PREPARING: {"stop", "open_folder"},
    JobState.READY: {"stop", "place", "open_folder", "remove"},
    JobState.PLACED: {"place", "fit", "open_folder", "remove"},
    JobState.FAILED: {"retry", "remove", "copy_error"},
    JobState.STOPPED: {"retry", "remove"},
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


def show(home, *jobs):
    """Write jobs down and make the panel know them; the last one made is selected."""
    with panel.journal(home) as journal:
        for job in jobs:
            journal.add(job, again=True)
    job_monitor.current().refresh()
    job_list.show(job_monitor.current().jobs)


def drawn(name: str):
    return draw(next(kind for kind in PANELS if kind.__name__ == name))


def said(name: str) -> str:
    """The panel's labels as one text, because a sentence is spread over several lines."""
    return " ".join(texts(drawn(name)))


def is_red(name: str) -> bool:
    return any(entry.what == "set" and entry.arguments.get("alert") for entry in drawn(name))


def buttons(name: str) -> set[str]:
    return {operator.removeprefix("csm_refine.") for operator in operators(drawn(name))}


def shown_properties(name: str) -> list[str]:
    return [str(entry.arguments["property"]) for entry in drawn(name) if entry.what == "prop"]


def measure():
    """What the timer does for a panel that is looked at."""
    settings = panel.settings()
    choices = selection_bounds.AT_ONCE
    selection_bounds.mark_stale()
    selection_bounds.update(bpy.context, choices, settings.thickness, float("inf"))


def row_texts(job) -> list[str]:
    recorded = []
    row = next(row for row in bpy.context.window_manager.csm_refine.jobs if row.name == job.id)
    CSM_UL_jobs.draw_item(None, bpy.context, StrictLayout(recorded), None, row, 0, None, "active")
    return texts(recorded)


@pytest.mark.parametrize("state", list(JobState))
def test_each_state_draws_with_its_buttons(home, state):
    """A selected job shows its details, and just the buttons that make sense in its state."""
    show(home, panel.job(state))
    assert buttons(JOBS) - {"copy_code", "use_settings", "diagnostics"} == DEEDS[state]


@pytest.mark.parametrize("state", list(JobState))
def test_each_state_draws_as_a_row(home, state):
    """Every state has a row with an icon of this Blender, the code, and the object."""
    job = panel.job(state)
    show(home, job)
    assert row_texts(job)[:2] == ["1689256797_6037625", "Chair"] or row_texts(job)[2] == "Chair"


@pytest.mark.parametrize("kind", PANELS, ids=lambda kind: kind.__name__)
def test_each_panel_draws_before_anything_is_known(kind):
    """With no job, no key and no measure, every panel draws; and drawing opens no file."""
    assert draw(kind)
    assert job_monitor.current()._journal is None


def test_a_running_job_shows_the_services_own_word_percent_and_last_answer(home):
    """The service's word is shown as it is, even one that nobody knows; and how long ago it was said."""
    remote = RemoteStatus("warming_the_oven", RemoteKind.RUNNING)
    job = panel.job(JobState.RUNNING, remote=remote, answered_at=panel.job().created_at - 12)
    show(home, job)
    row = row_texts(job)
    assert "warming_the_oven" in row
    assert "12 s ago" in row
    assert "warming_the_oven" in said(JOBS)


@pytest.mark.parametrize(
    ("word", "step", "words"),
    [
        ("training_refine", ("quads", 2), "Finding quads, 2nd try"),
        ("training_refine", ("baking", 1), "Baking textures"),
        ("training_refine", ("queued", 1), "Queued"),
        ("training_refine", ("", 1), "Refining"),
        ("training_refine", ("a_step_of_a_newer_service", 1), "Refining"),
        ("preview_done", ("", 1), "Queued"),
    ],
)
def test_what_the_service_is_doing_is_in_plain_words(home, word, step, words):
    """A running job names its step and the service's known words in plain words; none of the raw ones is drawn."""
    kind = RemoteKind.REFINABLE if word == "preview_done" else RemoteKind.RUNNING
    show(home, panel.job(JobState.RUNNING, remote=RemoteStatus(word, kind, 42.0, *step)))
    assert words in said(JOBS)
    assert word not in said(JOBS)


def test_a_percent_is_a_bar(home):
    """Where the service tells how far it is, a bar shows it."""
    show(home, panel.job(JobState.RUNNING))
    bars = [entry.arguments for entry in drawn(JOBS) if entry.what == "progress"]
    assert [(bar["factor"], bar["text"]) for bar in bars] == [(0.42, "42 %")]


def test_an_error_is_there_in_full_with_its_cure(home):
    """Cause and cure stand in the panel, red, and can be copied whole."""
    error = errors.OutOfCredits("The account has no credits left.", "Buy credits, then retry.")
    show(home, panel.job(JobState.FAILED, error=state_machine.job_error(error)))
    assert "The account has no credits left. Buy credits, then retry." in said(JOBS)
    assert is_red(JOBS)


def test_an_unclear_outcome_is_no_error(home):
    """Red is for errors: a job that may have been sent only asks."""
    show(home, panel.job(JobState.UNCERTAIN))
    assert not is_red(JOBS)


def test_a_mesh_that_could_not_be_prepared_can_be_imported_here(home):
    """Only where the background Blender failed, its own importer is offered."""
    error = state_machine.job_error(errors.PrepareFailed("The background Blender ended.", "Retry."))
    show(home, panel.job(JobState.FAILED, error=error, mesh_path="/nowhere/mesh.glb"))
    assert "import_here" in buttons(JOBS)


def test_a_job_that_waits_says_for_what(home):
    """A job under way that has no key says so, instead of standing still without a word."""
    show(home, panel.job(JobState.RUNNING))
    assert "It waits: There is no API key." in said(JOBS)


def test_a_job_that_waits_for_the_network_says_so(home):
    """What the worker writes down about trouble is shown."""
    show(home, panel.job(JobState.RUNNING, trouble="Blender's online access is off."))
    assert "Blender's online access is off." in said(JOBS)


def test_the_newest_job_stands_first_and_the_selected_one_stays_selected(home):
    """A job from elsewhere does not take the place of the one that is looked at."""
    old = panel.job(created_at=1.0)
    show(home, old)
    new = panel.job(created_at=2.0)
    show(home, new)
    assert [row.name for row in bpy.context.window_manager.csm_refine.jobs] == [new.id, old.id]
    assert job_list.selected_id() == old.id


@pytest.mark.parametrize(
    ("typed", "sentence", "red"),
    [
        ("", "", False),
        (CODE, "", False),
        (f"https://api.csm.ai/image-to-3d-sessions/{CODE}", "", False),
        ("hello", "There is no session code in this text.", True),
        ("SESSION-12", "The session code has an odd form.", True),
        (f"{CODE} SESSION_1_2", "There are several session codes in this text.", True),
    ],
)
def test_what_is_wrong_with_the_code_is_said_under_it(typed, sentence, red):
    """An empty field is no error; a wrong code is named as soon as it is typed; a URL has one."""
    panel.settings().service = "LOCAL"
    panel.settings().session_code = typed
    assert sentence in said(MAIN)
    assert is_red(MAIN) == red


def test_first_use_offers_the_local_service():
    """Without a key, one click away is the service that needs none."""
    assert {"use_local", "open_preferences"} <= buttons(MAIN)
    bpy.ops.csm_refine.use_local()
    assert "use_local" not in buttons(MAIN)
    assert panel.settings().service == "LOCAL"


@pytest.mark.parametrize(("variable", "preference", "state"), [(KEY, "", "Environment"), (None, KEY, "Preferences")])
def test_the_key_state_is_shown_and_never_the_key(monkeypatch, variable, preference, state):
    """Where the key comes from is shown; the key is in no text of any panel."""
    if variable:
        monkeypatch.setenv("CSM_API_KEY", variable)
    panel.preferences().api_key = preference
    assert state in texts(drawn(MAIN))
    assert not any(KEY in text for kind in PANELS for text in texts(draw(kind)))


def test_blender_offline_is_said_with_a_way_out():
    """Offline, the vendor's service says so and opens the right preferences; a loopback service does not care."""
    panel.allow_online(allowed=False)
    panel.preferences().api_key = KEY
    assert "Blender's online access is off." in said(MAIN)
    assert "screen.userpref_show" in operators(drawn(MAIN))
    panel.settings().service_url = "http://127.0.0.1:8787"
    assert "online" not in said(MAIN)


def test_a_wrong_address_is_said_under_it():
    """Plain http to another machine is refused with the reason."""
    panel.preferences().api_key = KEY
    panel.settings().service_url = "http://example.com"
    assert "plain http" in said(MAIN)
    assert is_red(MAIN)


def test_the_readout_says_what_will_be_sent():
    """Width, height and depth stand next to Blender's X, Z and Y; the pivot is the origin's place in the box."""
    wedge = scenes.mesh_object()
    wedge.scale = (1.0, 2.0, 3.0)
    scenes.select(wedge)
    measure()
    assert texts(drawn(SEND))[2:10] == ["Width (X)", "1 m", "Height (Z)", "3 m", "Depth (Y)", "2 m", "Pivot", "0, 0, 0"]


def test_nothing_selected_is_a_hint():
    """No selection is no error, but a sentence with the cure."""
    scenes.select()
    measure()
    assert "Nothing is selected." in said(SEND)
    assert not is_red(SEND)


def test_a_flat_object_asks_for_a_thickness():
    """A flat object says what is missing, and the field for it is there."""
    flat = scenes.mesh_object(points=[(0, 0, 0), (1, 0, 0), (1, 1, 0)], faces=[(0, 1, 2)])
    scenes.select(flat)
    measure()
    assert "is flat" in said(SEND)
    assert "thickness" in shown_properties(BOUNDS)
    panel.settings().thickness = 0.5
    measure()
    assert "0.5 m" in texts(drawn(SEND))


def test_an_origin_outside_the_box_is_explained():
    """What is sent differs from where the origin is: the panel says so before it is sent."""
    far = scenes.mesh_object(points=[(x + 5, y, z) for x, y, z in scenes.WEDGE])
    scenes.select(far)
    measure()
    assert "The origin lies outside the bounds" in said(SEND)


def test_typing_starts_from_the_object():
    """Choosing *Typed In* keeps the values that were shown."""
    wedge = scenes.mesh_object(points=[(x, y, z + 0.25) for x, y, z in scenes.WEDGE])
    wedge.scale = (1.0, 2.0, 3.0)
    scenes.select(wedge)
    measure()
    panel.settings().bounds_mode = "TYPED"
    panel.settings().pivot_mode = "TYPED"
    assert tuple(panel.settings().bbox) == pytest.approx((1.0, 3.0, 2.0))
    assert tuple(panel.settings().pivot) == pytest.approx((0.0, -0.25, 0.0))
    assert shown_properties(BOUNDS).count("bbox") == 3
    assert shown_properties(BOUNDS).count("pivot") == 3


def test_a_typed_box_of_zero_is_named():
    """A side of zero cannot be sent; the side is named."""
    panel.settings().bounds_mode = "TYPED"
    panel.settings().bbox = (1.0, 0.0, 1.0)
    assert "height is 0" in said(SEND)


def test_left_to_the_service_shows_no_numbers():
    """What is left out of the request is shown as left out."""
    panel.settings().bounds_mode = panel.settings().pivot_mode = "AUTO"
    assert texts(drawn(SEND)).count("Left to the service") == 2


def test_one_button_is_large_and_it_is_the_next_step():
    """With a code it is Refine; on the local service without a code it is the new session."""

    def first_button():
        return operators(drawn(SEND))[0]

    assert first_button() == "csm_refine.refine"
    panel.settings().service = "LOCAL"
    assert first_button() == "csm_refine.create_session"
    panel.settings().session_code = CODE
    assert first_button() == "csm_refine.refine"
    large = [entry for entry in drawn(SEND) if entry.what == "set" and entry.arguments.get("scale_y") == 1.5]
    assert len(large) == 1


def test_a_new_session_belongs_to_the_local_service():
    """The vendor's API has no way to bring a mesh, so the button is not there."""
    assert buttons(SEND) == {"refine"}


def test_a_job_of_the_local_service_without_a_code_draws(home):
    """Between the click and the session there is a job without a code."""
    job = panel.job(service=LOCAL, source_blend="/nowhere/source.blend")
    show(home, dataclasses.replace(job, request=dataclasses.replace(job.request, session_code="")))
    assert "New session" in row_texts(job)
    assert "copy_code" not in buttons(JOBS)


def test_no_line_is_wider_than_the_sidebar():
    """A long sentence is broken into lines that fit, and so is a path without a space."""
    import blf

    text = "The folder cannot be written: " + "/very/long/path" * 20
    lines = layouts.wrapped(bpy.context, text)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(blf.dimensions(0, line)[0] <= layouts.room_of(bpy.context) for line in lines)


def test_the_list_is_not_saved_with_the_file(home, tmp_path):
    """The rows are gone while a file is written, and back afterwards with the same one selected."""
    first, second = panel.job(created_at=1.0), panel.job(created_at=2.0)
    show(home, first, second)
    bpy.context.window_manager.csm_refine.active = 1
    rows_while_saving = []
    note = lambda *_: rows_while_saving.extend(bpy.context.window_manager.csm_refine.jobs)  # noqa: E731
    bpy.app.handlers.save_pre.append(note)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "file.blend"), copy=True)
    finally:
        bpy.app.handlers.save_pre.remove(note)
    assert rows_while_saving == []
    assert job_list.selected_id() == first.id


def test_several_selected_objects_have_refine_each_first(home):
    """With more than one object selected, each for itself is the large button; with one, it is not there."""
    panel.settings().service = "LOCAL"
    made = [scenes.mesh_object(), scenes.mesh_object()]
    for selected, code, expected in [
        (made, "", ["refine_each", "create_session", "refine"]),
        (made, CODE, ["refine_each", "refine", "create_session"]),
        (made[:1], "", ["create_session", "refine"]),
        (made[:1], CODE, ["refine", "create_session"]),
    ]:
        scenes.select(*selected)
        panel.settings().session_code = code
        assert operators(drawn("CSM_PT_send")) == [f"csm_refine.{name}" for name in expected]
