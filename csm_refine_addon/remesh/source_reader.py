"""Reads and cleans the source; repairs its shape for the methods and caches it for later ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..blender.background import mesh_io
from .cleaning import clean
from .components import delete_small_components
from .refine_settings import RefineSettings, Topology
from .repair import repair_shape
from .surface import Array, Surface


def read_source(folder: Path, order: dict[str, Any], settings: RefineSettings) -> tuple[bpy.types.Object, list[str]]:
    """Return the cleaned source object, and notes about what was removed. Raises MeshUnusable."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    left_out: list[str] = []
    source = Path(order["mesh"])
    obj = mesh_io.import_mesh(source, folder / "scratch", left_out)
    obj.name = obj.data.name = order["code"]
    # Import welds what the file format split and keeps touching parts separate; remeshing needs one surface.
    clean(obj.data, merge=settings.topology is not Topology.KEEP)
    notes = [f"The image {name} was left out: it is not in the file." for name in left_out]
    if settings.drop_parts_below:
        dropped = delete_small_components(obj.data, settings.drop_parts_below)
        notes += [f"{dropped} faces of small loose parts were dropped."] if dropped else []
    return obj, notes


def shape_of_source(folder: Path, order: dict[str, Any], settings: RefineSettings) -> Surface:
    """Return the repaired shape; read and repaired once in a refine."""
    kept = folder / "scratch" / "shape.npz"
    if not kept.exists():
        obj, _ = read_source(folder, order, settings)
        save(repair_shape(obj.data), kept)
    else:
        bpy.ops.wm.read_factory_settings(use_empty=True)
    return load(kept)


def save(surface: Surface, path: Path) -> None:
    """Write a surface to an .npz file atomically."""
    draft = path.with_name(f"{path.stem}_draft.npz")
    np.savez(draft, points=surface.points, faces=surface.faces)
    draft.replace(path)


def load(path: Path) -> Surface:
    """Return a surface written by :func:`save`."""
    with np.load(path) as found:
        arrays: dict[str, Array] = {name: found[name] for name in ("points", "faces")}
    return Surface(**arrays)
