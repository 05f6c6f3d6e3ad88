"""What a .blend holds, by the marks of its blocks, before any Blender opens it.

A .blend is a header and blocks, each with a code of its kind and its length. Blender 5.0 widened both
(https://developer.blender.org/docs/features/core/blendfile/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import BlendTooNew, MeshUnusable
from ..limits import Limits
from .images import Pixels
from .kinds import damaged

DATA_ONLY = frozenset({b"OB", b"ME", b"MA", b"IM", b"NT"})
"""Object, mesh, material, image, and the node groups of materials."""
ALWAYS_THERE = frozenset(
    {b"DATA", b"GLOB", b"REND", b"TEST", b"DNA1", b"ENDB", b"USER", b"SC", b"WM", b"WS", b"SR", b"SN", b"LS", b"BR"}
)
"""A scene and windows: every file has them, and an append of objects leaves them there."""
MOST_BLOCKS = 1_000_000
_ANY_HEADER = struct.Struct("<4si8xii")
_HEADERS = {b"BLENDER-v": (12, _ANY_HEADER), b"BLENDER17-01v": (17, struct.Struct("<4si8xqq"))}
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"\x76\x2f\x31\x01", b"DDS ", b"II*\0", b"MM\0*")
"""What packed images begin with: marks that no other data has by chance."""


def check_blend(path: Path, limits: Limits) -> None:
    """Refuse a .blend that is cut off, holds more than one object and its looks, or images of too many pixels."""
    pixels, objects = Pixels(limits), 0
    with path.open("rb") as file:
        for code, position in _blocks(file, path.stat().st_size):
            objects += code == b"OB"
            if code not in DATA_ONLY | ALWAYS_THERE or objects > 1:
                raise more_than_one_object()
            if code == b"DATA":
                file.seek(position)
                is_image = file.read(4).startswith(_IMAGES)
                file.seek(position)
                if is_image:
                    pixels.add(file)


def more_than_one_object() -> MeshUnusable:
    """Return the error of a .blend that is more than what a mesh file may be."""
    return MeshUnusable(
        "The .blend holds more than one plain mesh object.",
        "Use create --blend FILE --object NAME for an object of a scene.",
    )


def version(path: Path) -> tuple[int, int]:
    """Return major and minor version of the Blender that wrote a .blend. Raises MeshUnusable where it is none."""
    try:
        with path.open("rb") as file:
            head = file.read(17)
        mark = next(mark for mark in _HEADERS if head.startswith(mark))
        digits = head[len(mark) : _HEADERS[mark][0]]
        return int(digits[:-2]), int(digits[-2:])
    except (OSError, StopIteration, ValueError):
        raise _unreadable(path) from None


def refuse_newer(path: Path, ours: tuple[int, int]) -> None:
    """Raise BlendTooNew where a .blend was written by a newer Blender than that of version ``ours``."""
    found = version(path)
    if found > ours:
        theirs, own = (f"{major}.{minor}" for major, minor in (found, ours))
        raise BlendTooNew(
            f"The mesh was written by Blender {theirs}, and Blender {own} cannot read it.",
            "Use another format, or a newer Blender.",
        )


def refuse_more_than_data(path: Path) -> None:
    """Refuse a prepared .blend that holds anything besides a mesh and its looks: texts, actions, links to other files.

    Takes some milliseconds: only the blocks' headers are read. Raises MeshUnusable.
    """
    try:
        found = set(block_codes(path))
    except OSError as error:
        raise MeshUnusable(f"The prepared file {path.name} cannot be read.", "Retry the job.") from error
    if found - DATA_ONLY - ALWAYS_THERE:
        raise more_than_a_mesh(path.name)


def more_than_a_mesh(name: str) -> MeshUnusable:
    """Return the error of a prepared .blend that is not what was prepared."""
    return MeshUnusable(f"The prepared file {name} holds more than a mesh; nothing of it was taken.", "Retry the job.")


def block_codes(path: Path) -> Iterator[bytes]:
    """Yield the code of each block, up to the last one. Raises MeshUnusable where it is no uncompressed .blend."""
    try:
        with path.open("rb") as file:
            for code, _position in _blocks(file, path.stat().st_size):
                yield code
    except MeshUnusable:
        raise _unreadable(path) from None


def _blocks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, int]]:
    """Yield the code of each block and where its data begin; the file may be moved meanwhile. Raises MeshUnusable."""
    head = file.read(32)
    known = [parts for mark, parts in _HEADERS.items() if head.startswith(mark)]
    position, header = known[0] if known else (size, _ANY_HEADER)
    for _ in range(MOST_BLOCKS):
        file.seek(position)
        raw = file.read(header.size)
        if len(raw) < header.size:
            break
        fields = header.unpack(raw)
        code, length = fields[0].rstrip(b"\0"), fields[1] if header.size == 24 else fields[2]
        position += header.size
        if length < 0 or position + length > size:
            break
        yield code, position
        position += length
        if code == b"ENDB":
            return
    raise damaged("the .blend is cut off or compressed")


def _unreadable(path: Path) -> MeshUnusable:
    return MeshUnusable(f"The prepared file {path.name} cannot be read.", "Retry the job.")
