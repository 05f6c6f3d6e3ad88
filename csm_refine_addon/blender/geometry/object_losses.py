"""Warnings about data of objects that a refine will remove; reads properties only, without evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ...core.data_loss import sentences
from .object_hierarchy import with_children


def losses_of(objects: Sequence[bpy.types.Object]) -> tuple[str, ...]:
    """Return a warning for each kind of data that the objects and their visible children will lose."""
    shown = [obj for obj in with_children(objects) if obj.visible_get()]
    return sentences(
        armature=any(map(_has_armature, shown)),
        shape_keys=any(map(_has_shape_keys, shown)),
        animation=any(map(_is_animated, shown)),
    )


def _has_armature(obj: bpy.types.Object) -> bool:
    return obj.parent_type == "ARMATURE" or any(modifier.type == "ARMATURE" for modifier in obj.modifiers)


def _has_shape_keys(obj: bpy.types.Object) -> bool:
    keys: Any = getattr(obj.data, "shape_keys", None)
    return keys is not None and len(keys.key_blocks) > 1  # the first one is the basis


def _is_animated(obj: bpy.types.Object) -> bool:
    owners: tuple[Any, ...] = (obj, obj.data, getattr(obj.data, "shape_keys", None))
    found = (getattr(owner, "animation_data", None) for owner in owners)
    return any(animation.action or animation.nla_tracks for animation in found if animation)
