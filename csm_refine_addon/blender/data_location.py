"""Where this Blender keeps journal and downloads."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..core.data_dir import DataDir, resolve_data_dir

EXTENSION = "csm_refine"


def home() -> DataDir:
    """Return the extension's own user folder, unless ``CSM_REFINE_HOME`` names another. Touches no disk.

    Code that runs from a checkout in the same Blender takes the folder of the installed extension, so that a job
    made by a script shows in the panel of the next Blender.
    """
    return resolve_data_dir(Path(_user_folder()))


def _user_folder() -> str:
    package = (__package__ or "").rpartition(".csm_refine_addon")[0] or installed_package()
    if package:
        return str(bpy.utils.extension_path_user(package))
    # The layout of extension_path_user, for an extension that is not installed yet (Blender 4.2 to 5.2).
    return str(Path(bpy.utils.user_resource("EXTENSIONS"), ".user", "user_default", EXTENSION))


def installed_package() -> str:
    """Return the name under which this Blender knows the enabled extension, or an empty text."""
    names = (addon.module for addon in bpy.context.preferences.addons)
    return next((name for name in names if name.startswith("bl_ext.") and name.endswith(f".{EXTENSION}")), "")
