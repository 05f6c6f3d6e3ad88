"""Checks and scores the result of a method against the source shape."""

from __future__ import annotations

import dataclasses

import numpy as np

from . import tuning
from .edges import EdgeDefects, count_edge_defects, volume
from .quad_regularization import mean_angle_error
from .refine_settings import Topology
from .surface import Nearest, Surface, areas, samples


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """How good a result is. A lower ``score`` is better; ``faults`` lists the defects."""

    faces: int = 0
    quads: float = 0.0
    mean_angle_error: float = 0.0
    distance: float = 0.0
    """Mean distance in both directions, in 1e-4 of the diagonal."""
    lost: float = 0.0
    """The share of the source that is far from the result."""
    missed: float = 0.0
    """The share of the source that is further from the result than half a face side: a lost ear or chair rung."""
    closed: bool = False
    score: float = 1e9
    faults: tuple[str, ...] = ()


def evaluate_result(shape: Surface, result: Surface, topology: Topology, budget: int) -> Verdict:
    """Return the verdict on a result. An empty or non-finite mesh has the fault "unusable"."""
    if len(result.faces) == 0 or not np.isfinite(result.points).all() or result.diagonal == 0:
        return Verdict(faults=("unusable",))
    distance, lost, missed = _distances(shape, result)
    before, after = count_edge_defects(shape), count_edge_defects(result)
    quads = float(result.is_quad.mean())
    faults = [
        *_edge_faults(before, after),
        *(["parts are lost"] if lost > tuning.MAX_LOST_SURFACE or _box_shrank(shape, result) else []),
        *(["inside out"] if before.is_closed and volume(result) * volume(shape) < 0 else []),
        *(["too few quads"] if topology is Topology.QUADS and quads < tuning.MIN_QUADS_SHARE else []),
        *(["another number of faces"] if _is_off_budget(len(result.faces), len(shape.faces), budget, topology) else []),
    ]
    off = mean_angle_error(result) if topology is Topology.QUADS else 0.0
    score = distance + 100 * lost + 2 * len(faults) + 0.2 * off
    return Verdict(len(result.faces), quads, off, distance, lost, missed, after.is_closed, score, tuple(faults))


def _box_shrank(shape: Surface, result: Surface) -> bool:
    """Return whether the bounding box shrank, so that fitting to the box would stretch the result."""
    ends = [(surface.points.min(axis=0), surface.points.max(axis=0)) for surface in (shape, result)]
    off = np.abs(np.subtract(*ends)).max(axis=0)
    size = np.ptp(shape.points, axis=0)
    return bool((off > tuning.MAX_BOX_LOSS * size)[size > tuning.FLAT_FRACTION * shape.diagonal].any())


def _distances(shape: Surface, result: Surface) -> tuple[float, float, float]:
    """Return mean distance (both directions, 1e-4 of the diagonal), lost share and missed share of the source."""
    one, other = (surface.triangles() for surface in (shape, result))
    there = Nearest(result.points, other).distances(samples(shape.points, one, tuning.EVALUATION_SAMPLES, 1)[0])
    back = Nearest(shape.points, one).distances(samples(result.points, other, tuning.EVALUATION_SAMPLES, 2)[0])
    scale = max(shape.diagonal, 1e-300)
    side = np.sqrt(areas(shape.points, one).sum() / len(result.faces))
    mean = float((there.mean() + back.mean()) / 2 / scale * 1e4)
    return mean, float((there > tuning.FAR_DISTANCE * scale).mean()), float((there > side / 2).mean())


def _edge_faults(before: EdgeDefects, after: EdgeDefects) -> list[str]:
    return [
        *(["edges with more than two faces"] if after.non_manifold else []),
        *(["open edges in a closed mesh"] if after.open and not before.open else []),
        *(["normals at odds"] if after.inconsistent > before.inconsistent else []),
    ]


def _is_off_budget(faces: int, had: int, budget: int, topology: Topology) -> bool:
    most = budget * (1 + tuning.FACES_TOLERANCE)
    least = budget * (1 - tuning.FACES_TOLERANCE)
    if topology is Topology.TRIS:
        least = min(least, had)
    return not least <= faces <= most
