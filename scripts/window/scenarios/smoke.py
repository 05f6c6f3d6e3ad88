"""The window comes up, the sidebar has our tab."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from window import kit


def scenario() -> kit.Steps:
    yield from kit.first_draw()
    yield from kit.open_sidebar("CSM")
    kit.say("tab", kit.view().sidebar.active_panel_category)
    kit.picture("/job/window.png")


kit.play(scenario)
