"""Puts the bundle for a bug report together out of what this Blender knows; ``core/reports`` takes secrets out."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ...core.errors import CsmError
from ...core.models import Job, Secret
from .. import data_location, preferences
from . import job_monitor

if TYPE_CHECKING:
    from ...core.diagnostics import Part

NEWEST = 5
"""How many jobs are described where none is chosen."""
SECRET_PREFERENCES = ("api_key", "key_command")
"""A key may have been put into the command, or instead of it."""
LONG_WORD = 16
"""From so many letters on, a word of the key command may be a key."""


def bundle(job_id: str = "") -> tuple[Part, ...]:
    """Return the parts of the bundle about a job, or about the newest ones. Reads files, but waits for nothing.

    Raises StorageError where the journal cannot be read.
    """
    from ...core.diagnostics import collect  # brings zip and its kin
    from ...core.redaction import Redactor

    keeper = job_monitor.current()
    keeper.refresh()
    newest = sorted(keeper.jobs.values(), key=lambda job: job.created_at, reverse=True)
    chosen: Sequence[Job] = [keeper.jobs[job_id]] if job_id in keeper.jobs else newest[:NEWEST]
    histories = [(job, keeper.journal().history(job.id)) for job in chosen]
    redact = Redactor(_secrets(), str(Path.home()))
    return collect(data_location.home(), redact, versions=_versions(), settings=_settings(), jobs=histories)


def _versions() -> dict[str, Any]:
    app = bpy.app
    build = {name: _text(getattr(app, f"build_{name}", "")) for name in ("hash", "date", "branch", "platform")}
    return {
        "csm_refine": addon_version(),
        "blender": app.version_string,
        "blender build": build,
        "background": app.background,
        "python": sys.version,
        "system": platform.platform(),
        "machine": platform.machine(),
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def addon_version() -> str:
    """Return the version that the manifest names, or an empty text where there is none."""
    import tomllib

    from ...core.processes.background import PACKAGE_PARENT

    try:
        return str(tomllib.loads((PACKAGE_PARENT / "blender_manifest.toml").read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return ""


def _settings() -> dict[str, Any]:
    values = preferences.preferences()
    shown = {name: getattr(values, name) for name in preferences.names() if name not in SECRET_PREFERENCES}
    keeper = job_monitor.current()
    return {
        **shown,
        "service in use": preferences.service_text(),
        "key from": preferences.key_source().value,
        "key has the usual form": _has_usual_key(),
        "online access": preferences.is_online(),
        "home": str(data_location.home().folder),
        "file": bpy.data.filepath,
        "worker runs": keeper.worker.is_alive,
        "trouble": [text for text in (keeper.trouble, keeper.worker.trouble) if text],
        "unit system": bpy.context.scene.unit_settings.system,
        "unit scale": bpy.context.scene.unit_settings.scale_length,
    }


def _has_usual_key() -> bool | None:
    from ...core import validation

    try:
        key = preferences.api_key()
        return None if key is None else validation.is_usual_key(key)
    except CsmError:
        return None


def _secrets() -> tuple[Secret, ...]:
    """Return every key that is known here, so that it is found whatever its form."""
    values = preferences.preferences()
    known = [os.environ.get(preferences.KEY_VARIABLE, ""), values.api_key]
    known += [word for word in values.key_command.split() if len(word) >= LONG_WORD]
    with suppress(OSError):
        known.append((data_location.home().service / "key").read_text("utf-8"))
    return tuple(Secret(key.strip()) for key in known if key.strip())
