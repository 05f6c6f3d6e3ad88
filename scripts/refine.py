"""The command line from a checkout.

blender --background scene.blend --online-mode --python scripts/refine.py -- refine CODE --object NAME
python scripts/refine.py refine CODE --blend scene.blend --object NAME       (a Python that can import bpy)

The first command that starts the local service downloads its two libraries into wheels/, in Blender only where online
access is allowed.
"""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))

from csm_refine_addon.core import import_paths  # before all others

import_paths.leave_current_folder_out()
sys.path.insert(0, dirname(realpath(__file__)))  # python -P leaves it out

import environment  # noqa: E402
from csm_refine_addon.cli import exit_process, main  # noqa: E402
from csm_refine_addon.core.processes import libraries  # noqa: E402


def download_libraries() -> None:
    """Download the local service's libraries; where that fails, say why, and leave it to the command to go on."""
    bpy = sys.modules.get("bpy")
    if bpy and bpy.app.binary_path and not bpy.app.online_access:
        return
    try:
        environment.bundled_wheels()
    except environment.SetupError as error:
        environment.say(str(error))


libraries.download = download_libraries
in_blender = "bpy" in sys.modules and "--" in sys.argv
exit_process(main(sys.argv[sys.argv.index("--") + 1 :] if in_blender else sys.argv[1:]))
