"""A result at a glance in the job's details, the toggle, what is gone; and a past job's settings in the panel again."""

from __future__ import annotations

import dataclasses

import bpy
import pytest

from csm_refine_addon.blender.geometry import units
from csm_refine_addon.blender.jobs import job_list, job_monitor, job_text
from csm_refine_addon.blender.scene import object_metadata
from csm_refine_addon.blender.ui import panels
from csm_refine_addon.blender.ui.panels import result_panel
from csm_refine_addon.core.models import LOCAL, Box, JobState, MeshCounts, MeshReport, Placement, RefineRequest, Texture
from tests.support import panel, scenes
from tests.support.panel import CODE
from tests.support.strict_layout import draw, operators, texts

JOBS = next(kind for kind in panels.CLASSES if kind.__name__ == "CSM_PT_jobs")
COUNTS = MeshCounts(1234567, 0, 0, 650000, open_edges=0, non_manifold_edges=0, pieces=1, uv_islands=1)
GOOD = MeshReport(
    1234567, 650000, 2, (f"{CODE} albedo", f"{CODE} normal"), Box((0, 0, 0), (1, 2, 3)), 1000,
    images=(Texture(f"{CODE} albedo", 2048, 1024), Texture(f"{CODE} normal", 512, 512)), counts=COUNTS, has_uv=True,
    size=(1.0, 2.0, 3.0), difference=1e-9,
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


def added(state=JobState.PLACED, report=GOOD, **changes):
    return job_monitor.current().add(panel.job(state, report=report, window=job_monitor.current().window, **changes))


def look_up():
    object_metadata.forget()
    object_metadata.update(job_monitor.current().jobs.values(), 0.0)


def drawn():
    job_list.show(job_monitor.current().jobs)
    return draw(JOBS)


def said() -> str:
    return " ".join(texts(drawn()))


def warned() -> list[str]:
    return [str(entry.arguments["text"]) for entry in drawn() if entry.arguments.get("icon") == "ERROR"]


def test_a_result_at_a_glance():
    """Triangles, materials, textures with their pixels, watertight, size in the scene's units, what came back."""
    added()
    found = said()
    for words in (
        *("1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567", "Watertight Yes", "1 × 2 × 3 m", "Materials 2"),
        *("Textures 2", "albedo 2048 × 1024 px", "normal 512 × 512 px", "Came back As asked for"),
    ):
        assert words in found
    assert warned() == []


def test_faces_are_counted_by_their_sides():
    """What was measured of the object in the scene goes before what was prepared; what is not there is left out."""
    stands = MeshCounts(4, 300, 2, 310, open_edges=6, non_manifold_edges=1, pieces=3, uv_islands=7)
    added(placed_counts=stands)
    found = said()
    for words in ("Quads 300", "Triangles 4", "N-gons 2", "Vertices 310", "Open edges 6", "Non-manifold edges 1"):
        assert words in found
    assert "Pieces 3 UV islands 7 Watertight No" in found
    assert "1\N{NARROW NO-BREAK SPACE}234" not in found


def test_less_than_was_refined_has_a_warning_sign_in_the_list_and_a_sentence():
    """The object stays placed; its row has a warning sign instead of the tick, and the details say what is less."""
    added(placed_counts=COUNTS, reported_counts=dataclasses.replace(COUNTS, quads=12))
    (text,) = warned()
    assert text.startswith("The placed mesh has 0 quads")
    (job,) = job_monitor.current().jobs.values()
    assert job_text.icon(job) == "ERROR"
    assert job_text.icon(dataclasses.replace(job, reported_counts=COUNTS)) == "CHECKBOX_HLT"


def test_what_is_off_has_a_warning_sign_and_is_not_red():
    """A warning is no error: a sign, and no red."""
    added(report=dataclasses.replace(GOOD, difference=0.25))
    assert "25 % off its box" in said()
    (text, *_) = warned()
    assert text.startswith("The mesh came back")
    assert not any(entry.what == "set" and entry.arguments.get("alert") for entry in drawn())


def test_an_open_surface_has_no_warning_sign():
    """Open surfaces are only told."""
    added(report=dataclasses.replace(GOOD, counts=dataclasses.replace(COUNTS, open_edges=12)))
    assert "Watertight No" in said()
    assert "12 edges" in said()
    assert warned() == []


def test_many_textures_do_not_fill_the_panel():
    """The first ones are named, the rest is counted."""
    images = tuple(Texture(f"t{number}", 8, 8) for number in range(result_panel.MOST_TEXTURES + 3))
    added(report=dataclasses.replace(GOOD, images=images, textures=tuple(image.name for image in images)))
    assert "and 3 more" in said()


def test_a_report_of_an_older_version_draws():
    """What was not measured then is left out."""
    added(report=panel.REPORT)
    found = said()
    assert "Watertight" not in found
    assert "Textures 1" in found


@pytest.mark.parametrize(
    ("system", "unit", "scale", "expected"),
    [
        ("METRIC", "METERS", 1.0, "0.5 × 1.25 × 2 m"),
        ("METRIC", "CENTIMETERS", 1.0, "50 × 125 × 200 cm"),
        ("METRIC", "ADAPTIVE", 0.001, "0.5 × 1.25 × 2 mm"),
        ("METRIC", "ADAPTIVE", 1000.0, "0.5 × 1.25 × 2 km"),
        ("IMPERIAL", "FEET", 0.3048, "0.5 × 1.25 × 2 ft"),
        ("IMPERIAL", "ADAPTIVE", 0.0254, "0.5 × 1.25 × 2 in"),
        ("NONE", None, 1.0, "0.5 × 1.25 × 2"),
    ],
)
def test_sizes_are_in_the_scenes_units(system, unit, scale, expected):
    """Unit system, length unit and unit scale are the scene's; adaptive takes what suits the longest side."""
    settings = bpy.context.scene.unit_settings
    settings.system, settings.scale_length = system, scale
    if unit:
        settings.length_unit = unit
    assert units.size_text(settings, (0.5, 1.25, 2.0)) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (1.0, "1"),
        (2.0508, "2.05"),
        (12.345, "12.3"),
        (100.0, "100"),
        (12345.6, "12346"),
    ],
)
def test_sizes_are_short(value, text):
    """Three of them have to fit into a line of the sidebar."""
    assert units.number(value) == text


