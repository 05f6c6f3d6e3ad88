"""The built extension in this process's Blender, from its zip and in an empty user folder; imports bpy."""

from __future__ import annotations

import importlib
from typing import Any

import bpy

EXTENSION = "bl_ext.user_default.csm_refine"


def install(archive: str, *, enable: bool = True) -> None:
    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=enable)


def enable() -> None:
    bpy.ops.preferences.addon_enable(module=EXTENSION)


def part(name: str) -> Any:
    """Return a module of the installed extension, such as `blender.jobs.job_monitor`."""
    return importlib.import_module(f"{EXTENSION}.csm_refine_addon.{name}")


def preferences() -> Any:
    context: Any = bpy.context
    return context.preferences.addons[EXTENSION].preferences
