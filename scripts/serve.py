"""Run the local refine service: python3 scripts/serve.py [--port 8787] [--data DIR] ..."""

from __future__ import annotations

import sys
from pathlib import Path

import environment

environment.run_inside(__file__)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from csm_refine_addon.service.server import main  # noqa: E402 -- the path comes first

sys.exit(main(sys.argv[1:]))
