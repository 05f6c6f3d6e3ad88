"""Settings of a command: from the preferences and the running Blender if there is one, else the defaults."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from ..core.data_dir import DataDir, resolve_data_dir
from ..core.errors import InputError, PrepareFailed
from ..core.jobs import job_factory
from ..core.models import Secret
from ..core.processes.background import find_background_blender
from ..core.providers.client_factory import DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from the preferences and the running Blender; the defaults apply without Blender."""

    home: DataDir
    service: str = ""
    key: Callable[[], Secret | None] = lambda: None
    """Returns the key of the preferences; raises KeyMissing if it cannot be a key."""
    key_command: str = ""
    """A command that prints the key; it takes precedence over ``key``."""
    allow_plain_http: bool = False
    fit_to_box: bool = True
    poll_s: tuple[float, float] = job_factory.POLL_S
    timeout_s: float = DEFAULT_TIMEOUT_S
    binary_path: str = ""
    is_online: Callable[[], bool] = lambda: True
    open_file: Callable[[], str] = lambda: ""
    window: Callable[[], str] = lambda: ""
    """Returns an id of this Blender and its open file, if the file was never saved."""


def settings() -> Settings:
    """Return the settings of this process."""
    if has_blender():
        found: Settings = blender().settings()
        return found
    return Settings(resolve_data_dir())


def has_blender() -> bool:
    """Return whether this Python has ``bpy``, as Blender's own or as a module."""
    return "bpy" in sys.modules or importlib.util.find_spec("bpy") is not None


def blender(need: str = "It needs Blender") -> ModuleType:
    """Return the module ``headless``, which needs Blender. Raises InputError without Blender."""
    if not has_blender():
        raise InputError(
            f"{need}, and this Python has none.", "Run it in Blender; submit, wait and fetch work without."
        )
    from ..blender import headless

    return headless


def can_prepare(binary_path: str) -> bool:
    """Return whether a background Blender that can prepare meshes is found."""
    try:
        find_background_blender(binary_path)
    except PrepareFailed:
        return False
    return True
