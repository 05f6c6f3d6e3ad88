"""The prepared mesh into the open scene: appended, put in its place, measured. All on the main thread, all quick.

Measured with 1.3 million triangles and three 2k textures; see ``docs/benchmarks.md``. Nothing here pushes an undo
step: the operator, or whoever calls, makes one of the whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...core.axes import Vector3
from ...core.errors import MeshUnusable
from ...core.models import Box, MeshCounts, Placement
from ..background import box_fit, chunked_append, mesh_io, topology
from ..background.prepare import PrepareOptions, finish
from ..geometry.bounds import rotation_matrix
from ..geometry.object_hierarchy import with_children
from ..geometry.visible_meshes import Array, extent, own_pieces
from . import parenting, source_transform, visibility

APPENDED = ("objects", "meshes", "materials", "images", "node_groups", "textures", "libraries")
"""Where an append or an import leaves something that belongs to the mesh."""
BESIDE = ("collections", "actions", "armatures", "cameras", "lights", "curves", "texts", "worlds")
"""Where an importer leaves something that does not."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The object as it stands: ``dimensions`` along its own axes x, y, z; ``fit_error`` is None without a box.

    ``counts`` are None where the object was counted before.
    """

    object_name: str
    fit_error: float | None
    dimensions: Vector3
    counts: MeshCounts | None = None
    remark: str = ""
    """A sentence where the source was scaled since it was measured."""


@dataclass(frozen=True, slots=True)
class _Selection:
    """The names of the selected objects, and that of the active one, empty where there is none."""

    names: frozenset[str]
    active: str


def place(
    context: bpy.types.Context,
    blend_path: Path,
    placement: Placement,
    *,
    name: str,
    hide_source: bool = False,
    brought: bpy.types.Object | None = None,
) -> Placed:
    """Append the prepared object, put it where ``placement`` says, and measure it.

    It stands in its source's present transform, with its parent and in its collections; where the source is gone, where
    that was measured, in the active collection. Selection and active object stay,
    except where the source is all that is selected, or is hidden: then the result is selected in its place. Edit Mode
    is left. With ``hide_source`` the source and its children are hidden in viewport and render. Nothing is appended
    where the object was ``brought`` already (see :mod:`..meshes.instalments`).
    Raises MeshUnusable where the prepared file is gone or empty; then everything is as it was.
    """
    with _all_or_nothing(brought):
        obj = chunked_append.append(blend_path) if brought is None else brought
        _leave_edit_mode(context)
        return _settle(context, obj, placement, _selection(context), name=name, hide_source=hide_source)


def import_here(
    context: bpy.types.Context,
    mesh_path: Path,
    placement: Placement,
    *,
    name: str,
    fit: bool = True,
    quads: bool = False,
    hide_source: bool = False,
) -> Placed:
    """Do preparing and placing at once in this Blender, which stands still meanwhile. Raises MeshUnusable."""
    _leave_edit_mode(context)
    before = _selection(context)
    with _all_or_nothing(), tempfile.TemporaryDirectory() as scratch:
        beside = _present(BESIDE)
        obj = mesh_io.import_mesh(mesh_path, Path(scratch))
        bpy.data.batch_remove(_present(BESIDE) - beside)
        options = PrepareOptions(name, placement.box, fit, quads, placement.mirrored)
        report = finish(obj, options, mesh_path.stat().st_size)
        for collection in list(obj.users_collection):
            collection.objects.unlink(obj)
        context.view_layer.update()
        _select(context, before)  # importers select what they bring
        placed = _settle(context, obj, placement, before, name=name, hide_source=hide_source)
        return dataclasses.replace(placed, counts=report.counts)


def measure_fit(obj: bpy.types.Object, placement: Placement) -> float | None:
    """Return how far an object is from its place, relative to the box's diagonal; None without a box.

    The largest difference of a side, of the box's centre, or of the origin; evaluated geometry, without children.
    """
    if placement.box is None:
        return None
    found = _evaluated_box(obj, placement)
    offset = np.abs(_origin(obj) - placement.origin).max() / placement.box.diagonal
    return max(box_fit.difference(found, placement.box), float(offset))


def fit(
    obj: bpy.types.Object,
    placement: Placement,
    source: bpy.types.Object | None = None,
    merged: Sequence[bpy.types.Object] = (),
) -> str:
    """Bring an object back to its place and stretch its mesh to the box; say in numbers what changed, or nothing.

    Its place is beside ``source``; without one it is where that was measured.

    A mesh shared with other objects becomes the object's own first. A mode that the object is in is kept.
    Raises MeshUnusable where there is no box to fit to, or the object is no mesh with vertices.
    """
    if placement.box is None:
        raise MeshUnusable("This job has no box to fit to: its size was left to the service.", "Scale it by hand.")
    if obj.type != "MESH" or not obj.data.vertices:
        raise MeshUnusable(f"“{obj.name}” is no mesh with vertices.", "Place the result again.")
    with _out_of_edit_mode(obj):
        now = source_transform.standing(placement, source)
        parenting.put(obj, now, source, merged)
        bpy.context.view_layer.update()
        found = source_transform.unscaled(_evaluated_box(obj, now.placement), now.scale)
        if obj.data.users > 1:
            obj.data = obj.data.copy()
        box_fit.fit_mesh_quickly(obj.data, found, placement.box)
        bpy.context.view_layer.update()
    return box_fit.correction(found, placement.box)


def _settle(
    context: bpy.types.Context,
    obj: bpy.types.Object,
    placement: Placement,
    before: _Selection,
    *,
    name: str,
    hide_source: bool,
) -> Placed:
    found = context.scene.objects
    source = found.get(placement.object_name or "")
    merged = [found[other] for other in placement.merged_names if other in found]
    obj.name = obj.data.name = name
    for collection in _collections(context, source):
        collection.objects.link(obj)
    context.view_layer.update()
    now = source_transform.standing(placement, source)
    parenting.put(obj, now, source, merged)
    context.view_layer.update()
    if obj.name not in context.view_layer.objects:
        raise MeshUnusable("The result cannot be shown in this view layer.", "Include the scene's collection.")
    hides = hide_source and source is not None and source.mode == "OBJECT"
    sources = [source, *merged] if source is not None else []
    if hides:
        visibility.hide(context, *sources)
    if context.mode == "OBJECT" and sources:
        _select(context, _with_result(before, obj, sources, hides=hides))
    counts = topology.measure_quickly(obj.data)
    size = _evaluated_box(obj, now.placement).size
    return Placed(obj.name, measure_fit(obj, now.placement), size, counts, now.remark)


def _evaluated_box(obj: bpy.types.Object, placement: Placement) -> Box:
    """Return the object's own box in the placement's rotation, seen from the object's origin."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    pieces = own_pieces(depsgraph, [obj])
    if not pieces:
        raise MeshUnusable(f"“{obj.name}” has no geometry.", "Look at its modifiers, or place the result again.")
    low, high = extent(pieces, rotation_matrix(placement.rotation), _origin(obj))
    return Box(box_fit.vector((low + high) / 2), box_fit.vector(high - low))


