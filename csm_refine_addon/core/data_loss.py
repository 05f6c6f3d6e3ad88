"""Warnings about data that a refine removes: armature, shape keys, animation.

They are the same for an uploaded file and for objects of a scene.
"""

from __future__ import annotations


def sentences(*, armature: bool, shape_keys: bool, animation: bool) -> tuple[str, ...]:
    """Return one warning for each kind of data that the source has and a refined mesh cannot have."""
    warnings = (
        (armature, "The result will have no armature: a refine makes one still mesh."),
        (shape_keys, "The result will have no shape keys: a refine makes one still mesh."),
        (animation, "The result will have no animation: a refine makes one still mesh."),
    )
    return tuple(sentence for has_it, sentence in warnings if has_it)
