"""From the choice of bounds to the placed result."""

from __future__ import annotations

import json


def test_bounds(play):
    """Bounds, pivot and overlay are changed by menus, numbers and named points, the settings follow, and are undone."""
    seen = play("bounds")
    assert seen["after_undo"] == ["AUTO", "TYPED"]


def test_refining(play, api):
    """What is confirmed is sent once and placed in the box; undo takes exactly that back; the file keeps it."""
    seen = play("refining", SERVICE=api.url)
    assert seen["states"][-1] == "PLACED"
    assert "RUNNING" in seen["states"]
    assert "Cube" in seen["status_bar"]
    assert "40" in seen["status_bar"]
    assert seen["fit_error"] < 1e-5
    assert [round(part, 5) for part in seen["location"]] == [0, 0, 0]
    assert len(api.refines) == 1
    assert json.loads(api.refines[0].body)["scaled_bbox"] == [2, 2, 2]


def test_adjusting_the_last_operation(play, api):
    """A result that a repeated operation takes with it stands again; what the user undoes stays away, with a button."""
    seen = play("repeating", SERVICE=api.url)
    assert seen["selected"] == ["Circle"]
    assert seen["sides"] == 12