def _origin(obj: bpy.types.Object) -> Array:
    return np.array(obj.matrix_world, dtype=np.float64)[:3, 3]


def _collections(context: bpy.types.Context, source: bpy.types.Object | None) -> list[bpy.types.Collection]:
    """Return those of the source's collections that this view layer shows, else the active one."""
    shown = {layer.collection for layer in _layers(context.view_layer.layer_collection)}
    if source and (found := [collection for collection in source.users_collection if collection in shown]):
        return found
    active = context.view_layer.active_layer_collection.collection
    return [active if active in shown else context.scene.collection]


def _layers(layer: bpy.types.LayerCollection) -> Iterator[bpy.types.LayerCollection]:
    if layer.is_visible and layer.collection.library is None:
        yield layer
    for child in layer.children:
        yield from _layers(child)


def _selection(context: bpy.types.Context) -> _Selection:
    objects = context.view_layer.objects
    return _Selection(frozenset(obj.name for obj in objects.selected), objects.active.name if objects.active else "")


def _select(context: bpy.types.Context, wanted: _Selection) -> None:
    objects = context.view_layer.objects
    for obj in objects:
        if obj.select_get() != (obj.name in wanted.names):
            obj.select_set(obj.name in wanted.names)
    objects.active = objects.get(wanted.active)


def _with_result(
    before: _Selection, result: bpy.types.Object, sources: Sequence[bpy.types.Object], *, hides: bool
) -> _Selection:
    """Return the selection with the result in its sources' place, where they are all of it, or are hidden."""
    source, family = sources[0], {each.name for each in with_children(sources)}
    is_all = before.active == source.name and source.name in before.names and before.names <= family
    if not is_all and not (hides and source.name in before.names):
        return before
    active = result.name if before.active == source.name else before.active
    return _Selection((before.names - family) | {result.name}, active)


def _leave_edit_mode(context: bpy.types.Context) -> None:
    """Objects cannot come and go in Edit Mode, and an undo step made there would not hold them."""
    if context.mode.startswith("EDIT"):
        bpy.ops.object.mode_set(mode="OBJECT")


@contextlib.contextmanager
def _out_of_edit_mode(obj: bpy.types.Object) -> Iterator[None]:
    """Leave Edit Mode for as long as the block lasts, if it is this object that is edited."""
    edited = obj.mode == "EDIT"
    if edited:
        bpy.ops.object.mode_set(mode="OBJECT")
    try:
        yield
    finally:
        if edited:
            bpy.ops.object.mode_set(mode="EDIT")


@contextlib.contextmanager
def _all_or_nothing(brought: bpy.types.Object | None = None) -> Iterator[None]:
    """Take back whatever the block brought into the file, or what was ``brought`` before, if it fails."""
    before = _present(APPENDED + BESIDE)
    try:
        yield
    except BaseException:
        if brought is not None:
            chunked_append.remove(brought)
        bpy.data.batch_remove(_present(APPENDED + BESIDE) - before)
        raise


def _present(kinds: Sequence[str]) -> set[Any]:
    return {block for kind in kinds for block in getattr(bpy.data, kind)}
