"""UV unwrapping: charts in the scale of the mesh, Blender's angle-based layout refined as rigid as possible (ARAP).

L. Liu et al., A Local/Global Approach to Mesh Parameterization (SGP 2008). Charts that overlap themselves are split.
"""

from __future__ import annotations

import bpy
import numpy as np

from . import packing, tuning
from .charts import build_charts
from .projection import conjugate_gradients
from .raster import UVLayout, rasterize, signed_areas
from .surface import TINY, Array, of_triangles, to_mesh


def unwrap(points: Array, triangles: Array, owner: Array, target: int) -> UVLayout:
    """Return the charts of a mesh, about ``target``, with little stretch and no self-overlap.

    Triangles of one ``owner``, the halves of a quad, come into one chart.
    """
    chart = build_charts(points, triangles, owner, target)
    places = _layout_charts(points, triangles, chart)
    touched = np.ones(len(triangles), bool)
    for _ in range(tuning.CHART_CUTS):
        bad = _bad_charts(points, triangles, UVLayout(chart, places), touched)
        if not len(bad):
            break
        chart, touched = _split_charts(points, triangles, owner, chart, bad)
        places[touched] = _layout_charts(points, triangles[touched], np.unique(chart[touched], return_inverse=True)[1])
    return UVLayout(*_explode_bad_charts(points, triangles, owner, chart, places))


def _layout_charts(points: Array, triangles: Array, chart: Array) -> Array:
    start = _angle_based(points, triangles, chart)
    rest, sizes = flatten_triangles(points, triangles)
    start = _scale_to_area(start, sizes, chart)
    return _minimize_arap(triangles, chart, rest, start, len(points))


def _angle_based(points: Array, triangles: Array, chart: Array) -> Array:
    mesh = to_mesh(of_triangles(points, triangles), "flattening")
    obj = bpy.data.objects.new("flattening", mesh)
    bpy.context.scene.collection.objects.link(obj)
    mesh.uv_layers.new(name="UVMap")
    edge = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("edge_index", edge)
    least, most = np.full(len(mesh.edges), len(chart)), np.full(len(mesh.edges), -1)
    np.minimum.at(least, edge, np.repeat(chart, 3))
    np.maximum.at(most, edge, np.repeat(chart, 3))
    mesh.edges.foreach_set("use_seam", least != most)
    run_in_edit_mode(obj, lambda: bpy.ops.uv.unwrap(method="ANGLE_BASED", fill_holes=True, margin=0.0))
    places = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers[0].data.foreach_get("uv", places)
    bpy.data.objects.remove(obj)
    bpy.data.meshes.remove(mesh)
    return np.nan_to_num(places.astype(np.float64)).reshape(-1, 3, 2)


def run_in_edit_mode(obj: bpy.types.Object, work) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Run an operator that wants one mesh in edit mode, everything selected."""
    bpy.context.view_layer.update()  # without it, removed objects are still listed, as None
    for other in bpy.context.view_layer.objects:
        other.select_set(other == obj)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    try:
        work()
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")


def flatten_triangles(points: Array, triangles: Array) -> tuple[Array, Array]:
    """Return each triangle in a plane of its own (t, 3, 2), unchanged in shape, and its area."""
    corners = points[triangles]
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    length = np.linalg.norm(along, axis=1)
    first = along / np.maximum(length, TINY)[:, None]
    height = np.linalg.norm(np.cross(along, across), axis=1) / np.maximum(length, TINY)
    rest = np.zeros((len(triangles), 3, 2))
    rest[:, 1, 0] = length
    rest[:, 2, 0] = np.einsum("ij,ij->i", across, first)
    rest[:, 2, 1] = height
    return rest, length * height / 2


def _scale_to_area(places: Array, sizes: Array, chart: Array) -> Array:
    flat = np.bincount(chart, weights=signed_areas(places))
    scale = np.sqrt(np.bincount(chart, weights=sizes) / np.maximum(np.abs(flat), TINY))
    places = places * np.minimum(scale, 1e6)[chart][:, None, None]
    places[(flat < 0)[chart], :, 0] *= -1
    return places


def _minimize_arap(triangles: Array, chart: Array, rest: Array, start: Array, count: int) -> Array:
    corner = np.unique(chart[:, None] * count + triangles, return_inverse=True)[1].reshape(-1, 3)
    total = int(corner.max()) + 1
    places = np.zeros((total, 2))
    places[corner] = start
    one, other = (np.concatenate([corner[:, (k + shift) % 3] for k in range(3)]) for shift in (1, 2))
    sides = np.concatenate([rest[:, (k + 2) % 3] - rest[:, (k + 1) % 3] for k in range(3)])
    stiff = _cotangents(rest).T.ravel() / 2
    order = np.argsort(np.concatenate([one, other]), kind="stable")
    far, weight = np.concatenate([other, one])[order], np.concatenate([stiff, stiff])[order, None]
    begins = np.searchsorted(np.concatenate([one, other])[order], np.arange(total))
    own = np.add.reduceat(weight, begins, axis=0) * (1 + 1e-6)

    def apply(moves: Array) -> Array:
        return own * moves - np.add.reduceat(moves[far] * weight, begins, axis=0)

    for _ in range(tuning.ARAP_ROUNDS):
        turned = _rotate_sides(rest, places[corner], sides) * stiff[:, None]
        wanted = np.stack(
            [np.bincount(other, turned[:, k], total) - np.bincount(one, turned[:, k], total) for k in (0, 1)], 1
        )
        places = conjugate_gradients(
            apply, wanted + 1e-6 / (1 + 1e-6) * own * places, 1 / own, tuning.ARAP_STEPS, places
        )
    return np.asarray(places[corner])


def _cotangents(rest: Array) -> Array:
    """Return (t, 3): the cotangent at each corner, kept above zero so that the system stays one of springs."""
    found = np.empty((len(rest), 3))
    for k in range(3):
        one, other = rest[:, (k + 1) % 3] - rest[:, k], rest[:, (k + 2) % 3] - rest[:, k]
        area = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
        found[:, k] = np.einsum("ij,ij->i", one, other) / np.maximum(area, TINY)
    return np.clip(found, 1e-3, 20)


def _rotate_sides(rest: Array, places: Array, sides: Array) -> Array:
    """Return each triangle's sides, turned as the triangle is turned best from its rest to its place."""
    map_ = jacobians(rest, places)
    cosine, sine = map_[:, 0, 0] + map_[:, 1, 1], map_[:, 1, 0] - map_[:, 0, 1]
    length = np.maximum(np.hypot(cosine, sine), TINY)
    cosine, sine = np.tile(cosine / length, 3), np.tile(sine / length, 3)
    return np.stack([cosine * sides[:, 0] - sine * sides[:, 1], sine * sides[:, 0] + cosine * sides[:, 1]], axis=1)


