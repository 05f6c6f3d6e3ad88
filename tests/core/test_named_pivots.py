from __future__ import annotations

import itertools

import pytest

from csm_refine_addon.core import axes
from csm_refine_addon.core.axes import NAMED_PIVOTS

WORDS = {
    "Left": (0, -0.5),
    "Right": (0, 0.5),
    "Bottom": (1, -0.5),
    "Top": (1, 0.5),
    "Back": (2, -0.5),
    "Front": (2, 0.5),
}
"""The API's sense of each word: which coordinate, and which end (CSM API reference, ``pivot_point``)."""


@pytest.mark.parametrize("named", NAMED_PIVOTS, ids=lambda named: named.name)
def test_each_name_agrees_with_its_numbers(named):
    """A point is where its name says, in API axes; what is not named is in the middle."""
    expected = [0.0, 0.0, 0.0]
    for word in named.name.split():
        if word != "Centre":
            coordinate, end = WORDS[word]
            expected[coordinate] = end
    assert named.pivot_point == tuple(expected)
    words = [word.upper() for word in named.name.split() if word != "Centre"]
    assert named.identifier == ("_".join(words) or "CENTER")


def test_all_points_have_one_name_each():
    """Every corner, every middle of an edge or side, and the centre: 27 points, 27 names."""
    assert {named.pivot_point for named in NAMED_PIVOTS} == set(itertools.product((-0.5, 0.0, 0.5), repeat=3))
    assert len({named.name for named in NAMED_PIVOTS}) == len({named.identifier for named in NAMED_PIVOTS}) == 27


def test_the_documented_points_have_the_documented_names():
    """The examples of the API reference."""
    by_point = {named.pivot_point: named.name for named in NAMED_PIVOTS}
    assert by_point[-0.5, -0.5, -0.5] == "Left Bottom Back"
    assert by_point[0.5, 0.5, 0.5] == "Right Top Front"
    assert by_point[0.0, -0.5, 0.0] == "Bottom Centre"
    assert by_point[0.0, 0.0, 0.0] == "Centre"


@pytest.mark.parametrize("named", NAMED_PIVOTS, ids=lambda named: named.name)
def test_a_point_is_found_by_its_numbers(named):
    """A pivot is known by its name to float32's rounding, and no further."""
    x, y, z = named.pivot_point
    assert axes.named_pivot((x + 1e-8, y - 1e-8, z)) is named
    assert axes.named_pivot((x, y, z * 0.99 + 0.001)) is None
    assert axes.nearest_pivot((x * 0.6, y * 0.6, z * 0.6)) is named
