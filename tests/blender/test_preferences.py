from __future__ import annotations

import bpy
import pytest

from csm_refine_addon.blender import preferences
from csm_refine_addon.core.errors import InputError, KeyMissing
from csm_refine_addon.core.models import CSM_BASE_URL, LOCAL
from tests.support import panel
from tests.support.panel import KEY
from tests.support.strict_layout import StrictLayout, texts

URL = "https://refine.example.com"


@pytest.fixture
def enabled(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield


def drawn() -> list:
    recorded = []
    owner = panel.preferences()

    class Shown:
        """The preferences as Blender draws them, on a recording layout."""

        layout = StrictLayout(recorded)
        bl_rna = owner.bl_rna
        _draw_service = preferences.CSM_AP_preferences._draw_service

        def __getattr__(self, name):
            return getattr(owner, name)

    preferences.CSM_AP_preferences.draw(Shown(), bpy.context)
    return recorded


def test_every_preference_has_a_field(enabled):
    """All that can be set can be seen; the address only where it is used."""
    panel.settings().service = "URL"
    shown = {entry.arguments["property"] for entry in drawn() if entry.what == "prop"}
    kept = {key for key in preferences.CSM_AP_preferences.__annotations__ if key != "bl_idname"}
    assert shown == kept


def test_a_key_of_another_form_is_only_remarked(enabled):
    """The vendor's keys have 32 letters and digits; another one is said to be odd, and used."""
    panel.preferences().api_key = "short"
    assert any("another form" in text for text in texts(drawn()))
    assert preferences.api_key().reveal() == "short"


def test_the_environments_key_wins(enabled, monkeypatch):
    """CSM_API_KEY wins over the preference, and both places are told apart."""
    with pytest.raises(KeyMissing):
        preferences.api_key()
    assert preferences.key_source() is preferences.KeySource.MISSING
    panel.preferences().api_key = "f" * 32
    assert preferences.key_source() is preferences.KeySource.PREFERENCES
    monkeypatch.setenv("CSM_API_KEY", KEY)
    assert preferences.key_source() is preferences.KeySource.ENVIRONMENT
    assert preferences.api_key().reveal() == KEY


def test_the_environments_service_holds_until_the_user_chooses(enabled, monkeypatch):
    """CSM_SERVICE wins over the preference; a choice in the panel wins over both."""
    panel.preferences().service = "CSM"
    monkeypatch.setenv("CSM_SERVICE", "local")
    assert panel.settings().service == "LOCAL"
    assert preferences.service_address() == LOCAL
    panel.settings().service = "CSM"
    assert preferences.service_address() == CSM_BASE_URL


@pytest.mark.parametrize(
    "choose",
    [
        lambda: setattr(panel.settings(), "service", "LOCAL"),
        lambda: setattr(panel.settings(), "service_url", URL),
        lambda: setattr(panel.settings(), "show_overlay", False),
        bpy.ops.csm_refine.toggle_overlay,
    ],
    ids=["service", "address", "overlay", "eye"],
)
def test_what_is_chosen_in_the_sidebar_is_saved(enabled, choose):
    """Blender saves preferences at its end where they are marked as changed: a choice holds at the next start."""
    bpy.context.preferences.is_dirty = False
    choose()
    assert bpy.context.preferences.is_dirty


def test_a_url_of_the_environment_is_shown(enabled, monkeypatch):
    """The panel's address field shows where CSM_SERVICE points."""
    monkeypatch.setenv("CSM_SERVICE", URL)
    assert (panel.settings().service, panel.settings().service_url) == ("URL", URL)


def test_a_missing_address_is_a_sentence(enabled):
    """A URL that was not typed yet is named, not guessed."""
    panel.settings().service = "URL"
    with pytest.raises(InputError, match="address is missing"):
        preferences.service_address()


def test_plain_http_needs_the_switch(enabled):
    """To another machine the key travels unencrypted only where the user said so."""
    panel.settings().service_url = "http://refine.example.com"
    with pytest.raises(InputError, match="plain http"):
        preferences.service_address()
    panel.preferences().allow_plain_http = True
    assert preferences.service_address() == "http://refine.example.com"


def test_neither_key_nor_service_gets_into_the_file(enabled, tmp_path):
    """A .blend that is passed on tells nobody the key, and cannot choose where the next user's key is sent."""
    panel.preferences().api_key = KEY
    panel.settings().service_url = URL
    panel.settings().session_code = panel.CODE
    path = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False)
    saved = path.read_bytes()
    assert panel.CODE.encode() in saved
    assert KEY.encode() not in saved
    assert URL.encode() not in saved


UNSIGNED = "https://files.example/account/{}/mesh.glb"
SIGNED = f"{UNSIGNED}?se=2030&sig=s1gnature"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (panel.CODE, panel.CODE),
        (SIGNED.format(panel.CODE), panel.CODE),
        (f"  {panel.CODE}\n", panel.CODE),
        (SIGNED.format("none"), UNSIGNED.format("none")),
        (
            f"{SIGNED.format('SESSION_1')} {SIGNED.format('SESSION_2')}",
            f"{UNSIGNED.format('SESSION_1')} {UNSIGNED.format('SESSION_2')}",
        ),
        ("session 17?", "session 17?"),
        ("", ""),
    ],
    ids=["a code", "an address", "with white space", "no code", "two codes", "no address", "nothing"],
)
def test_no_signed_address_gets_into_the_file(enabled, tmp_path, typed, kept):
    """Of what is pasted into the code's field, the code alone is kept; without one, nothing that signs an address."""
    panel.settings().session_code = typed
    assert panel.settings().session_code == kept
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), compress=False)
    assert b"s1gnature" not in (tmp_path / "scene.blend").read_bytes()


def test_the_time_out_is_blenders_unless_set(enabled):
    """0 takes Blender's own network time-out."""
    bpy.context.preferences.system.network_timeout = 17
    assert preferences.network_timeout_s() == 17.0
    panel.preferences().network_timeout_s = 5
    assert preferences.network_timeout_s() == 5.0


def test_without_an_add_on_the_defaults_hold(tmp_path, monkeypatch):
    """Run from a checkout, every preference has the value that a new installation has."""
    with panel.enabled(tmp_path / "home", monkeypatch):
        wanted = {
            key: getattr(panel.preferences(), key)
            for key in preferences.CSM_AP_preferences.__annotations__
            if key != "bl_idname"
        }
    assert preferences.ADDON not in bpy.context.preferences.addons
    preferences.forget_choices()
    assert {key: getattr(preferences.preferences(), key) for key in wanted} == wanted
