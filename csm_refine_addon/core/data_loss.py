"""What a refine takes from a mesh besides its topology, as sentences to be read before it happens.

They are the same for a file that becomes a session and for objects of a scene.
"""

from __future__ import annotations


def sentences(*, armature: bool, shape_keys: bool, animation: bool) -> tuple[str, ...]:
    """Return one sentence for each thing that the source has and a refined mesh cannot have."""
    said = (
        (armature, "The result will have no armature: a refine makes one still mesh."),
        (shape_keys, "The result will have no shape keys: a refine makes one still mesh."),
        (animation, "The result will have no animation: a refine makes one still mesh."),
    )
    return tuple(sentence for has_it, sentence in said if has_it)
