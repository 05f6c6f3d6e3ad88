from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from csm_refine_addon.core.errors import InputError
from csm_refine_addon.core.models import Box, Placement
from csm_refine_addon.core.placement import (
    OUTSIDE_WARNING,
    BoundsOptions,
    BoundsSource,
    Measured,
    PivotSource,
    resolve,
    rotated,
    sent_centre,
)

QUARTER = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
"""A quarter turn about Z: x goes to y."""
INSIDE = Measured("Cube", (10.0, 20.0, 30.0), QUARTER, Box((0.5, 0.0, 1.0), (2.0, 4.0, 6.0)))
OUTSIDE = Measured("Cube", (10.0, 20.0, 30.0), QUARTER, Box((3.0, 0.0, 1.0), (2.0, 4.0, 6.0)))
FRAME = Measured("Empty", (10.0, 20.0, 30.0), QUARTER)


def test_object_bounds_and_pivot_go_to_api_axes():
    """Width, height, depth are Blender's x, z, y; the pivot's front is -y."""
    asked = resolve(INSIDE, BoundsOptions())
    assert asked.scaled_bbox == (2.0, 6.0, 4.0)
    assert asked.pivot_point == pytest.approx((-0.25, -1 / 6, 0.0))
    assert asked.placement == Placement(INSIDE.origin, INSIDE.rotation, INSIDE.box, "Cube")
    assert asked.warnings == ()


def test_origin_outside_is_sent_clamped_and_kept_for_placing():
    """The nearest pivot is sent, the true box is remembered, and the user is told."""
    asked = resolve(OUTSIDE, BoundsOptions())
    assert asked.pivot_point == pytest.approx((-0.5, -1 / 6, 0.0))
    assert asked.placement.box == OUTSIDE.box
    assert asked.warnings == (OUTSIDE_WARNING,)
    assert sent_centre(OUTSIDE.box) == pytest.approx((1.0, 0.0, 1.0))
    assert resolve(OUTSIDE, BoundsOptions(pivot=PivotSource.CENTER)).warnings == ()


def test_typed_bounds_keep_the_origins_place_in_the_box():
    """With the object's pivot a typed box stands around the same origin, at the same fraction."""
    asked = resolve(INSIDE, BoundsOptions(BoundsSource.TYPED, typed_bbox=(4.0, 12.0, 8.0)))
    assert asked.scaled_bbox == (4.0, 12.0, 8.0)
    assert asked.placement == Placement(INSIDE.origin, QUARTER, Box((1.0, 0.0, 2.0), (4.0, 8.0, 12.0)), "Cube")


@pytest.mark.parametrize(
    ("pivot", "sent", "centre", "origin"),
    [
        (PivotSource.CENTER, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (10.0, 20.5, 31.0)),
        (PivotSource.AUTO, None, (0.0, 0.0, 0.0), (10.0, 20.5, 31.0)),
        (PivotSource.BOTTOM, (0.0, -0.5, 0.0), (0.0, 0.0, 3.0), (10.0, 20.5, 28.0)),
        (PivotSource.TYPED, (0.5, -0.5, -0.5), (-1.0, -2.0, 3.0), (8.0, 21.5, 28.0)),
    ],
)
def test_another_pivot_moves_the_origin_and_not_the_box(pivot, sent, centre, origin):
    """The box stays where the source's is in the world: its centre at (10, 20.5, 31)."""
    asked = resolve(INSIDE, BoundsOptions(pivot=pivot, typed_pivot=(0.5, -0.5, -0.5)))
    assert asked.pivot_point == sent
    assert asked.placement.box.centre == pytest.approx(centre)
    assert asked.placement.origin == pytest.approx(origin)
    turned = rotated(QUARTER, asked.placement.box.centre)
    assert [o + c for o, c in zip(asked.placement.origin, turned, strict=True)] == pytest.approx((10, 20.5, 31))


def test_bounds_of_the_service_have_no_box():
    """Left to the service: nothing is sent, and the result stands at the source's origin in its rotation."""
    asked = resolve(INSIDE, BoundsOptions(BoundsSource.AUTO, PivotSource.AUTO))
    assert (asked.scaled_bbox, asked.pivot_point) == (None, None)
    assert asked.placement == Placement(INSIDE.origin, QUARTER, None, "Cube")


def test_no_object_is_fine_where_nothing_is_taken_from_one():
    """Typed values without an object belong at the world's origin; without a geometry, at the object's."""
    choices = BoundsOptions(BoundsSource.TYPED, PivotSource.BOTTOM, typed_bbox=(1.0, 2.0, 3.0))
    box = Box((0.0, 0.0, 1.0), (1.0, 3.0, 2.0))
    assert resolve(None, choices).placement == Placement(box=box)
    assert resolve(FRAME, choices).placement == Placement(FRAME.origin, QUARTER, box, "Empty")


@pytest.mark.parametrize("measured", [None, FRAME])
@pytest.mark.parametrize(
    "choices", [BoundsOptions(), BoundsOptions(BoundsSource.AUTO), BoundsOptions(pivot=PivotSource.CENTER)]
)
def test_what_needs_geometry_is_refused_without(measured, choices):
    """Bounds or pivot of an object that is not there, or was not measured: a sentence with the cure."""
    assert choices.needs_geometry
    with pytest.raises(InputError, match="no object") as caught:
        resolve(measured, choices)
    assert caught.value.action


@pytest.mark.parametrize("choices", [BoundsOptions(BoundsSource.TYPED), BoundsOptions(pivot=PivotSource.TYPED)])
def test_typed_means_typed(choices):
    """A choice of typed values without any is refused."""
    with pytest.raises(InputError, match="typed"):
        resolve(INSIDE, choices)


@given(st.tuples(*[st.floats(-0.5, 0.5)] * 3), st.tuples(*[st.floats(0.01, 100)] * 3))
def test_pivot_of_any_origin_inside_leads_back_to_its_box(fraction, size):
    """v' = v - c - p·size: what a faithful service returns for the pivot is the measured box itself."""
    centre = tuple(-part * side for part, side in zip(fraction, size, strict=True))
    asked = resolve(Measured("Cube", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), Box(centre, size)), BoundsOptions())
    right, up, front = asked.pivot_point
    returned = (-right * size[0], front * size[1], -up * size[2])
    assert returned == pytest.approx(centre, abs=1e-9 * max(size))
    assert asked.warnings == ()
