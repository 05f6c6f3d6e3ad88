"""The command line from a checkout.

blender --background scene.blend --online-mode --python scripts/refine.py -- refine CODE --object NAME
python scripts/refine.py refine CODE --blend scene.blend --object NAME       (a Python that can import bpy)
"""

import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))))

from csm_refine_addon.core import import_paths  # before all others

import_paths.leave_current_folder_out()

from csm_refine_addon.cli import exit_process, main  # noqa: E402

in_blender = "bpy" in sys.modules and "--" in sys.argv
exit_process(main(sys.argv[sys.argv.index("--") + 1 :] if in_blender else sys.argv[1:]))
