"""The bundle for a bug report in Blender: what is shown is what is written, and no key is in it."""

from __future__ import annotations

import zipfile

import bpy
import pytest

from csm_refine_addon.blender import preferences
from csm_refine_addon.blender.jobs import diagnostics_report, job_monitor
from csm_refine_addon.blender.ui.operators import diagnostics_operators as operators
from csm_refine_addon.core.models import JobState
from tests.support import panel
from tests.support.panel import CODE, KEY
from tests.support.strict_layout import StrictLayout, operators as ids, texts

PREFERRED = "another-key-of-an-odd-form"
LOCAL_KEY = "l0cal-service-key"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        monkeypatch.setenv("CSM_API_KEY", KEY)
        panel.preferences().api_key = PREFERRED
        (tmp_path / "home" / "service").mkdir(parents=True)
        (tmp_path / "home" / "service" / "key").write_text(f"{LOCAL_KEY}\n")
        (tmp_path / "home" / "worker.log").write_text(f"{KEY} {PREFERRED} {LOCAL_KEY} were used\n")
        yield tmp_path / "home"


def text_of(parts) -> str:
    return "\n".join(part.text for part in parts)


def test_settings_and_versions_without_keys(home):
    """Every preference but the key, where the key comes from, both versions; and no key anywhere."""
    made = job_monitor.current().add(panel.job(JobState.FAILED))
    parts = {part.name: part.text for part in diagnostics_report.bundle(made.id)}
    assert set(parts) == {"versions.json", "settings.json", f"job_{made.id}.json", "worker.log"}
    assert bpy.app.version_string in parts["versions.json"]
    assert f'"csm_refine": "{diagnostics_report.addon_version()}"' in parts["versions.json"]
    assert diagnostics_report.addon_version()
    assert '"key from": "Environment"' in parts["settings.json"]
    assert '"key has the usual form": true' in parts["settings.json"]
    assert "api_key" not in parts["settings.json"]
    assert CODE in parts[f"job_{made.id}.json"]
    assert '"history"' in parts[f"job_{made.id}.json"]
    for secret in (KEY, PREFERRED, LOCAL_KEY):
        assert secret not in text_of(diagnostics_report.bundle(made.id))


def test_without_a_job_the_newest_ones_are_described():
    """From the preferences, the last jobs are told, and not a thousand of them."""
    for number in range(diagnostics_report.NEWEST + 3):
        job_monitor.current().add(panel.job(JobState.FAILED, created_at=float(number), id=f"job{number}"))
    found = [part.name for part in diagnostics_report.bundle() if part.name.startswith("job_")]
    assert found == [f"job_job{number}.json" for number in range(diagnostics_report.NEWEST + 2, 2, -1)]


def test_a_script_writes_it(tmp_path):
    """With a path the operator writes at once; without one, where there is no window, it says what is missing."""
    made = job_monitor.current().add(panel.job(JobState.FAILED))
    assert bpy.ops.csm_refine.diagnostics(job=made.id, filepath=str(tmp_path / "bundle")) == {"FINISHED"}
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert f"job_{made.id}.json" in archive.namelist()
    with pytest.raises(RuntimeError, match="No file was given"):
        bpy.ops.csm_refine.diagnostics()


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    """What cannot be written is said."""
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.csm_refine.diagnostics(filepath=str(tmp_path / "none" / "bundle.txt"))


def test_saving_needs_something_shown(tmp_path):
    """The file browser's operator writes what the dialog has shown, and nothing else."""
    operators._shown.clear()
    with pytest.raises(RuntimeError, match="No diagnostics"):
        bpy.ops.csm_refine.save_diagnostics(filepath=str(tmp_path / "bundle.txt"))
    operators.gather("")
    shown = list(operators._shown)
    bpy.context.scene.name = "Changed since"
    assert bpy.ops.csm_refine.save_diagnostics(filepath=str(tmp_path / "bundle.txt")) == {"FINISHED"}
    written = (tmp_path / "bundle.txt").read_text(encoding="utf-8")
    assert all(part.text in written for part in shown)


def test_the_dialog_shows_every_line():
    """All that is written stands in a list that can be scrolled, long lines broken; how much it is stands above."""
    operators.gather("")
    lines = list(operators.lines_of(operators._shown))
    assert [text for text, is_heading in lines if is_heading] == [part.name for part in operators._shown]
    assert max(len(text) for text, _ in lines) <= operators.COLUMNS
    shown = "".join(text for text, is_heading in lines if not is_heading)
    assert shown == text_of(operators._shown).replace("\n", "")
    assert f"{len(operators._shown)} parts" in operators.summary(operators._shown)


def test_the_dialog_draws():
    """The dialog is one that this Blender can draw: how much it is, what was taken out, the list."""
    operators.gather("")
    drawn = []

    class Shown:
        layout = StrictLayout(drawn)
        bl_rna = bpy.ops.csm_refine.diagnostics.get_rna_type()

    operators.CSM_OT_diagnostics.draw(Shown(), bpy.context)
    assert "taken out" in " ".join(texts(drawn))
    (shown,) = (entry.arguments for entry in drawn if entry.what == "template_list")
    assert shown["propname"] == "lines"


def test_a_button_in_the_preferences():
    """The bundle can be had where there is no job."""
    drawn = []

    class Shown:
        layout = StrictLayout(drawn)
        bl_rna = panel.preferences().bl_rna
        _draw_service = preferences.CSM_AP_preferences._draw_service

        def __getattr__(self, name):
            return getattr(panel.preferences(), name)

    preferences.CSM_AP_preferences.draw(Shown(), bpy.context)
    assert "csm_refine.diagnostics" in ids(drawn)
