from __future__ import annotations

import bpy
import pytest

from csm_refine_addon.blender.geometry import selection_bounds
from csm_refine_addon.blender.ui.operators.pivot_picker import CSM_OT_pick_pivot
from csm_refine_addon.blender.ui.panels.session_panel import CSM_PT_bounds
from csm_refine_addon.core.axes import NAMED_PIVOTS
from tests.support import panel
from tests.support.strict_layout import draw, texts

PICK = "csm_refine.pick_pivot"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield


def buttons() -> list[tuple[str, bool]]:
    """The picker's buttons: which point each picks, and whether it is emphasised."""
    drawn = [entry for entry in draw(CSM_PT_bounds) if entry.arguments.get("operator") == PICK]
    return [(entry.operator.values["point"], bool(entry.arguments["depress"])) for entry in drawn]


@pytest.mark.parametrize("named", NAMED_PIVOTS, ids=lambda named: named.name)
def test_each_point_can_be_picked(named):
    """The numbers become the point's, and the panel names it."""
    assert bpy.ops.csm_refine.pick_pivot(point=named.identifier) == {"FINISHED"}
    assert tuple(panel.settings().pivot) == named.pivot_point
    assert panel.settings().pivot_mode == "TYPED"
    assert named.name in texts(draw(CSM_PT_bounds))
    assert [point for point, is_chosen in buttons() if is_chosen] == [named.identifier] * 2


@pytest.mark.parametrize("mode", ["OBJECT", "CENTER", "BOTTOM", "AUTO"])
def test_picking_switches_to_a_typed_pivot(mode):
    """From every other mode, and the object's own pivot, which typing starts from, does not win."""
    selection_bounds.update(bpy.context, selection_bounds.AT_ONCE, 0.0, float("inf"))
    panel.settings().pivot_mode = mode
    bpy.ops.csm_refine.pick_pivot(point="RIGHT_TOP_FRONT")
    assert (panel.settings().pivot_mode, tuple(panel.settings().pivot)) == ("TYPED", (0.5, 0.5, 0.5))


def test_the_grid_is_seen_from_above():
    """Three levels; then the nine points of the level in use, the back row on top, each from left to right."""
    bpy.ops.csm_refine.pick_pivot(point="LEFT_BOTTOM")
    assert [point for point, _ in buttons()] == [
        *("LEFT_BOTTOM", "LEFT", "LEFT_TOP"),
        *("LEFT_BOTTOM_BACK", "BOTTOM_BACK", "RIGHT_BOTTOM_BACK"),
        *("LEFT_BOTTOM", "BOTTOM", "RIGHT_BOTTOM"),
        *("LEFT_BOTTOM_FRONT", "BOTTOM_FRONT", "RIGHT_BOTTOM_FRONT"),
    ]


def test_a_point_between_has_no_name_and_no_emphasis():
    """Typed numbers are not claimed to be a point that they are not."""
    panel.settings().pivot_mode = "TYPED"
    panel.settings().pivot = (0.3, 0.1, -0.2)
    assert not any(is_chosen for _, is_chosen in buttons())
    assert "Between named points" in texts(draw(CSM_PT_bounds))


def test_only_a_typed_pivot_has_the_picker():
    """The panel stays short where the pivot comes from elsewhere."""
    assert buttons() == []


def test_each_button_says_what_it_does():
    """The tooltip names the point and its numbers; without a point it tells what picking is for."""
    described = CSM_OT_pick_pivot.description

    class Overrides:
        point = "LEFT_BOTTOM_BACK"
        is_property_set = staticmethod(lambda name: True)

    class Nothing:
        is_property_set = staticmethod(lambda name: False)

    assert described(bpy.context, Overrides).endswith("origin: right -0.5, top -0.5, front -0.5")
    assert "Left Bottom Back" in described(bpy.context, Overrides)
    assert described(bpy.context, Nothing) == CSM_OT_pick_pivot.__doc__


def test_one_undo_takes_a_pick_back():
    """A pick is one step for the user."""
    bpy.ops.ed.undo_push(message="before")
    panel.settings().pivot_mode = "CENTER"
    bpy.ops.ed.undo_push(message="centre")
    bpy.ops.csm_refine.pick_pivot("EXEC_DEFAULT", True, point="TOP")
    bpy.ops.ed.undo()
    assert panel.settings().pivot_mode == "CENTER"
