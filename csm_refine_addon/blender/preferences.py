"""The extension's preferences, kept by Blender itself, and how everything else reads them."""

from __future__ import annotations

import enum
import os
from typing import Any

import bpy

from ..core import validation
from ..core.errors import CsmError, InputError
from ..core.models import CSM_BASE_URL, LOCAL, Secret
from . import data_location
from .i18n import CONTEXT, shown

KEY_VARIABLE = "CSM_API_KEY"
SERVICE_VARIABLE = "CSM_SERVICE"
ADDON = (__package__ or "").rpartition(".csm_refine_addon.")[0] or "csm_refine_addon"
"""The name Blender knows the add-on by: the extension's package, or ours where it runs from a checkout."""

SERVICES = (
    ("CSM", "CSM", "The vendor's hosted service; it may charge credits"),
    ("LOCAL", "Local", "A service on this machine that refines with Blender itself; no account and no network needed"),
    ("URL", "URL", "Any service that speaks the same API"),
)


class CSM_AP_preferences(bpy.types.AddonPreferences):
    """What holds for every file: the service, its key, and how results are followed and placed."""

    bl_idname = ADDON

    service: bpy.props.EnumProperty(
        name="Service",
        description="The service that refines",
        items=SERVICES,
        default="CSM",
        translation_context=CONTEXT,
    )
    service_url: bpy.props.StringProperty(
        name="Address", description="The service's base URL, for example https://api.example.com", maxlen=1024
    )
    api_key: bpy.props.StringProperty(
        name="API Key",
        description="Kept in Blender's preferences only; the environment variable CSM_API_KEY wins over it",
        subtype="PASSWORD",
        maxlen=1024,
    )
    key_command: bpy.props.StringProperty(
        name="Key Command",
        description=(
            "A program of yours, with its arguments, whose first line of output is the API key, for example "
            "“pass show csm” or “op read op://vault/csm/key”; it is run without a shell when the key is needed, "
            "and wins over the key typed in above"
        ),
        maxlen=1024,
    )
    allow_plain_http: bpy.props.BoolProperty(
        name="Allow Plain HTTP",
        description="Let the key travel unencrypted to a service on another machine",
        default=False,
    )
    poll_first_s: bpy.props.FloatProperty(
        name="First Look After",
        description="How long after sending to look at the session for the first time",
        subtype="TIME_ABSOLUTE",
        default=5.0,
        min=1.0,
        max=300.0,
    )
    poll_longest_s: bpy.props.FloatProperty(
        name="Longest Pause",
        description="The pauses between looks grow up to this",
        subtype="TIME_ABSOLUTE",
        default=30.0,
        min=2.0,
        max=3600.0,
    )
    follow_hours: bpy.props.FloatProperty(
        name="Follow For (Hours)",
        description="How long to follow a refine before giving up; it goes on at the service",
        default=3.0,
        min=0.05,
        max=72.0,
    )
    network_timeout_s: bpy.props.IntProperty(
        name="Network Time-out (Seconds)",
        description="How long to wait for an answer of the service; 0 takes Blender's own network time-out",
        default=0,
        min=0,
        max=600,
    )
    place_automatically: bpy.props.BoolProperty(
        name="Place Automatically",
        description="Place a result as soon as it is ready and Blender is in Object Mode; off: press Place",
        default=True,
    )
    fit_to_box: bpy.props.BoolProperty(
        name="Fit to Box",
        description="Correct a result that the service returned in another size or with another origin",
        default=True,
    )
    source_after: bpy.props.EnumProperty(
        name="Source Object",
        description="What happens to the source object when the result is placed",
        items=(
            ("HIDE", "Hide", "Hide it in viewport and renders"),
            ("KEEP", "Keep Visible", "Leave it as it is"),
        ),
        default="HIDE",
    )
    show_overlay: bpy.props.BoolProperty(
        name="Show Bounds in Viewport",
        description="Draw the box and the pivot that will be sent in the 3D viewport, while the CSM tab is open",
        default=True,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        self._draw_service(layout)
        following = layout.column(heading="Following", align=True)
        following.prop(self, "poll_first_s")
        following.prop(self, "poll_longest_s")
        following.prop(self, "follow_hours")
        following.prop(self, "network_timeout_s")
        placing = layout.column(heading="Placing")
        placing.prop(self, "place_automatically")
        placing.prop(self, "fit_to_box")
        placing.prop(self, "source_after")
        layout.operator("csm_refine.diagnostics", text="Diagnostics", icon="TEXT")
        layout.operator("csm_refine.clean_up", icon="TRASH")
        layout.column(heading="Viewport").prop(self, "show_overlay")

    def _draw_service(self, layout: bpy.types.UILayout) -> None:
        layout.row().prop(self, "service", expand=True)
        if self.service == "URL":
            layout.prop(self, "service_url")
            layout.prop(self, "allow_plain_http")
        layout.prop(self, "api_key")
        layout.prop(self, "key_command")
        if os.environ.get(KEY_VARIABLE):
            layout.label(text="The environment variable CSM_API_KEY is set and used instead.", icon="INFO")
            return
        if self.key_command.strip():
            self._draw_command(layout)
            return
        problem = key_problem(self.api_key)
        if problem:
            layout.label(text=shown(problem), icon="INFO")
        layout.label(text="Blender keeps the key unencrypted in its preferences file.", icon="INFO")

    def _draw_command(self, layout: bpy.types.UILayout) -> None:
        try:
            require_key()
        except CsmError as error:
            layout.label(text=shown(str(error)), icon="ERROR")
            return
        layout.label(text="The key is what the key command prints.", icon="INFO")


class _Defaults:
    """The preferences where no add-on is enabled: every default, changeable for this process."""

    def __init__(self) -> None:
        for name, (_function, keywords) in _definitions().items():
            setattr(self, name, keywords.get("default", ""))


def names() -> list[str]:
    """Return the names of all preferences."""
    return list(_definitions())


def _definitions() -> dict[str, tuple[Any, dict[str, Any]]]:
    from typing import get_type_hints

    hints = get_type_hints(CSM_AP_preferences, {**globals()})
    return {name: (hint.function, hint.keywords) for name, hint in hints.items() if hasattr(hint, "keywords")}


_defaults: _Defaults | None = None


def preferences() -> Any:
    """Return the add-on's preferences; a checkout takes those of the installed extension, else their defaults."""
    global _defaults  # noqa: PLW0603  # made when first asked for: it reads the class above
    addons = bpy.context.preferences.addons
    addon = addons.get(ADDON) or addons.get(data_location.installed_package())
    if addon is not None and addon.preferences is not None:
        return addon.preferences
    if _defaults is None:
        _defaults = _Defaults()
    return _defaults


def change(name: str, value: Any) -> None:
    """Change a preference from elsewhere than its own field; it holds at the next start, too.

    Blender saves preferences when it ends, and only where it was told that they changed.
    """
    setattr(preferences(), name, value)
    bpy.context.preferences.is_dirty = True


def forget_choices() -> None:
    """Forget what was chosen in this process, and what was changed where no add-on is enabled."""
    global _defaults, _chosen_here  # noqa: PLW0603
    _defaults = None
    _chosen_here = False


# --- the service ------------------------------------------------------------------------------------------------

_chosen_here = False
"""Whether the user has chosen a service in this process: that wins over the environment variable."""


def service_text() -> str:
    """Return what names the service: ``csm``, ``local`` or a URL, from the choice, CSM_SERVICE, or the preference."""
    named = os.environ.get(SERVICE_VARIABLE, "").strip()
    if named and not _chosen_here:
        return named
    values = preferences()
    return values.service_url if values.service == "URL" else str(values.service).lower()


def service_choice() -> str:
    """Return which of :data:`SERVICES` is in use."""
    text = service_text().lower()
    return {"csm": "CSM", "local": "LOCAL"}.get(text, "URL")


def choose_service(choice: str, url: str | None = None) -> None:
    """Make one of :data:`SERVICES` the one in use."""
    global _chosen_here  # noqa: PLW0603  # one process, one user
    if url is not None:
        change("service_url", url)
    elif choice == "URL" and not preferences().service_url:
        change("service_url", service_text() if service_choice() == "URL" else "")
    change("service", choice)
    _chosen_here = True


def service_address() -> str:
    """Return LOCAL or the checked base URL of the service in use. Raises InputError."""
    text = service_text()
    if not text:
        raise InputError("The service's address is missing.", "Type its base URL, like https://api.example.com.")
    return validation.service_address(text, allow_plain_http=preferences().allow_plain_http)


def may_charge(service: str) -> bool:
    """Tell whether a refine at a service may cost money: every one but the local one."""
    return service != LOCAL


def service_name(service: str) -> str:
    """Return a service's address as the user knows it."""
    return {LOCAL: "Local", CSM_BASE_URL: "CSM"}.get(service, service)


# --- the key ------------------------------------------------------------------------------------------------------


class KeySource(enum.Enum):
    """Where the API key comes from."""

    ENVIRONMENT = "Environment"
    COMMAND = "Command"
    PREFERENCES = "Preferences"
    MISSING = "Missing"


def key_source() -> KeySource:
    """Tell where the key comes from, without judging it."""
    if os.environ.get(KEY_VARIABLE):
        return KeySource.ENVIRONMENT
    if preferences().key_command.strip():
        return KeySource.COMMAND
    return KeySource.PREFERENCES if preferences().api_key else KeySource.MISSING


def api_key() -> Secret | None:
    """Return the key; None where a command prints it, which only the worker runs.

    Raises KeyMissing where there is none, or where it cannot be one.
    """
    if key_source() is KeySource.COMMAND:
        return None
    return validation.api_key(os.environ.get(KEY_VARIABLE) or preferences().api_key)


def key_command() -> str:
    """Return the command that prints the key; empty where the key comes from elsewhere."""
    return preferences().key_command.strip() if key_source() is KeySource.COMMAND else ""


def require_key() -> None:
    """Raise KeyMissing where there is no key, or none can come from what is given; runs no command."""
    if api_key() is None:
        from ..core.providers import credentials  # brings subprocess and its kin

        credentials.words(key_command())


def key_problem(text: str) -> str:
    """Return what is odd about a key that was typed, or an empty text."""
    if not text:
        return ""
    try:
        key = validation.api_key(text)
    except CsmError as error:
        return str(error)
    return "" if validation.is_usual_key(key) else "A key of CSM has 32 letters and digits; this one has another form."


# --- network ------------------------------------------------------------------------------------------------------


def is_online() -> bool:
    """Tell whether Blender allows online access now."""
    return bool(bpy.app.online_access)


def network_timeout_s() -> float:
    """Return how long to wait for an answer: the preference, else Blender's own."""
    return float(preferences().network_timeout_s or bpy.context.preferences.system.network_timeout or 30)
