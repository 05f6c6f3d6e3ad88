"""How the local service is to refine, from the panel to the job."""

from __future__ import annotations

import dataclasses

import bpy
import pytest

from csm_refine_addon.blender import local_options, preferences
from csm_refine_addon.blender.jobs import job_list, job_monitor
from csm_refine_addon.blender.ui.operators import resend
from csm_refine_addon.blender.ui.panels.job_panel import CSM_PT_jobs
from csm_refine_addon.blender.ui.panels.local_panel import CSM_PT_local
from csm_refine_addon.core.models import CSM_BASE_URL, LOCAL, JobState, LocalSettings, RefineRequest
from tests.support import panel, scenes
from tests.support.panel import CODE, KEY
from tests.support.strict_layout import draw, operators

ALL = LocalSettings("quads", "7000", 2048, "auto", preserve_aspect_ratio=True, drop_parts_below=0.02)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        monkeypatch.setenv("CSM_API_KEY", KEY)
        scenes.select(scenes.mesh_object())
        panel.settings().session_code = CODE
        preferences.choose_service("LOCAL")
        yield tmp_path / "home"


def made():
    """The job that a click on Refine writes down."""
    assert bpy.ops.csm_refine.refine() == {"FINISHED"}
    job_monitor.current().refresh()
    return max(job_monitor.current().jobs.values(), key=lambda job: job.revision)


def shown_properties() -> list[str]:
    return [str(entry.arguments["property"]) for entry in draw(CSM_PT_local) if entry.what == "prop"]


def test_it_is_shown_for_the_local_service_only():
    """The sub-panel is there while the local service is chosen; what only a new topology uses is shown with one."""
    assert CSM_PT_local.poll(bpy.context)
    assert shown_properties() == ["topology", "keep_aspect"]
    panel.settings().local.topology = "TRIS"
    assert shown_properties() == ["topology", "detail", "texture_size", "symmetry", "drop_parts", "keep_aspect"]
    panel.settings().local.detail = "TYPED"
    assert "faces" in shown_properties()
    preferences.choose_service("CSM")
    assert not CSM_PT_local.poll(bpy.context)


def test_what_is_chosen_goes_with_the_job():
    """A refine on the local service asks for what the panel says; as the panel is at first, it asks for nothing."""
    kept = panel.settings().local
    assert local_options.settings_for(LOCAL, kept) is None
    kept.topology, kept.detail, kept.faces, kept.texture_size = "QUADS", "TYPED", 7000, 2048
    kept.symmetry, kept.keep_aspect, kept.drop_parts = "AUTO", True, 2.0
    assert made().request.local == ALL


def test_another_service_gets_nothing_of_it():
    """With another service chosen, the same settings ask for nothing that it does not know."""
    panel.settings().local.topology = "QUADS"
    assert local_options.settings_for(CSM_BASE_URL, panel.settings().local) is None
    preferences.choose_service("CSM")
    panel.allow_online(allowed=True)
    assert made().request.local is None


@pytest.mark.parametrize("asked", [ALL, LocalSettings("tris", "low", drop_parts_below=0.0), None])
def test_a_jobs_settings_can_be_taken_again(asked):
    """Use Settings brings back what the job asked for, whatever the panel said meanwhile."""
    settings = panel.settings()
    settings.local.topology, settings.local.symmetry, settings.local.texture_size = "TRIS", "ON", 4096
    job = dataclasses.replace(panel.job(), service=LOCAL, request=RefineRequest(CODE, local=asked))
    resend.fill(settings, job)
    found = local_options.settings_for(LOCAL, settings.local)
    if asked is None:
        assert found is None
    else:
        assert (found.topology, found.faces, found.drop_parts_below) == (
            asked.topology,
            asked.faces,
            asked.drop_parts_below,
        )
        assert found.texture_resolution == (asked.texture_resolution or 1024)
        assert found.symmetry == (asked.symmetry or "off")


def test_a_jobs_picture_is_shown_with_it(home):
    """The selected job's picture stands with its result, and a button opens it; a job without one shows neither."""
    folder = home / "jobs" / "one"
    folder.mkdir(parents=True)
    with panel.journal(home) as journal:
        journal.add(panel.job(JobState.READY, picture_path=str(folder / "picture.png")))
    job_monitor.current().refresh()
    job_list.show(job_monitor.current().jobs)
    entries = draw(CSM_PT_jobs)
    assert "csm_refine.open_picture" in operators(entries)
    assert sum(entry.what == "template_icon" for entry in entries) == 1
    with pytest.raises(RuntimeError, match="is gone"):
        bpy.ops.csm_refine.open_picture()
