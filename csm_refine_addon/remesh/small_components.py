"""Small loose parts, reduced each by itself, beside the methods.

A remesher has no face for a part that is smaller than its faces, and loses it; and where such a part reaches beyond the
others, the rest would be stretched to the box that the part made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from . import tuning
from .components import compact, component_of_face, face_areas
from .edges import count_edge_defects
from .progress import turns, within
from .surface import Array, Surface

ReduceFunction = Callable[[Surface, int], Surface]
"""Returns the shape with about so many faces, of the kind that is asked for."""
ComponentBudget = tuple[Surface, float]
"""A small part, and how many faces its surface is worth."""


def refine_with_small_components(
    refine: ReduceFunction, fewer: ReduceFunction, shape: Surface, budget: int
) -> tuple[Surface, int]:
    """Return what ``refine`` makes of a shape's large parts and ``fewer`` of each small one, within the budget.

    And how many small parts were dropped, as the budget does not reach for them. Those that make up the box come first,
    then the larger ones.
    """
    large, small = split_small_components(shape, budget)
    if not small:
        return refine(large, budget), 0
    most = max(round(budget * tuning.SMALL_COMPONENTS_SHARE), round(sum(share for _, share in small)))
    begins = len(small) / (len(small) + tuning.SMALL_COMPONENTS_PER_METHOD)
    with within(0.0, begins):
        kept = _reduce_within_budget(_by_priority(small, shape), fewer, most)
    with within(begins, 1.0):
        rest = refine(large, max(budget - sum(len(one.faces) for one in kept), 1))
    return join_surfaces([rest, *kept]), len(small) - len(kept)


def _by_priority(small: list[ComponentBudget], shape: Surface) -> list[ComponentBudget]:
    low, high = shape.points.min(axis=0), shape.points.max(axis=0)  # once: 10 ms for 600,000 points

    def rank(one: ComponentBudget) -> tuple[bool, float]:
        points = one[0].points
        reaches_rim = bool((points.min(axis=0) <= low).any() or (points.max(axis=0) >= high).any())
        return not reaches_rim, -one[1]

    return sorted(small, key=rank)


def _reduce_within_budget(small: list[ComponentBudget], fewer: ReduceFunction, left: int) -> list[Surface]:
    """Return the parts that so many faces reach for; when it is plain that nothing more fits, none is tried."""
    kept: list[Surface] = []
    misses = 0
    for turn in turns(len(small)):
        speck, share = small[turn]
        faces = max(round(share), tuning.MIN_COMPONENT_FACES)
        if faces > left or misses >= tuning.SMALL_COMPONENT_MISSES:
            continue
        done = reduce_component(speck, fewer, faces)
        fits = len(done.faces) <= left
        misses = 0 if fits else misses + 1
        if fits:
            left -= len(done.faces)
            kept.append(done)
    return kept


def split_small_components(shape: Surface, budget: int) -> tuple[Surface, list[ComponentBudget]]:
    """Return the large parts as one surface, and each small one with its fair share of the budget."""
    part = component_of_face(shape.faces, len(shape.points))
    size = np.bincount(part, weights=face_areas(shape))
    share = size / max(size.sum(), 1e-300) * budget
    is_small = share < tuning.SMALL_COMPONENT_FACES
    is_small[size.argmax()] = False
    if not is_small.any():
        return shape, []
    specks = [(speck, float(share[number])) for number, speck in _iter_components(shape, part, is_small)]
    return compact(Surface(shape.points, shape.faces[~is_small[part]])), specks


def _iter_components(shape: Surface, part: Array, wanted: Array) -> Iterator[tuple[int, Surface]]:
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(np.bincount(part))
    for number in np.flatnonzero(wanted).tolist():
        start = ends[number - 1] if number else 0
        yield number, extract_faces(shape.points, shape.faces[order[start : ends[number]]])


def extract_faces(points: Array, faces: Array) -> Surface:
    """Return the faces with their points alone, in time that grows with the faces only."""
    used, number = np.unique(faces[faces >= 0], return_inverse=True)
    own = np.full(faces.shape, -1)
    own[faces >= 0] = number
    return Surface(points[used], own)


def reduce_component(speck: Surface, fewer: ReduceFunction, faces: int) -> Surface:
    """Return a small part with about so many faces, more where it would fall together, in the box that it had."""
    was_closed = count_edge_defects(speck).is_closed
    while True:
        found = fewer(speck, faces)
        if _is_sound(found, closed=was_closed) or faces > tuning.SMALL_COMPONENT_GROWTH * len(speck.faces):
            return fit_to_box_of(found, speck)
        faces *= 2


def _is_sound(found: Surface, *, closed: bool) -> bool:
    if not len(found.faces) or not np.isfinite(found.points).all():
        return False
    if len(np.unique(found.points, axis=0)) < len(found.points):  # two sides that lie on each other
        return False
    after = count_edge_defects(found)
    return after.is_closed or not (closed or after.non_manifold)


def fit_to_box_of(found: Surface, other: Surface) -> Surface:
    """Return the surface in the other one's box; a flat side stays where it is."""
    low, size = found.points.min(axis=0), np.ptp(found.points, axis=0)
    wanted_low, wanted = other.points.min(axis=0), np.ptp(other.points, axis=0)
    stretch = np.where(size > 0, wanted / np.where(size > 0, size, 1), 1)
    return Surface((found.points - low) * stretch + wanted_low, found.faces)


def join_surfaces(surfaces: list[Surface]) -> Surface:
    """Return several surfaces as one."""
    starts = np.cumsum([0, *(len(one.points) for one in surfaces)])
    faces = [np.where(one.faces >= 0, one.faces + start, -1) for one, start in zip(surfaces, starts, strict=False)]
    return Surface(np.concatenate([one.points for one in surfaces]), np.concatenate(faces))
