"""Resource limits for mesh files and background Blenders; a pipeline with larger meshes can raise them.

``CSM_REFINE_LIMITS`` holds a JSON object with any of the names below: ``{"faces": 80000000, "image_pixels": 1e9}``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from dataclasses import dataclass
from typing import Any

from .errors import InputError, PrepareFailed

VARIABLE = "CSM_REFINE_LIMITS"


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are about ten times the values of a refine result. Sizes in bytes, times in seconds."""

    json_bytes: int = 16 << 20
    """A GLB's description; as Python objects it takes up to twenty times as much."""
    json_depth: int = 64
    vertices: int = 50_000_000
    """Of all objects together: a mesh with a thousand instances counts a thousand times."""
    faces: int = 50_000_000
    nodes: int = 20_000
    """Also the limit for each of meshes, accessors, materials and animation channels."""
    node_depth: int = 256
    image_pixels: int = 16384 * 16384
    """Of one image; unpacked, a pixel takes four bytes or sixteen."""
    all_pixels: int = 8 * 16384 * 16384
    line_bytes: int = 8 << 20
    """One line of an OBJ."""
    material_bytes: int = 16 << 20
    """One MTL file."""
    members: int = 10_000
    """Files in a zip."""
    unpacked_bytes: int = 8 << 30
    ratio: int = 250
    """Deflate reaches about 1,000; OBJ text stays under 20, an image of one colour may reach a few hundred."""
    fbx_depth: int = 64
    download_bytes: int = 4 << 30
    """Of one mesh file as it is fetched."""
    prepare_s: int = 1800
    """How long a background Blender may take for one mesh."""
    processor_s: int = 3600
    """How much time of all processors together."""
    memory_bytes: int = 0
    """How much memory; 0 is three quarters of the machine's."""
    file_bytes: int = 16 << 30
    """Of one file that a background Blender writes, its log too."""


def current() -> Limits:
    """Return the limits from the environment. Raises InputError if the variable is invalid."""
    return _read(os.environ.get(VARIABLE, ""))


def out_of_memory() -> PrepareFailed:
    """Return the error of a mesh that exceeds the memory limit."""
    return PrepareFailed(
        "The mesh needs more memory than a background Blender may use.",
        f"Use a simpler mesh, or raise memory_bytes in {VARIABLE}.",
    )


@functools.lru_cache(maxsize=1)
def _read(text: str) -> Limits:
    if not text.strip():
        return Limits()
    names = [field.name for field in dataclasses.fields(Limits)]
    try:
        found: Any = json.loads(text)
        chosen = {name: int(value) for name, value in found.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InputError(
            f"{VARIABLE} is not a JSON object of names and numbers.", f'Write it like {{"{names[2]}": 80000000}}.'
        ) from None
    for name, value in chosen.items():
        if name not in names or value < 0:
            raise InputError(f"{VARIABLE} has no limit {name} of {value}.", f"There are: {', '.join(names)}.")
    return Limits(**chosen)
