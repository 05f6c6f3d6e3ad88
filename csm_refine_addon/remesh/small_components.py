"""Reduces small components one by one, separately from the method.

A remesher loses components that are smaller than its faces. If a lost component defined the bounding box, the result
would be stretched to that box.
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
"""Returns the shape with about the given number of faces."""
ComponentBudget = tuple[Surface, float]
"""A small component, and its share of the face budget by area."""


def refine_with_small_components(
    refine: ReduceFunction, fewer: ReduceFunction, shape: Surface, budget: int
) -> tuple[Surface, int]:
    """Apply ``refine`` to the large components and ``fewer`` to each small one, within the budget.

    Return the joined result, and how many small components were dropped because the budget was used up. Components that
    define the bounding box come first, then larger ones.
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
    """Return the reduced components that fit into ``left`` faces; stop after SMALL_COMPONENT_MISSES misses in a row."""
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
    """Return the large components as one surface, and each small one with its share of the budget by area."""
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
    """Return the faces with only their points, in time linear in the number of faces."""
    used, number = np.unique(faces[faces >= 0], return_inverse=True)
    own = np.full(faces.shape, -1)
    own[faces >= 0] = number
    return Surface(points[used], own)


def reduce_component(speck: Surface, fewer: ReduceFunction, faces: int) -> Surface:
    """Return a component with about ``faces`` faces, more if it would degenerate, scaled to its original box."""
    was_closed = count_edge_defects(speck).is_closed
    while True:
        found = fewer(speck, faces)
        if _is_sound(found, closed=was_closed) or faces > tuning.SMALL_COMPONENT_GROWTH * len(speck.faces):
            return fit_to_box_of(found, speck)
        faces *= 2


def _is_sound(found: Surface, *, closed: bool) -> bool:
    if not len(found.faces) or not np.isfinite(found.points).all():
        return False
    if len(np.unique(found.points, axis=0)) < len(found.points):  # collapsed: two sides coincide
        return False
    after = count_edge_defects(found)
    return after.is_closed or not (closed or after.non_manifold)


def fit_to_box_of(found: Surface, other: Surface) -> Surface:
    """Return the surface scaled to the box of the other one; flat axes are only moved."""
    low, size = found.points.min(axis=0), np.ptp(found.points, axis=0)
    wanted_low, wanted = other.points.min(axis=0), np.ptp(other.points, axis=0)
    stretch = np.where(size > 0, wanted / np.where(size > 0, size, 1), 1)
    return Surface((found.points - low) * stretch + wanted_low, found.faces)


def join_surfaces(surfaces: list[Surface]) -> Surface:
    """Return several surfaces as one, without welding."""
    starts = np.cumsum([0, *(len(one.points) for one in surfaces)])
    faces = [np.where(one.faces >= 0, one.faces + start, -1) for one, start in zip(surfaces, starts, strict=False)]
    return Surface(np.concatenate([one.points for one in surfaces]), np.concatenate(faces))
