"""A program that refines the orders in many folders, one after the other in one Blender: their processes in one.

It writes each folder's name and the last exit code to stdout. Packing and picture are made cheaper than an artist has
them: how well they do is proven elsewhere, here that nothing fails.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from csm_refine_addon.remesh import comparison_picture, fallback, tuning

tuning.PACK_TRIES, comparison_picture.SIDE = 1, 64


def run(module: str, request, _limit_s: float) -> int:
    """Do what a background Blender would do in a process of its own."""
    return importlib.import_module(f"csm_refine_addon.{module}").main(request)


said = os.fdopen(os.dup(1), "w")  # Blender's exporters talk on the other one
os.dup2(2, 1)
for folder in map(Path, sys.argv[1:]):
    code = fallback.refine(folder, run)
    said.write(f"{folder.name} {code}\n")
    said.flush()
os._exit(0)
