"""Conversion of triangles to quads: QuadriFlow, or pairing and subdivision."""

from __future__ import annotations

import math
from typing import Any

import bpy  # where Blender is a Python module, bmesh is there only after it

# isort: split
import bmesh
import numpy as np

from . import tuning
from .decimation import apply_modifier, collapse_edges
from .edges import build_edges
from .evaluate import evaluate_result
from .progress import turns
from .quad_strips import split_strips
from .refine_settings import Topology
from .surface import TINY, Surface, of_mesh, to_mesh

_operators: Any = bpy.ops  # the stubs of 4.2 know no return values


class QuadMethodError(Exception):
    """The method produced no usable quads."""


def run_quadriflow(shape: Surface, budget: int) -> Surface:
    """Return QuadriFlow's quads. Raises NoQuads.

    QuadriFlow fails on edges shorter than 1e-4, so it runs on an enlarged copy. It misses the target number of faces in
    both directions: the target is set low, and strips are split afterwards. For some targets it leaves holes, or loses
    a chair rung or the tip of an ear that it keeps for the next target: it then runs again, as after any other fault.
    """
    edges = build_edges(shape.faces, len(shape.points))
    sides = np.abs(shape.points[edges.start[edges.first]] - shape.points[edges.end[edges.first]]).max(axis=1)
    scale = min(
        max(tuning.QUADRIFLOW_EDGE / max(sides.min(), TINY), tuning.QUADRIFLOW_DIAGONAL[0] / shape.diagonal),
        tuning.QUADRIFLOW_DIAGONAL[1] / shape.diagonal,
    )
    large = Surface(shape.points * scale, shape.faces)
    least, most = (budget * (1 + way * tuning.FACES_TOLERANCE) for way in (-1, 1))
    asked = round(budget * tuning.QUADRIFLOW_TARGET)
    refusal = QuadMethodError("QuadriFlow was not asked")
    given: dict[int, int] = {}
    found: list[tuple[tuple[bool, bool, float], Surface]] = []
    for _ in turns(
        tuning.QUADRIFLOW_TRIES_OF_FEW if budget < tuning.QUADRIFLOW_FEW else tuning.QUADRIFLOW_TRIES, 0.0, 0.7
    ):
        try:
            one = _run_quadriflow_once(large, asked)
        except QuadMethodError as error:
            refusal, asked = error, asked + 1 + asked // 100
            continue
        given[asked] = len(one.faces)
        one = split_strips(Surface(one.points / scale, one.faces), math.ceil(least), int(most))
        verdict = evaluate_result(shape, one, Topology.QUADS, budget)
        misses = verdict.missed > tuning.QUADRIFLOW_MISSED
        found.append(((bool(verdict.faults), misses, verdict.score), one))
        if not verdict.faults and not misses:
            break
        asked = _next_target(given, round(budget * tuning.QUADRIFLOW_TARGET))
    if not found:
        raise refusal
    return min(found, key=lambda pair: pair[0])[1]


def _next_target(given: dict[int, int], wanted: int) -> int:
    """Return the next target: interpolated between too few and too many, else proportional to the last."""
    few = max((pair for pair in given.items() if pair[1] < wanted), key=lambda pair: pair[1], default=None)
    many = min((pair for pair in given.items() if pair[1] >= wanted), key=lambda pair: pair[1], default=None)
    if few and many:
        asked = round(few[0] + (many[0] - few[0]) * (wanted - few[1]) / (many[1] - few[1]))
    else:
        last, got = list(given.items())[-1]
        asked = round(last * wanted / got)
    while asked in given:
        asked += 1 + asked // 100
    return asked


def _run_quadriflow_once(shape: Surface, faces: int) -> Surface:
    mesh = to_mesh(shape, "flowed")
    obj = bpy.data.objects.new("flowed", mesh)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.update()
    for other in bpy.context.view_layer.objects:
        other.select_set(other == obj)
    bpy.context.view_layer.objects.active = obj
    try:
        outcome = _operators.object.quadriflow_remesh(
            mode="FACES", target_faces=faces, use_preserve_boundary=True, seed=0
        )
    except RuntimeError as error:
        raise QuadMethodError(str(error).strip().splitlines()[-1]) from error
    found = of_mesh(obj.data)
    bpy.data.objects.remove(obj)
    if "FINISHED" not in outcome or not len(found.faces) or not np.isfinite(found.points).all():
        raise QuadMethodError("QuadriFlow gave nothing that can be used")
    return found


def voxel_remesh(shape: Surface) -> Surface:
    """Return Blender's voxel remesh, fine enough for thin parts as far as memory allows."""
    size = float(np.ptp(shape.points, axis=0).max()) / tuning.VOXELS
    found = apply_modifier(shape, "REMESH", mode="VOXEL", voxel_size=size)
    if not len(found.faces):
        raise QuadMethodError("the voxel remesh left nothing")
    halves = found.triangles()
    return Surface(found.points, np.column_stack([halves, np.full(len(halves), -1)]))


def reduce_to_quads(shape: Surface, budget: int) -> Surface:
    """Return a small part as quads: all triangles paired if possible, else collapsed and subdivided."""
    paired = _pair_triangles(shape)
    return paired if paired.is_quad.all() and len(paired.faces) <= budget else pair_and_subdivide(shape, budget)


def pair_and_subdivide(shape: Surface, budget: int) -> Surface:
    """Return a quarter of the budget in paired triangles, each face cut around its middle into quads."""
    wanted = budget / tuning.QUADS_OF_TRIANGLE
    for _ in range(3):
        coarse = _pair_triangles(collapse_edges(shape, round(wanted)) if len(shape.faces) > wanted else shape)
        corners = int((coarse.faces >= 0).sum())
        if corners <= budget * (1 + tuning.FACES_TOLERANCE) or len(coarse.faces) < tuning.MIN_FACES:
            break
        wanted *= budget / corners
    return _subdivide(coarse)


def _pair_triangles(shape: Surface) -> Surface:
    mesh = to_mesh(shape, "paired")
    work = bmesh.new()
    work.from_mesh(mesh)
    angle = float(np.radians(tuning.PAIR_ANGLE))
    bmesh.ops.join_triangles(work, faces=work.faces[:], angle_face_threshold=angle, angle_shape_threshold=2 * angle)
    work.to_mesh(mesh)
    work.free()
    found = of_mesh(mesh)
    bpy.data.meshes.remove(mesh)
    return found


def _subdivide(shape: Surface) -> Surface:
    """Return each face as quads from its middle to its corner, by way of the middles of the sides."""
    count = len(shape.points)
    edges = build_edges(shape.faces, count)
    ends = edges.start[edges.first], edges.end[edges.first]
    sizes = 3 + shape.is_quad
    valid = shape.faces >= 0
    middles = np.where(valid[:, :, None], shape.points[shape.faces], 0).sum(axis=1) / sizes[:, None]
    points = np.concatenate([shape.points, (shape.points[ends[0]] + shape.points[ends[1]]) / 2, middles])
    face, place = np.nonzero(valid)
    corner = shape.faces[face, place]
    after, before = (shape.faces[face, (place + step) % sizes[face]] for step in (1, -1))
    side_after, side_before = (
        count + np.searchsorted(edges.keys, edges.key(corner, other)) for other in (after, before)
    )
    return Surface(points, np.stack([corner, side_after, count + len(edges.keys) + face, side_before], axis=1))
