from __future__ import annotations

import bpy
import pytest

from csm_refine_addon.blender import panels, pump, readout
from csm_refine_addon.blender.panels import layouts
from csm_refine_addon.core import errors, flow
from csm_refine_addon.core.models import LOCAL, JobState, RemoteKind, RemoteStatus
from tests.support import panel, scenes
from tests.support.panel import CODE, KEY
from tests.support.strict_layout import draw, operators, texts

PANELS = [kind for kind in panels.CLASSES if issubclass(kind, bpy.types.Panel)]
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


@pytest.fixture
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


def show(home, *jobs):
    """Write jobs down and make the panel know them."""
    with panel.journal(home) as journal:
        for job in jobs:
            journal.add(job)
    pump.current().refresh()
    from csm_refine_addon.blender import job_rows

    job_rows.show(pump.current().jobs)


def drawn(name: str):
    return draw(getattr(bpy.types, name))


def all_texts() -> str:
    return "\n".join(text for kind in PANELS for text in texts(draw(kind)))


def said(name: str) -> str:
    """The panel's labels as one text, because a sentence is spread over several lines."""
    return " ".join(texts(drawn(name)))


def is_red(name: str) -> bool:
    return any(entry.what == "set" and entry.arguments.get("alert") for entry in drawn(name))


def measure():
    """What the timer does for a panel that is looked at."""
    readout.update(bpy.context, readout.AT_ONCE, panel.settings().thickness, 0.0)


@pytest.mark.parametrize("state", list(JobState))
def test_each_state_draws_with_its_buttons(home, state):
    """A selected job shows its details, and just the buttons that make sense in its state."""
    show(home, panel.job(state))
    found = {name.removeprefix("csm_refine.") for name in operators(drawn("CSM_PT_jobs"))}
    assert found - {"copy_code"} == DEEDS[state]


@pytest.mark.parametrize("state", list(JobState))
def test_each_state_draws_as_a_row(home, state):
    """Every state has a row with an icon of this Blender; a job made of nothing but an id draws too."""
    show(home, panel.job(state))
    row = bpy.context.window_manager.csm_refine.jobs[0]

    class Row(bpy.types.CSM_UL_jobs if hasattr(bpy.types, "CSM_UL_jobs") else object):
        pass

    from csm_refine_addon.blender.panels.jobs import CSM_UL_jobs
    from tests.support.strict_layout import StrictLayout

    recorded = []
    CSM_UL_jobs.draw_item(None, bpy.context, StrictLayout(recorded), None, row, 0, None, "active")
    assert any("1689256797" in text for text in texts(recorded))