def jacobians(rest: Array, places: Array) -> Array:
    """Return (t, 2, 2): the linear map of each triangle from its rest to its place."""
    a, b = rest[:, 1] - rest[:, 0], rest[:, 2] - rest[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = np.where(np.abs(area) < TINY, TINY, area)
    inverse = np.stack([np.stack([b[:, 1], -b[:, 0]], 1), np.stack([-a[:, 1], a[:, 0]], 1)], 1) / area[:, None, None]
    return np.stack([places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]], axis=2) @ inverse


def stretch_by_chart(points: Array, triangles: Array, flat: UVLayout) -> Array:
    """Return per chart the L2 stretch of P. Sander et al. (SIGGRAPH 2001): 1 where nothing is stretched."""
    rest, sizes = flatten_triangles(points, triangles)
    maps = jacobians(rest, flat.places)
    square = np.einsum("ijk,ijk->i", maps, maps)
    area = np.abs(maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0])
    stretch = np.minimum(square / 2 / np.maximum(area, 1e-9) ** 2, 1e6)
    whole = np.maximum(np.bincount(flat.chart, weights=sizes), TINY)
    laid = np.bincount(flat.chart, weights=sizes * area)
    return np.sqrt(np.bincount(flat.chart, weights=sizes * stretch) / whole * laid / whole)


def _bad_charts(points: Array, triangles: Array, flat: UVLayout, among: Array, ease: float = 1.0) -> Array:
    """Return the charts that are stretched, folded, or lie over themselves, among those of some triangles."""
    numbers, chart = np.unique(flat.chart[among], return_inverse=True)
    some = UVLayout(chart, flat.places[among])
    _, sizes = flatten_triangles(points, triangles)
    folded = np.bincount(chart, weights=np.where(signed_areas(some.places) < 0, sizes[among], 0))
    wrong = folded / max(float(sizes.sum()), TINY) + _overlap_by_chart(some) * sizes[among].sum() / max(
        float(sizes.sum()), TINY
    )
    spoiled = wrong > tuning.CHART_OVERLAP * ease
    spoiled |= stretch_by_chart(points, triangles[among], some) > 1 + tuning.CHART_STRETCH * ease
    return numbers[spoiled & (np.bincount(chart) > 1)]


def _overlap_by_chart(flat: UVLayout) -> Array:
    """Return per chart how much of it lies over itself, as a part of all charts' area."""
    size = tuning.OVERLAP_PIXELS
    triangle, row, column = rasterize(packing.pack_charts_quickly(flat), size, size)
    times = np.bincount(row * size + column, minlength=size * size)
    double = times[row * size + column] > 1
    return np.bincount(flat.chart[triangle], weights=double, minlength=int(flat.chart.max()) + 1) / 2 / max(len(row), 1)


def _split_charts(points: Array, triangles: Array, owner: Array, chart: Array, bad: Array) -> tuple[Array, Array]:
    """Return new chart numbers with the bad ones cut in two or more, and which triangles they were."""
    chart, touched = chart.copy(), np.isin(chart, bad)
    for number in bad.tolist():
        inside = np.flatnonzero(chart == number)
        pieces = build_charts(points, triangles[inside], owner[inside], 2)
        chart[inside] = np.where(pieces == 0, number, chart.max() + pieces)
    return chart, touched


def _explode_bad_charts(
    points: Array, triangles: Array, owner: Array, chart: Array, places: Array
) -> tuple[Array, Array]:
    """Give the triangles of what still folds badly a chart each: a layout that holds, of whatever mesh."""
    everything = np.ones(len(triangles), bool)
    bad = np.isin(
        chart, _bad_charts(points, triangles, UVLayout(chart, places), everything, ease=tuning.EXPLODE_LIMIT_FACTOR)
    )
    chart = chart.copy()
    chart[bad] = chart.max() + 1 + owner[bad]
    if bad.any():
        places[bad] = _layout_charts(points, triangles[bad], np.unique(owner[bad], return_inverse=True)[1])
    return np.unique(chart, return_inverse=True)[1], places
