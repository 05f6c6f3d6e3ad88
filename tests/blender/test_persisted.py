"""What .blend files, scripts and preferences hold keeps its name: properties of objects and scenes, operator ids."""

from __future__ import annotations

from pathlib import Path

import bpy
import pytest

from csm_refine_addon.blender import registration

PLACED = Path(__file__).resolve().parents[1] / "persisted" / "placed.blend"
OF_OBJECTS = {
    "session_code",
    "job",
    "service",
    "has_box",
    "box_centre",
    "box_size",
    "source_of",
    "hid_in_viewport",
    "hid_in_render",
}
OF_SCENES = {
    "session_code",
    "service",
    "service_url",
    "show_overlay",
    "bounds_mode",
    "bbox",
    "pivot_mode",
    "pivot",
    "thickness",
    "local",
}
OF_LOCAL = {"topology", "detail", "faces", "texture_size", "symmetry", "keep_aspect", "drop_parts"}
OF_PREFERENCES = {
    "service",
    "service_url",
    "api_key",
    "key_command",
    "allow_plain_http",
    "poll_first_s",
    "poll_longest_s",
    "follow_hours",
    "network_timeout_s",
    "place_automatically",
    "fit_to_box",
    "source_after",
    "show_overlay",
}
OPERATORS = {
    "refine",
    "wait",
    "stop",
    "retry",
    "place",
    "fit",
    "remove",
    "create_session",
    "check_service",
    "refine_each",
}


@pytest.fixture
def registered():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    registration.register()
    yield
    registration.unregister()


def identifiers(properties) -> set[str]:
    return {each.identifier for each in properties.bl_rna.properties}


def test_a_placed_result_of_an_older_version(registered):
    """An object that 0.1.0 placed still says of which session and job it is, and its source of which job."""
    with bpy.data.libraries.load(str(PLACED)) as (found, wanted):
        wanted.objects = found.objects
        wanted.scenes = found.scenes
    result, source = bpy.data.objects["Crate refined"].csm_refine, bpy.data.objects["Crate"].csm_refine
    assert (result.session_code, result.job, result.service) == ("SESSION_1796137304_5625800", "763613e3", "local")
    assert result.has_box
    assert tuple(result.box_size) == pytest.approx((2.0, 1.0, 0.5), abs=1e-6)
    assert source.source_of == "763613e3"
    assert wanted.scenes[0].csm_refine.session_code == "SESSION_1796000000_1234567"


def test_names_in_files_and_scripts(registered):
    """Property names that files hold, and operator ids that scripts call, are all there."""
    settings = bpy.context.scene.csm_refine
    obj = bpy.data.objects.new("any", None)
    assert identifiers(obj.csm_refine) >= OF_OBJECTS
    assert identifiers(settings) >= OF_SCENES
    assert identifiers(settings.local) >= OF_LOCAL
    preferences = next(kind for kind in bpy.types.AddonPreferences.__subclasses__() if "csm" in kind.__module__)
    assert set(preferences.__annotations__) >= OF_PREFERENCES
    assert set(dir(bpy.ops.csm_refine)) >= OPERATORS
