"""Parent-child relations of objects. Does not import NumPy: this module is loaded when the extension is enabled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import bpy


def with_children(objects: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    """Return the objects and all their direct and indirect children, each once."""
    children = defaultdict(list)
    for child in bpy.data.objects:
        if child.parent:
            children[child.parent].append(child)
    found: dict[bpy.types.Object, None] = {}
    remaining = list(objects)
    while remaining:
        current = remaining.pop()
        if current not in found:
            found[current] = None
            remaining += children[current]
    return list(found)
