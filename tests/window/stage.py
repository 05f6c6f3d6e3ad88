"""What Blender is started with: plays the scene that SCENE names."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT), str(_ROOT / "scripts")]

from tests.window import ui_driver  # noqa: E402 -- Blender's Python knows no paths of ours

ui_driver.play(
    importlib.import_module(f"tests.window.scenes.{os.environ['SCENE']}").scene, float(os.environ["LIMIT_S"])
)
