"""GLB: Khronos glTF 2.0 specification, sections 3, 4.4 and 5."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import MeshUnusable
from ..limits import Limits
from . import gltf
from .kinds import RAISE, damaged

_HEADER = struct.Struct("<4sII")
_CHUNK = struct.Struct("<I4s")


def check_glb(path: Path, limits: Limits) -> None:
    """Refuse a GLB that is cut, does not hold what it describes, or describes too much."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise damaged("it ends within its header")
        _, version, length = _HEADER.unpack(header)
        if version != 2:
            raise MeshUnusable(f"The GLB has version {version}; only version 2 is known.", "Convert it to glTF 2.0.")
        if length != size:
            raise damaged(f"it should have {length} bytes and has {size}")
        document, start, binary_bytes = _read_chunks(file, size, limits)
        try:
            gltf.check(document, gltf.Stretch(file, start, binary_bytes), limits)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
            raise damaged("its description of the mesh is not glTF") from error


def _read_chunks(file: IO[bytes], size: int, limits: Limits) -> tuple[Any, int, int]:
    """Return the JSON chunk, parsed, and where the binary chunk's data begin and how long they are."""
    document, binary_start, binary_bytes, first = None, 0, 0, True
    while (start := file.tell()) < size:
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            raise damaged("it ends within a chunk's header")
        length, name = _CHUNK.unpack(head)
        if start + _CHUNK.size + length > size:
            raise damaged("a chunk reaches beyond its end")
        if first and name == b"JSON":
            document = _parse_json(file, length, limits)
        elif name == b"BIN\0" and not binary_start:
            binary_start, binary_bytes = file.tell(), length
        file.seek(start + _CHUNK.size + length)
        first = False
    if document is None:
        raise damaged("it does not begin with a description of the mesh")
    return document, binary_start, binary_bytes


def _parse_json(file: IO[bytes], length: int, limits: Limits) -> Any:
    if length > limits.json_bytes:
        raise MeshUnusable(f"The GLB's description has more than {limits.json_bytes:,} bytes.", RAISE)
    try:
        document = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise damaged("its description is not JSON") from error
    level: list[Any] = [[document]]
    for _ in range(limits.json_depth + 1):
        level = list(_inside(level))
        if not level:
            return document
    raise MeshUnusable(f"The GLB's description is nested more than {limits.json_depth} deep.", RAISE)


def _inside(level: list[Any]) -> Iterator[Any]:
    for each in level:
        parts = each.values() if isinstance(each, dict) else each
        yield from (part for part in parts if isinstance(part, dict | list))
