"""Run the local refine service: python3 scripts/serve.py [--port 8787] [--data DIR] ...

With --faults FILE a proxy stands in front of it that makes things go wrong: docs/faults.md.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -P leaves it out

import environment

FAULTS = any(argument.split("=")[0] == "--faults" for argument in sys.argv[1:])
where = environment.reliability(environment.BLENDER_OF_PYTHON[environment.python_at_hand()]) if FAULTS else None
environment.run_inside(__file__, where)

program = importlib.import_module("tests.support.faults.serving" if FAULTS else "csm_refine_addon.service.server")
sys.exit(program.main(sys.argv[1:]))
