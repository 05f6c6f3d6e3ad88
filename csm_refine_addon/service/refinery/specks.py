"""Small loose parts, reduced each by itself, beside the methods.

A remesher has no face for a part that is smaller than its faces, and loses it; and where such a part reaches beyond the
others, the rest would be stretched to the box that the part made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from . import tuning
from .edges import soundness
from .parts import compact, face_areas, part_of_face
from .surface import Array, Surface

Fewer = Callable[[Surface, int], Surface]
"""Returns the shape with about so many faces, of the kind that is asked for."""


def beside(refine: Fewer, fewer: Fewer, shape: Surface, budget: int) -> tuple[Surface, int]:
    """Return what ``refine`` makes of a shape's large parts and ``fewer`` of each small one, within the budget.

    And how many small parts were dropped, as the budget does not reach for them. Those that make up the box come first,
    then the larger ones.
    """
    large, small = set_aside(shape, budget)
    kept, left = [], max(round(budget * tuning.SPECKS_SHARE), round(sum(share for _, share in small)))
    dropped = 0
    for speck, share in sorted(small, key=lambda one: (not _reaches_rim(one[0], shape), -one[1])):
        done = reduced(speck, fewer, max(round(share), tuning.LEAST_SPECK))
        if len(done.faces) > left:
            dropped += 1
            continue
        left -= len(done.faces)
        kept.append(done)
    taken = sum(len(one.faces) for one in kept)
    return joined([refine(large, max(budget - taken, 1)), *kept]), dropped


def set_aside(shape: Surface, budget: int) -> tuple[Surface, list[tuple[Surface, float]]]:
    """Return the large parts as one surface, and each small one with its fair share of the budget."""
    part = part_of_face(shape.faces, len(shape.points))
    size = np.bincount(part, weights=face_areas(shape))
    share = size / max(size.sum(), 1e-300) * budget
    is_small = share < tuning.SPECK_FACES
    is_small[size.argmax()] = False
    if not is_small.any():
        return shape, []
    specks = [(speck, float(share[number])) for number, speck in _each(shape, part, is_small)]
    return compact(Surface(shape.points, shape.faces[~is_small[part]])), specks


def _each(shape: Surface, part: Array, wanted: Array) -> Iterator[tuple[int, Surface]]:
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(np.bincount(part))
    for number in np.flatnonzero(wanted).tolist():
        start = ends[number - 1] if number else 0
        yield number, of_own_points(shape.points, shape.faces[order[start : ends[number]]])


def of_own_points(points: Array, faces: Array) -> Surface:
    """Return the faces with their points alone, in time that grows with the faces only."""
    used, number = np.unique(faces[faces >= 0], return_inverse=True)
    own = np.full(faces.shape, -1)
    own[faces >= 0] = number
    return Surface(points[used], own)


def reduced(speck: Surface, fewer: Fewer, faces: int) -> Surface:
    """Return a small part with about so many faces, more where it would fall together, in the box that it had."""
    was_closed = soundness(speck).is_closed
    while True:
        found = fewer(speck, faces)
        if _is_sound(found, closed=was_closed) or faces > tuning.SPECK_TRIES * len(speck.faces):
            return in_box_of(found, speck)
        faces *= 2


def _is_sound(found: Surface, *, closed: bool) -> bool:
    if not len(found.faces) or not np.isfinite(found.points).all():
        return False
    if len(np.unique(found.points, axis=0)) < len(found.points):  # two sides that lie on each other
        return False
    after = soundness(found)
    return after.is_closed or not (closed or after.crowded)


def in_box_of(found: Surface, other: Surface) -> Surface:
    """Return the surface in the other one's box; a flat side stays where it is."""
    low, size = found.points.min(axis=0), np.ptp(found.points, axis=0)
    wanted_low, wanted = other.points.min(axis=0), np.ptp(other.points, axis=0)
    stretch = np.where(size > 0, wanted / np.where(size > 0, size, 1), 1)
    return Surface((found.points - low) * stretch + wanted_low, found.faces)


def _reaches_rim(speck: Surface, shape: Surface) -> bool:
    low, high = shape.points.min(axis=0), shape.points.max(axis=0)
    return bool((speck.points.min(axis=0) <= low).any() or (speck.points.max(axis=0) >= high).any())


def joined(surfaces: list[Surface]) -> Surface:
    """Return several surfaces as one."""
    starts = np.cumsum([0, *(len(one.points) for one in surfaces)])
    faces = [np.where(one.faces >= 0, one.faces + start, -1) for one, start in zip(surfaces, starts, strict=False)]
    return Surface(np.concatenate([one.points for one in surfaces]), np.concatenate(faces))
