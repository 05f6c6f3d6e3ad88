"""Which objects belong together. Needs no numpy: enabling the extension brings this in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import bpy


def with_children(objects: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    """Return the objects and all that are parented to them, each once."""
    children = defaultdict(list)
    for child in bpy.data.objects:
        if child.parent:
            children[child.parent].append(child)
    found: dict[bpy.types.Object, None] = {}
    waiting = list(objects)
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = None
            waiting += children[current]
    return list(found)
