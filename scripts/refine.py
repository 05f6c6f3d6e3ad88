"""The command line from a checkout.

blender --background scene.blend --online-mode --python scripts/refine.py -- refine CODE --object NAME
python scripts/refine.py refine CODE --blend scene.blend --object NAME       (a Python that can import bpy)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from csm_refine_addon.cli import exit_process, main

in_blender = "bpy" in sys.modules and "--" in sys.argv
exit_process(main(sys.argv[sys.argv.index("--") + 1 :] if in_blender else sys.argv[1:]))