# --- where it stands --------------------------------------------------------------------------------------------------


def chair_and_result(job):
    chair = scenes.mesh_object("Chair")
    result = scenes.mesh_object("Chair refined")
    object_metadata.mark_source(job)
    object_metadata.mark_result(result, job)
    look_up()
    return chair, result


def toggles() -> list[str]:
    return [entry.arguments["text"] for entry in drawn() if entry.arguments.get("operator") == "csm_refine.swap"]


def test_the_toggle_says_what_it_will_show():
    """One button: Show Source while the result is seen, Show Result while it is hidden; under new names too."""
    chair, result = chair_and_result(added())
    assert toggles() == ["Show Source"]
    result.hide_set(True)
    assert toggles() == ["Show Result"]
    chair.name, result.name = "Old", "Hero"
    look_up()
    assert toggles() == ["Show Result"]
    assert "Placed as Hero" in said()


def test_a_result_that_is_gone_is_said_with_its_way_back():
    """After an undo, or in another file: the job says that the result is not here, and offers to place it."""
    _, result = chair_and_result(added())
    assert "not in this file" not in said()
    bpy.data.objects.remove(result)
    look_up()
    assert "The result is not in this file" in said()
    assert "csm_refine.place" in operators(drawn())
    assert toggles() == []


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.READY, JobState.PLACED])
def test_a_source_that_is_gone_is_said_calmly(state):
    """The job of a deleted object says that it is placed where that stood; nothing is red."""
    chair, _ = chair_and_result(added(state))
    assert "source object" not in said()
    bpy.data.objects.remove(chair)
    look_up()
    assert "Its source object “Chair” is gone: the result is placed where that stood." in said()
    assert warned() == []


def test_another_files_source_is_not_missed():
    """A job that another file asked for has its source there."""
    job_monitor.current().add(panel.job(JobState.READY, report=GOOD, window="elsewhere", blend_file="other.blend"))
    look_up()
    assert "source object" not in said()


# --- settings again ---------------------------------------------------------------------------------------------------


def use(**changes):
    request = changes.pop("request", RefineRequest(CODE, (1.5, 2.5, 3.5), (0.25, -0.5, 0.125)))
    job = job_monitor.current().add(panel.job(JobState.PLACED, request=request, **changes))
    assert bpy.ops.csm_refine.use_settings(job=job.id) == {"FINISHED"}
    return panel.settings()


def test_a_past_job_fills_the_panel():
    """Code, box and pivot stand in the panel as they were sent, whatever is selected."""
    scenes.select(scenes.mesh_object())
    found = use()
    assert (found.session_code, found.bounds_mode, found.pivot_mode) == (CODE, "TYPED", "TYPED")
    assert tuple(found.bbox) == (1.5, 2.5, 3.5)
    assert tuple(found.pivot) == (0.25, -0.5, 0.125)


def test_what_was_left_to_the_service_is_left_to_it_again():
    """A job without box and pivot sends none the next time."""
    found = use(request=RefineRequest(CODE))
    assert (found.bounds_mode, found.pivot_mode) == ("AUTO", "AUTO")


@pytest.mark.parametrize(
    ("service", "choice"),
    [("https://api.csm.ai", "CSM"), (LOCAL, "LOCAL"), ("https://refine.example.com", "URL")],
)
def test_the_service_is_the_jobs(service, choice):
    """The service in use becomes the one that the job went to."""
    found = use(service=service, placement=Placement())
    assert found.service == choice
    if choice == "URL":
        assert found.service_url == service


def test_a_job_without_a_session_has_no_settings_to_take():
    """What has no code yet cannot be used again: a sentence."""
    job = job_monitor.current().add(panel.job(JobState.PREPARED, request=RefineRequest(""), source_blend="x"))
    with pytest.raises(RuntimeError, match="cannot be done"):
        bpy.ops.csm_refine.use_settings(job=job.id)
